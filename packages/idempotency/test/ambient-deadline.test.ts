/** What a caller has given up by its ambient deadline does not begin later. */
import { setImmediate as turn, setTimeout as delay } from "node:timers/promises";
import { withAmbientDeadline } from "@holdfast/core";
import { pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { gate, longLeaseMs, rejection, uniqueName, useBench } from "./fixture.ts";

const bench = useBench();

describe("an ambient deadline that passes while a key is claimed", () => {
  it.each(["closed", "open"] as const)(
    "I1 ends the claim: it is not sent again, and nothing runs, with whenUnreachable %s",
    async (whenUnreachable) => {
      const name = uniqueName();
      const { redis, proxy } = await bench.proxied();
      const idempotency = bench.idempotency({ leaseMs: longLeaseMs, whenUnreachable }, redis, name);
      await idempotency.run("warm", () => 1);
      // Once only: a second send would be answered.
      const held = proxy.hold("reply", "EVALSHA");
      const run = withAmbientDeadline(200, () => rejection(idempotency.run("k", () => expect.unreachable())));
      await held.hit;
      expect(await run).toMatchObject({ name: "RedisUnavailableError", effect: "none" });
      held.release();
      // What was claimed in vain is given back.
      const other = bench.idempotency({ waitMs: 60_000, leaseMs: longLeaseMs }, undefined, name);
      expect(await other.run("k", ({ recovered }) => recovered)).toMatchObject({ value: false });
    },
  );

  it("I1 and whose answer is there when a process that stood still goes on: nothing runs", async () => {
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs });
    await idempotency.run("warm", () => 1);
    let began = false;
    const run = withAmbientDeadline(50, () =>
      rejection(
        idempotency.run("k", () => {
          began = true;
        }),
      ),
    );
    await turn();
    const until = performance.now() + 200;
    while (performance.now() < until);
    expect(await run).toMatchObject({ name: "RedisUnavailableError", effect: "none" });
    expect(began).toBe(false);
  });

  it("I1 also while the payload is read: nothing runs", async () => {
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs });
    await idempotency.run("warm", () => 1);
    let began = false;
    const fingerprint = {
      get large() {
        const until = performance.now() + 200;
        while (performance.now() < until);
        return 1;
      },
    };
    const run = withAmbientDeadline(100, () =>
      rejection(
        idempotency.run("k", { fingerprint }, () => {
          began = true;
        }),
      ),
    );
    expect(await run).toMatchObject({ name: "RedisUnavailableError", effect: "none" });
    expect(began).toBe(false);
  });

  it("ends the waiting for another attempt, too, when Redis has fallen mute meanwhile", async () => {
    const name = uniqueName();
    const work = gate<string>();
    const first = bench.idempotency({ leaseMs: longLeaseMs }, undefined, name).run("k", work.handler);
    await work.entered;
    const { redis, proxy } = await bench.proxied();
    const settings = { leaseMs: longLeaseMs, waitMs: 600_000, commandTimeoutMs: 600_000 };
    const idempotency = bench.idempotency(settings, redis, name);
    await idempotency.run("warm", () => 1);
    const asked = async (): Promise<number> =>
      Number(/cmdstat_evalsha:calls=(\d+)/u.exec(await bench.redis.info("commandstats"))?.[1]);
    const before = await asked();
    // Shorter than the time from one look at the key to the next.
    const waiting = withAmbientDeadline(200, () => rejection(idempotency.run("k", () => expect.unreachable())));
    // Once at first, and once when it listens.
    await pollUntil("it waits", async () => (await asked()) >= before + 2);
    proxy.blackhole("down");
    // The suite's time limit is shorter than what an answer would be waited for.
    expect(await waiting).toMatchObject({ name: "InProgressError", effect: "none" });
    work.open("done");
    await first;
  });

  it("counts for calls that begin before it only: what begins after it runs", async () => {
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs });
    const late = withAmbientDeadline(1, async () => {
      await delay(20);
      return idempotency.run("k", () => "stored");
    });
    expect(await late).toMatchObject({ value: "stored" });
  });
});
