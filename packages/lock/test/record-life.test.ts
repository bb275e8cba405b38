/** How long a name is remembered: for as long as others are kept out, or a request of somebody who has given up may arrive. */
import { expect, it } from "vitest";
import type { Hold } from "../src/index.ts";
import { leaseOf } from "./lease-fixture.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();
const waits = { signal: new AbortController().signal };

it.each<[string, object | undefined, (hold: Hold) => Promise<unknown>]>([
  ["the short way", undefined, async () => undefined],
  ["the way past the queue", waits, async () => undefined],
  ["a renewal", undefined, (hold) => hold.renew()],
])("the record outlives the lock delay, however short its retention is: after %s", async (_, options, then) => {
  const lock = real.lock({ ttlMs: 1_000, lockDelayMs: 900_000, fenceRetentionMs: 60_000 });
  await then(await lock.acquire("a", options));
  expect(await real.redis.pttl(leaseOf(real.redis).keys.lease)).toBeGreaterThan(900_000 + 50_000);
});

it("K1 L3 whoever has given up is known for as long as a request of its own may arrive, however short the retention is", async () => {
  const lease = leaseOf(real.redis);
  await lease.acquire("ann", { leaseMs: 50 });
  await lease.release("ann", { sealMs: 600_000, retentionMs: 60_000 });
  expect(await real.redis.pttl(lease.keys.seen)).toBeGreaterThan(590_000);
  expect(await real.redis.pttl(lease.keys.lease)).toBeGreaterThan(590_000);
});

it("K1 L3 a release is known for as long as a request of its owner may arrive, however short the retention is", async () => {
  const lock = real.lock({ ttlMs: 1_000, commandTimeoutMs: 600_000, fenceRetentionMs: 60_000 });
  for (const options of [undefined, waits]) await (await lock.acquire("a", options)).release();
  expect(await real.redis.pttl(leaseOf(real.redis).keys.lease)).toBeGreaterThan(590_000);
});
