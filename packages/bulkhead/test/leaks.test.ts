import { getEventListeners, once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { pollUntil } from "@holdfast/testkit";
import { expect, it } from "vitest";
import { Bulkhead, wrapFetch } from "../src/index.ts";
import { turn } from "./work.ts";

it("nothing is retained after 1,000,000 calls on one signal that lives on", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const one = new Bulkhead("payments", { concurrencyMax: 4, breaker: {}, adaptive: {} });
  const { signal } = new AbortController();
  const round = async (calls: number): Promise<number> => {
    for (let call = 0; call < calls; call += 1) await one.run({ signal }, ({ signal: own }) => own.aborted);
    await turn();
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = await round(50_000);
  const after = await round(1_000_000);
  // One listener, entry or sample per call would be more than 8 MB.
  expect(after - before).toBeLessThan(3_000_000);
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

it("a loop whose calls each make the next one on the last permit keeps none of them", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const one = new Bulkhead("payments", { concurrencyMax: 1 });
  let heldBytes = 0;
  const loop = (calls: number): Promise<void> =>
    new Promise((resolve) => {
      let made = 0;
      const next = (): void => {
        void one.run(() => {
          made += 1;
          if (made < calls) {
            setImmediate(next);
          } else {
            collect();
            heldBytes = process.memoryUsage().heapUsed;
            setImmediate(resolve);
          }
        });
      };
      next();
    });
  await loop(10_000);
  const before = heldBytes;
  await loop(150_000);
  // One mark for each call would be more than 5 MB.
  expect(heldBytes - before).toBeLessThan(2_000_000);
});

it("requests through wrapFetch on one signal that lives on leave nothing with it", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const server = createServer((_, response) => response.end("ok"));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const get = wrapFetch(new Bulkhead("payments", { concurrencyMax: 20 }));
  const { signal } = new AbortController();
  const make = async (requests: number): Promise<void> => {
    for (let made = 0; made < requests; made += 20) {
      const some = Array.from({ length: 20 }, () => get(`http://127.0.0.1:${port}`, { signal }));
      for (const response of await Promise.all(some)) await response.text();
    }
  };
  const heapBytes = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  await make(2_000);
  const before = heapBytes();
  await make(8_000);
  // A signal made of two that is kept is 1 kB, which would be 8 MB. What fetch itself leaves goes some time after a collection.
  await pollUntil("nothing is kept", () => heapBytes() - before < 3_000_000);
  server.close();
  server.closeAllConnections();
});

it("50,000 waiting calls on one signal are refused in one step when it aborts, and leave nothing", async () => {
  const one = new Bulkhead("payments", { concurrencyMax: 1, queueMax: 100_000 });
  const controller = new AbortController();
  let finish: (() => void) | undefined;
  const busy = one.run(() => new Promise<void>((resolve) => (finish = resolve)));
  const reason = new Error("gone");
  const waiting = Array.from({ length: 50_000 }, () =>
    one.run({ signal: controller.signal }, () => 1).catch((error: unknown) => error),
  );
  // Computing time, of which a machine that stands still takes none.
  const before = process.cpuUsage();
  controller.abort(reason);
  expect(one.snapshot().queued).toBe(0);
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1_000).toBeLessThan(2_000);
  expect(new Set(await Promise.all(waiting))).toEqual(new Set([reason]));
  finish?.();
  await busy;
  expect(one.snapshot()).toMatchObject({ inFlight: 0, outcomes: { cancelled: 50_000, success: 1 } });
});
