/** Renewals that fail: one that may be tried again is, one that is refused for good is a lease that is lost, and neither costs another lease. */
import { LeapClock, pollUntil, RedisCluster } from "@holdfast/testkit";
import { Cluster } from "ioredis";
import { describe, expect, it } from "vitest";
import { Idempotency } from "../src/index.ts";
import type { Attempt, IdempotencyEvent } from "../src/index.ts";
import { KeyLayout } from "../src/keys.ts";
import { aborted, gate, longLeaseMs, renewedBy, useBench } from "./fixture.ts";
import type { Gate } from "./fixture.ts";

const bench = useBench();

interface Begun {
  readonly attempt: Attempt;
  readonly work: Gate<string>;
  readonly running: Promise<unknown>;
}

/** Begins an attempt, which a test ends by hand. */
async function begin(idempotency: Idempotency, key: string): Promise<Begun> {
  const work = gate<string>();
  const given = Promise.withResolvers<Attempt>();
  const running = idempotency.run(key, (attempt) => {
    given.resolve(attempt);
    return work.handler();
  });
  running.catch(() => undefined);
  return { attempt: await given.promise, work, running };
}

describe("a renewal", () => {
  it("I4 whose answer is lost is made again, and the lease stands", async () => {
    const { proxy, redis } = await bench.proxied({ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 });
    const clock = new LeapClock();
    const events: string[] = [];
    const onEvent = ({ type }: IdempotencyEvent): unknown => events.push(type);
    const { attempt, work, running } = await begin(
      bench.idempotency({ leaseMs: longLeaseMs, clock, onEvent }, redis),
      "k",
    );
    const { signal } = attempt;
    const rule = proxy.swallowReply(/^EVAL/i);
    clock.leap(longLeaseMs / 3);
    await rule.hit;
    await pollUntil("the holder's side knows", () => {
      if (!events.includes("renewal-failed")) clock.leap(1_000);
      return signal.aborted || events.includes("renewal-failed");
    });
    await renewedBy(bench)(clock, 1);
    expect(attempt.remainingMs()).toBeGreaterThan(longLeaseMs / 2);
    expect(signal.aborted).toBe(false);
    work.open("done");
    expect(await running).toMatchObject({ value: "done", stored: true });
  });

  it("I5 that is refused for good ends the lease at once, long before its deadline", async () => {
    const clock = new LeapClock();
    const { attempt, work, running } = await begin(bench.idempotency({ leaseMs: longLeaseMs, clock }), "k");
    const { signal } = attempt;
    const [record = ""] = await bench.redis.keys("*:record:*");
    await bench.redis.del(record);
    await bench.redis.rpush(record, "another program's");
    clock.leap(longLeaseMs / 3);
    await aborted(signal);
    expect(signal.reason).toMatchObject({ name: "AttemptLostError", reason: "lost" });
    work.open("late");
    await running.catch(() => undefined);
  });

  it("I4 that one node of a Cluster does not answer costs nobody on another node its lease", async () => {
    await using servers = await RedisCluster.start({ replicasPerMaster: 0, nodeTimeoutMs: 60_000 });
    const cluster = new Cluster(servers.nodes.map(({ host, port }) => ({ host, port })));
    cluster.on("error", () => undefined);
    const layout = new KeyLayout("holdfast", "payments");
    const nodeOf = (key: string): Promise<{ pause(): void; resume(): void; port: number }> =>
      servers.masterOf(layout.place({ key }).record);
    const well = await nodeOf("k0");
    let sickKey = "k1";
    for (let index = 2; (await nodeOf(sickKey)).port === well.port; index += 1) sickKey = `k${index}`;
    const sick = await nodeOf(sickKey);
    const clock = new LeapClock();
    const idempotency = new Idempotency(cluster, "payments", { leaseMs: longLeaseMs, clock });
    // Each claims on a connection that is there, so that both are renewed in one tick.
    await Promise.all(["k0", sickKey].map((key) => idempotency.inspect(key)));
    const [one, other] = await Promise.all([begin(idempotency, "k0"), begin(idempotency, sickKey)]);
    const { signal } = one.attempt;
    sick.pause();
    for (let thirds = 0; thirds < 5; thirds += 1) {
      const before = one.attempt.remainingMs();
      clock.leap(longLeaseMs / 3 + 100);
      if (other.attempt.remainingMs() === 0) expect(other.attempt.signal.aborted).toBe(true);
      await pollUntil("it is renewed, or lost", () => signal.aborted || one.attempt.remainingMs() >= before - 100);
    }
    expect(signal.aborted).toBe(false);
    expect(other.attempt.signal.aborted).toBe(true);
    sick.resume();
    for (const { work } of [one, other]) work.open("done");
    expect(await one.running).toMatchObject({ value: "done" });
    await other.running.catch(() => undefined);
    cluster.disconnect();
  });
});
