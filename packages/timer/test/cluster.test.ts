/** Redis Cluster through a resharding and a dead master, and Sentinel through a failover that takes writes back. */
import { pollUntil, RedisCluster, RedisSentinel, slotOfKey } from "@holdfast/testkit";
import { Cluster, Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { DurableTimer } from "../src/index.ts";
import type { TimerEvent } from "../src/index.ts";
import { shardKeys } from "../src/keys.ts";
import { Catcher, many } from "./client.ts";

function connect(cluster: RedisCluster): Cluster {
  const client = new Cluster(cluster.addresses, { redisOptions: { replyMapping: "legacy" } });
  client.on("error", () => undefined);
  return client;
}

describe("Redis Cluster", () => {
  it(
    "T2 T10 T11 shards lie in slots of several masters, and a resharding with 12,000 timers pending and handlers in flight loses and doubles nothing",
    { timeout: 120_000 },
    async () => {
      await using cluster = await RedisCluster.start({ masters: 3, replicasPerMaster: 0 });
      const [one, two] = [connect(cluster), connect(cluster)];
      const shards = 4;
      const name = "payment-timeout";
      const events: TimerEvent[] = [];
      const options = { shards, onEvent: (event: TimerEvent) => events.push(event), commandTimeoutMs: 10_000 };
      await using timer = new DurableTimer(one, name, options);
      await using other = new DurableTimer(two, name, options);
      const slots = Array.from({ length: shards }, (_, shard) => slotOfKey(shardKeys("holdfast", name, shard).due));
      const owners = new Set(await Promise.all(slots.map((slot) => cluster.masterOf(slot))));
      expect(owners.size).toBeGreaterThan(1);

      await timer.scheduleMany(many(12_000, 600_000));
      const catcher = new Catcher();
      let inFlight = 0;
      const worker = other.worker({ pollMs: 50, leaseMs: 30_000 }, async (firing) => {
        inFlight += 1;
        await new Promise((resolve) => {
          setTimeout(resolve, 5);
        });
        inFlight -= 1;
        catcher.handle(firing);
      });
      await worker.start();
      let inFlightWhileMoving = 0;
      let steps = 0;
      const move = { over: false };
      let hastened = 0;
      const traffic = async (): Promise<void> => {
        while (!move.over && hastened < 12_000) await timer.fireNow(`t${hastened++}`);
      };
      const flowing = Promise.all(Array.from({ length: 8 }, traffic));
      // Every shard moves to another master while timers fire.
      for (const slot of slots) {
        const from = await cluster.masterOf(slot);
        const to = (await cluster.masters()).find((master) => master !== from);
        if (to === undefined) throw new Error("one master only");
        await cluster.moveSlot(slot, to, {
          batch: 1,
          onStep: () => {
            steps += 1;
            inFlightWhileMoving = Math.max(inFlightWhileMoving, inFlight);
          },
        });
      }
      move.over = true;
      await flowing;
      expect(steps).toBeGreaterThan(shards * 3);
      expect(inFlightWhileMoving).toBeGreaterThan(0);
      expect((await timer.stats()).pending).toBeGreaterThanOrEqual(12_000 - hastened);
      for (; hastened < 12_000; hastened += 50)
        await Promise.all(Array.from({ length: 50 }, (_, index) => timer.fireNow(`t${hastened + index}`)));
      await pollUntil("all have fired", () => new Set(catcher.ids).size === 12_000, { timeoutMs: 60_000 });
      await worker.idle();
      expect(catcher.firings).toHaveLength(12_000);
      expect(await timer.stats()).toMatchObject({ pending: 0, leased: 0, dead: 0 });
      await worker.stop({ graceMs: 2_000 });
      one.disconnect();
      two.disconnect();
    },
  );
});

describe("Sentinel", () => {
  it(
    "T2 a failover loses no timer but those that it took back itself, and reconcile brings these back",
    { timeout: 120_000 },
    async () => {
      await using group = await RedisSentinel.start();
      const redis = new Redis({
        sentinels: group.sentinels,
        name: group.masterName,
        failoverDetector: true,
        replyMapping: "legacy",
      });
      redis.on("error", () => undefined);
      await using timer = new DurableTimer<{ n: number }>(redis, "t", { commandTimeoutMs: 10_000 });
      await timer.scheduleMany(many(1_000, 600_000).map((one, n) => ({ ...one, payload: { n } })));
      const old = await group.currentMaster();
      const replicas = group.servers.filter((server) => server !== old);
      await pollUntil("the replicas have them", async () => {
        const counts = await Promise.all(replicas.map((replica) => replica.call("ZCARD", "holdfast:{timer:t}:due")));
        return counts.every((count) => count === 1_000);
      });
      // What the master acknowledges from here on reaches no replica: the failover takes it back.
      for (const replica of replicas) replica.pause();
      await old.call("CLIENT", "KILL", "TYPE", "replica");
      const acknowledged = Array.from({ length: 100 }, (_, n) => ({ id: `u${n}`, afterMs: 600_000, payload: { n } }));
      await timer.scheduleMany(acknowledged);
      await old.kill();
      for (const replica of replicas) replica.resume();
      await group.waitForFailover(old);
      const { pending } = await pollUntil("the client has found the new master", () => timer.stats(), {
        timeoutMs: 30_000,
      });
      expect(pending).toBeGreaterThanOrEqual(1_000);
      const [seconds, microseconds] = (await (await group.currentMaster()).call("TIME")) as string[];
      const asOfMs = Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000);
      const records = [...many(1_000, 600_000).map((one, n) => ({ ...one, payload: { n } })), ...acknowledged];
      const report = await timer.reconcile(records, { asOfMs });
      expect(report.restored + report.present).toBe(1_100);
      expect(report.restored).toBe(1_100 - pending);
      expect(report.restored).toBeGreaterThan(0);
      expect((await timer.stats()).pending).toBe(1_100);
      redis.disconnect();
    },
  );
});
