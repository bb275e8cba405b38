/** Redis Cluster through a resharding and a dead master, and Sentinel through a failover that takes writes back. */
import { readFile } from "node:fs/promises";
import { pollUntil, RedisCluster, RedisSentinel, slotOfKey } from "@holdfast/testkit";
import type { RedisServer } from "@holdfast/testkit";
import { Cluster, Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { DurableTimer } from "../src/index.ts";
import type { Firing, TimerEvent } from "../src/index.ts";
import { shardKeys, shardOf } from "../src/keys.ts";
import { Catcher, Gate, many, patientMs, serverTimeMs } from "./client.ts";

function connect(cluster: RedisCluster): Cluster {
  const client = new Cluster(cluster.addresses, { redisOptions: { replyMapping: "legacy" } });
  client.on("error", () => undefined);
  return client;
}

/** How often the nodes have answered with an error. */
async function errorsOf(cluster: RedisCluster, code: string): Promise<number> {
  const pattern = new RegExp(`^errorstat_${code}:count=(\\d+)`, "mu");
  const counts = cluster.nodes.map(async (node) => pattern.exec(String(await node.call("INFO", "errorstats")))?.[1]);
  return (await Promise.all(counts)).reduce((sum, count) => sum + Number(count ?? 0), 0);
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

      const far = 12_000;
      await timer.scheduleMany(many(far, 600_000));
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
      let near = 0;
      const traffic = async (): Promise<void> => {
        while (!move.over) await timer.schedule({ id: `near-${near++}`, afterMs: 0 });
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
      // Both have been met: the client was sent elsewhere for good, and for the one key that had gone already.
      expect(await errorsOf(cluster, "MOVED")).toBeGreaterThan(0);
      expect((await errorsOf(cluster, "ASK")) + (await errorsOf(cluster, "TRYAGAIN"))).toBeGreaterThan(0);
      expect((await timer.stats()).pending).toBeGreaterThanOrEqual(far);
      for (let hastened = 0; hastened < far; hastened += 50)
        await Promise.all(Array.from({ length: 50 }, (_, index) => timer.fireNow(`t${hastened + index}`)));
      await pollUntil("all have fired", () => new Set(catcher.ids).size === far + near, { timeoutMs: 60_000 });
      await worker.idle();
      expect(catcher.firings).toHaveLength(far + near);
      expect(await timer.stats()).toMatchObject({ pending: 0, leased: 0, dead: 0 });
      await worker.stop({ graceMs: 2_000 });
      one.disconnect();
      two.disconnect();
    },
  );
});

describe("permissions on a Cluster", () => {
  it(
    "the lines of the README are enough to connect, to call, to hear hints, and to follow a slot that moves",
    { timeout: 60_000 },
    async () => {
      const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
      const user = /^ACL SETUSER (.+)$/mu.exec(readme)?.[1]?.split(" ") ?? [];
      const more = /^On a Cluster add `(.+)`/mu.exec(readme)?.[1]?.split(" ") ?? [];
      await using cluster = await RedisCluster.start({ masters: 3, replicasPerMaster: 0 });
      for (const node of cluster.nodes) await node.call("ACL", "SETUSER", ...user, ...more);
      const redisOptions = { username: "holdfast", password: "change-me", replyMapping: "legacy" } as const;
      const client = new Cluster(cluster.addresses, { redisOptions });
      client.on("error", () => undefined);
      const name = "permitted";
      await using timer = new DurableTimer(client, name, { commandTimeoutMs: patientMs });
      const catcher = new Catcher();
      const worker = timer.worker({ pollMs: 20_000 }, catcher.handle);
      await worker.start();
      await worker.idle();
      const channelsOf = async (node: RedisServer): Promise<number> =>
        ((await node.call("PUBSUB", "SHARDCHANNELS", `*${name}*`)) as string[]).length;
      await pollUntil("hints are heard", async () => (await Promise.all(cluster.nodes.map(channelsOf))).includes(1));
      await timer.schedule({ id: "hinted", afterMs: 0 });
      await catcher.caught(1);
      const slot = slotOfKey(shardKeys("holdfast", name, 0).due);
      const from = await cluster.masterOf(slot);
      const to = (await cluster.masters()).find((master) => master !== from);
      if (to === undefined) throw new Error("one master only");
      let calls: Promise<unknown> = Promise.resolve();
      await cluster.moveSlot(slot, to, {
        onStep: async ({ kind }) => {
          if (kind !== "keys") return;
          calls = Promise.all(many(5, 60_000).map((request) => timer.schedule(request)));
          await pollUntil("the client is sent to the other master", async () => (await errorsOf(cluster, "ASK")) > 0);
        },
      });
      await calls;
      expect((await timer.stats()).pending).toBe(5);
      await worker.stop({ graceMs: 2_000 });
      client.disconnect();
      const denied = await Promise.all(cluster.nodes.map((node) => node.call("ACL", "LOG")));
      expect(denied.flat()).toEqual([]);
    },
  );
});

describe("a master of a Cluster that is killed", () => {
  it(
    "T2 takes no timer with it but those that no replica had, and reconcile brings these back, with handlers in flight",
    { timeout: 180_000 },
    async () => {
      await using cluster = await RedisCluster.start();
      const [one, two] = [connect(cluster), connect(cluster)];
      const shards = 4;
      const name = "payment-timeout";
      await using timer = new DurableTimer(one, name, { shards, commandTimeoutMs: 10_000 });
      await using other = new DurableTimer(two, name, { shards, commandTimeoutMs: 10_000 });
      const confirming = { shards, commandTimeoutMs: 10_000, durability: { replicas: 1, timeoutMs: 30_000 } };
      await using durable = new DurableTimer(one, name, confirming);
      const farMs = 3_600_000;
      const kept = many(2_000, farMs);
      await durable.scheduleMany(kept);

      // Handlers that run on every shard while the master dies.
      const gate = new Gate();
      const fired = new Map<string, Firing<undefined>[]>();
      const worker = other.worker({ pollMs: 50, leaseMs: 5_000 }, async (firing) => {
        fired.set(firing.id, [...(fired.get(firing.id) ?? []), firing]);
        if (firing.id.startsWith("running")) await gate.opened;
      });
      const running = Array.from({ length: 16 }, (_, index) => ({ id: `running-${index}`, afterMs: 0 }));
      await durable.scheduleMany(running);
      await worker.start();
      await pollUntil("all run", () => fired.size === running.length, { timeoutMs: 60_000 });

      const shard = 0;
      const { due } = shardKeys("holdfast", name, shard);
      expect(running.some(({ id }) => shardOf(id, shards) === shard)).toBe(true);
      const old = await cluster.masterOf(due);
      const [replica] = await cluster.replicasOf(old);
      if (replica === undefined) throw new Error("a master without a replica");
      // What the master acknowledges from here on reaches no replica: the failover takes it back.
      replica.pause();
      await old.call("CLIENT", "KILL", "TYPE", "replica");
      const ids = Array.from({ length: 400 }, (_, index) => `alone-${index}`);
      const alone = ids.filter((id) => shardOf(id, shards) === shard).map((id) => ({ id, afterMs: farMs }));
      await timer.scheduleMany(alone);
      await old.kill();
      replica.resume();
      await cluster.waitForNewMaster(due, old, 60_000);
      await pollUntil("the clients have found the new master", () => timer.stats(), { timeoutMs: 60_000 });
      gate.open();

      // Each by itself, before anything is repaired: what a replica had confirmed is there, and only of the rest is anything missing.
      const missing = async (all: readonly { readonly id: string }[]): Promise<string[]> =>
        (await Promise.all(all.map(async ({ id }) => ((await timer.get(id)) === null ? [id] : [])))).flat();
      expect(await missing(kept)).toEqual([]);
      const lost = await missing(alone);
      expect(lost.length).toBeGreaterThan(0);
      const asOfMs = await serverTimeMs(await cluster.masterOf(due));
      const report = await timer.reconcile([...kept, ...alone], { asOfMs });
      expect(report).toMatchObject({ restored: lost.length, present: kept.length + alone.length - lost.length });
      expect(await missing(alone)).toEqual([]);

      for (const { id } of [...kept, ...alone]) void timer.fireNow(id);
      await pollUntil("all have fired", () => fired.size === running.length + kept.length + alone.length, {
        timeoutMs: 60_000,
      });
      await worker.idle();
      expect(await timer.stats()).toMatchObject({ pending: 0, leased: 0, dead: 0 });
      // Nothing that had not begun is doubled. What ran may run again, with a higher token: its lease may have been taken back, too.
      for (const { id } of [...kept, ...alone]) expect(fired.get(id)).toHaveLength(1);
      for (const { id } of running) {
        const tokens = (fired.get(id) ?? []).map(({ token }) => token);
        expect(tokens).toEqual([...new Set(tokens)].toSorted((a, b) => a - b));
      }
      await worker.stop({ graceMs: 10_000 });
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
      const redis = new Redis({ ...group.clientOptions, replyMapping: "legacy" });
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
