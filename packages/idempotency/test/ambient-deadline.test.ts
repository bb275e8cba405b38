/** What a caller has given up by its ambient deadline does not begin later. */
import { setImmediate as turn, setTimeout as delay } from "node:timers/promises";
import { withAmbientDeadline } from "@holdfast/core";
import { describe, expect, it } from "vitest";
import { longLeaseMs, rejection, uniqueName, useBench } from "./fixture.ts";

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

  it("counts for calls that begin before it only: what begins after it runs", async () => {
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs });
    const late = withAmbientDeadline(1, async () => {
      await delay(20);
      return idempotency.run("k", () => "stored");
    });
    expect(await late).toMatchObject({ value: "stored" });
  });
});
