import { getEventListeners } from "node:events";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { ManualClock } from "@holdfast/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openScope, scope } from "../src/index.ts";
import { hang } from "./work.ts";

const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown): void => {
  unhandled.push(reason);
};

beforeEach(() => {
  unhandled.length = 0;
  process.on("unhandledRejection", onUnhandled);
});

afterEach(() => {
  process.off("unhandledRejection", onUnhandled);
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it("S5 a rejection after the scope has returned is never unhandled", async () => {
  const clock = new ManualClock();
  let fail: ((error: Error) => void) | undefined;
  const run = scope({ name: "x", timeoutMs: 10, graceMs: 5, clock }, (s) => {
    void s.fork("late", () => new Promise((_resolve, reject) => (fail = reject)));
    return hang();
  }).catch(() => undefined);
  await clock.advance(100);
  await run;
  fail?.(new Error("long after"));
  await turn();
  await turn();
  expect(unhandled).toEqual([]);
});

it("S5 counter-test: the same rejection without a scope is unhandled", async () => {
  void Promise.reject(new Error("nobody listens"));
  await turn();
  await turn();
  expect(unhandled).toHaveLength(1);
});

it("S5 no listener on the caller's signal and no timer outlives the scope", async () => {
  const clock = new ManualClock();
  const { signal } = new AbortController();
  for (let run = 0; run < 100; run += 1) {
    await scope({ name: "x", timeoutMs: 1_000, signal, clock }, (s) => s.fork("a", () => run));
  }
  expect(getEventListeners(signal, "abort")).toEqual([]);
  // All scopes of one length share one timer, which finds nothing to do and is not armed again.
  expect(clock.pendingTimers).toBeLessThanOrEqual(1);
  await clock.advance(1_000);
  expect(clock.pendingTimers).toBe(0);
});

it("S5 nested scopes leave nothing with the scope around them", async () => {
  const clock = new ManualClock();
  const outer = openScope({ name: "outer", clock });
  const inner = outer.run(() => scope({ name: "inner", clock }, () => 1));
  await inner;
  await outer.close();
  await clock.advance(0);
  expect(clock.pendingTimers).toBe(0);
});

it("S5 a scope that lives on keeps nothing of the scopes within it", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  await using outer = openScope({ name: "service" });
  const round = async (scopes: number): Promise<number> => {
    for (let run = 0; run < scopes; run += 1)
      await outer.run(() => scope({ name: "x" }, (s) => s.fork("a", () => run)));
    await turn();
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = await round(5_000);
  const after = await round(50_000);
  // A listener for each would be more than 10 MB.
  expect(after - before).toBeLessThan(3_000_000);
});

it("S5 nothing is retained after 1,000,000 scopes on one signal that lives on", { timeout: 120_000 }, async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const { signal } = new AbortController();
  const round = async (scopes: number): Promise<number> => {
    for (let run = 0; run < scopes; run += 1) {
      // Far longer than a machine stands still: a scope that has timed out is not what this is about.
      await scope({ name: "x", timeoutMs: 600_000, signal }, (s) => s.fork("a", ({ signal: own }) => own.aborted));
    }
    await turn();
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = await round(20_000);
  const after = await round(1_000_000);
  // A listener or an entry per scope would be more than 100 bytes each: 100 MB.
  expect(after - before).toBeLessThan(3_000_000);
});
