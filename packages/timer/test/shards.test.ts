/** T11: the number of shards is stored, and can be changed. */
import { NotReplicatedError } from "@holdfast/core";
import { pollUntil, RedisServer } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ShardsMismatchError, ShardsMovingError } from "../src/index.ts";
import type { DurableTimer, TimerWorker } from "../src/index.ts";
import { shardKeys, shardOf } from "../src/keys.ts";
import { claim, discard, forget, move, open, remind, store } from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { Catcher, Desk, failure, freshName, Gate, requests } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

/** Five handlers that run until the gate is opened, and a client that will have their timer in three shards. */
async function running(
  desk: Desk,
  leaseMs: number,
): Promise<{
  readonly before: DurableTimer<{ n: number }>;
  readonly after: DurableTimer<{ n: number }>;
  readonly worker: TimerWorker<{ n: number }>;
  readonly catcher: Catcher<{ n: number }>;
  readonly gate: Gate;
}> {
  const name = freshName();
  const before = desk.timer<{ n: number }>(server.url, name);
  await before.scheduleMany(requests(5, 0));
  const gate = new Gate();
  const catcher = new Catcher<{ n: number }>();
  const worker = before.worker({ leaseMs }, async (firing) => {
    catcher.handle(firing);
    await gate.opened;
  });
  await worker.start();
  await catcher.caught(5);
  const after = desk.timer<{ n: number }>(server.url, name, { shards: 3 });
  return { before, after, worker, catcher, gate };
}

/** A client on which the second request with one of two scripts fails before it is sent, as if its process had died. */
function dyingAtSecond(redis: Redis, scripts: readonly { readonly sha1: string }[]): Redis {
  const call = redis.call.bind(redis) as (command: string, args: string[]) => Promise<unknown>;
  let sent = 0;
  const counted = async (command: string, args: string[]): Promise<unknown> => {
    if (command === "evalsha" && scripts.some(({ sha1 }) => sha1 === args[0])) sent += 1;
    if (sent >= 2) throw new Error("died between the two");
    return call(command, args);
  };
  return Object.assign(redis, { call: counted });
}

describe("T11 shards", () => {
  it("T11 a client with another number of shards is refused before it touches anything", async () => {
    await using desk = new Desk();
    const name = freshName();
    const four = desk.timer<{ n: number }>(server.url, name, { shards: 4 });
    await four.scheduleMany(requests(20, 60_000));
    const one = desk.timer<{ n: number }>(server.url, name);
    const error = await failure(one.schedule({ id: "t1", afterMs: 0, payload: { n: 1 } }));
    expect(error).toBeInstanceOf(ShardsMismatchError);
    expect(error).toMatchObject({ shards: 1, shardsStored: 4, effect: "none" });
    expect(await failure(desk.timer(server.url, name, { shards: 3 }).cancel("t1"))).toBeInstanceOf(ShardsMismatchError);
    expect((await four.stats()).pending).toBe(20);
  });

  it("T11 counter-test: let in, it does not see what lies elsewhere, and the same id is there twice", async () => {
    await using desk = new Desk();
    const name = freshName();
    const four = desk.timer<{ n: number }>(server.url, name, { shards: 4 });
    await four.scheduleMany(requests(20, 60_000));
    const guard = 'elseif string.sub(layout, 1, #shards + 3) ~= "1:" .. shards .. ":" then';
    await withAlteredLua(open, guard, "elseif false then", async () => {
      const one = desk.timer<{ n: number }>(server.url, name);
      const kinds = (await one.scheduleMany(requests(20, 60_000))).map(({ kind }) => kind);
      expect(new Set(kinds)).toEqual(new Set(["kept", "scheduled"]));
    });
    expect((await four.stats()).pending).toBeGreaterThan(20);
  });

  it("T11 a worker with another number of shards says so, claims nothing, and works once the numbers agree", async () => {
    await using desk = new Desk();
    const name = freshName();
    const two = desk.timer<{ n: number }>(server.url, name, { shards: 2 });
    await two.scheduleMany(requests(10, 0));
    const catcher = new Catcher<{ n: number }>();
    const worker = desk.timer<{ n: number }>(server.url, name).worker({ pollMs: 20 }, catcher.handle);
    await worker.start();
    await pollUntil("it says so", () =>
      desk.events.some((event) => event.type === "trouble" && event.error instanceof ShardsMismatchError),
    );
    expect(catcher.firings).toHaveLength(0);
    await desk.timer(server.url, name, { shards: 1 }).migrateShards();
    await catcher.caught(10);
    await worker.idle();
    expect(new Set(catcher.ids).size).toBe(10);
    await worker.stop({ graceMs: 1_000 });
  });

  for (const [from, to] of [
    [1, 4],
    [4, 1],
    [3, 5],
  ] as const) {
    it(`T11 timers, retries, dead letters and generations survive a migration from ${from} to ${to} shards, none lost or doubled`, async () => {
      await using desk = new Desk();
      const name = freshName();
      const before = desk.timer<{ n: number }>(server.url, name, { shards: from });
      await before.scheduleMany(requests(600, 60_000));
      await before.scheduleMany([
        { id: "dead", afterMs: 0, payload: { n: -1 } },
        { id: "retried", afterMs: 0, payload: { n: -2 } },
      ]);
      const failing = before.worker({ backoff: { baseMs: 60_000, jitter: 0 }, attemptsMax: 2 }, ({ id }) => {
        throw new Error(id === "dead" ? "dead" : "again");
      });
      await failing.start();
      await pollUntil("both have failed", () => failing.counts().retried === 2);
      await before.fireNow("dead");
      await pollUntil("one is dead", async () => (await before.stats()).dead === 1);
      await failing.stop({ graceMs: 1_000 });
      const generation = (await before.get("t5"))?.generation as number;
      const after = desk.timer<{ n: number }>(server.url, name, { shards: to });
      const reports = await Promise.all([after.migrateShards(), after.migrateShards()]);
      expect(reports.some(({ moved }) => moved > 0)).toBe(true);
      expect(await after.stats()).toMatchObject({ pending: 601, dead: 1, leased: 0 });
      expect(await after.get("t5")).toMatchObject({ payload: { n: 5 }, generation });
      expect(await after.get("retried")).toMatchObject({ attempts: 1 });
      expect(await failure(before.stats())).toBeInstanceOf(ShardsMismatchError);
      const replaced = await after.schedule({ id: "t5", afterMs: 60_000, payload: { n: 5 }, ifExists: "replace" });
      expect(replaced.generation).toBeGreaterThan(generation);
      expect(await after.dead.redrive("dead")).toEqual({ kind: "redriven" });
      const catcher = new Catcher<{ n: number }>();
      const worker = after.worker(catcher.handle);
      await worker.start();
      for (let n = 0; n < 600; n += 1) await after.fireNow(`t${n}`);
      await catcher.caught(601);
      await worker.idle();
      expect(new Set(catcher.ids).size).toBe(601);
      await worker.stop({ graceMs: 1_000 });
    });
  }

  for (const isKilled of [false, true]) {
    it(`T4 K5 generations rise over a migration from a shard whose clock was ahead${isKilled ? ", also when its caller dies between two of the last steps" : ""}`, async () => {
      await using desk = new Desk();
      const name = freshName();
      const id = Array.from({ length: 50 }, (_, n) => `x${n}`).find((one) => shardOf(one, 2) === 1) as string;
      const two = desk.timer(server.url, name, { shards: 2 });
      await two.stats();
      const admin = desk.redis(server.url);
      const aheadUs = String((Date.now() + 3_600_000) * 1_000);
      await admin.hset(`holdfast:{timer/1:${name}}:state`, "floor", aheadUs);
      const before = await two.schedule({ id, afterMs: 60_000 });
      await two.cancel(id);
      if (isKilled) {
        const redis = desk.redis(server.url);
        const call = redis.call.bind(redis) as (command: string, args: string[]) => Promise<unknown>;
        const isLast = (args: string[]): boolean => args.includes("finish") && String(args[2]).includes("{timer:");
        const untilLast = async (command: string, args: string[]): Promise<unknown> => {
          if (isLast(args.slice(1))) throw new Error("died before the last step");
          return call(command, args);
        };
        Object.assign(redis, { call: untilLast });
        await failure(desk.timerOn(redis, name, { shards: 1 }).migrateShards());
        expect(await admin.hget(`holdfast:{timer/1:${name}}:state`, "layout")).toMatch(/^1:1:/u);
        expect(await admin.hget(`holdfast:{timer:${name}}:state`, "layout")).toMatch(/^1:2>1:/u);
      }
      const one = desk.timer(server.url, name, { shards: 1 });
      await one.migrateShards();
      const after = await one.schedule({ id, afterMs: 60_000 });
      expect(after.generation).toBeGreaterThan(before.generation);
    });
  }

  it("T11 a caller that died between a copy and its removal has lost nothing, and is followed by two at once that double nothing", async () => {
    await using desk = new Desk();
    const name = freshName();
    await desk.timer<{ n: number }>(server.url, name).scheduleMany(requests(50, 60_000));
    const doomed = dyingAtSecond(desk.redis(server.url), [store, discard]);
    await failure(desk.timerOn(doomed, name, { shards: 3 }).migrateShards());
    const after = desk.timer<{ n: number }>(server.url, name, { shards: 3 });
    await Promise.all([after.migrateShards(), after.migrateShards()]);
    expect(await after.stats()).toMatchObject({ pending: 50, leased: 0 });
    for (const { id, payload } of requests(50, 0)) expect(await after.get(id)).toMatchObject({ payload });
    const kept = await desk.redis(server.url).hlen(`holdfast:{timer:${name}}:data`);
    expect(kept).toBe(requests(50, 0).filter(({ id }) => shardOf(id, 3) === 0).length);
  });

  for (const isKilled of [false, true]) {
    it(`T9 T11 K1 a repeat finds its first answer after a migration${isKilled ? ", also when its caller died before it was removed where it was" : ""}, and after the way back`, async () => {
      await using desk = new Desk();
      const name = freshName();
      const one = desk.timer(server.url, name, { rememberMs: 600_000 });
      const catcher = new Catcher();
      const worker = one.worker(catcher.handle);
      await worker.start();
      const ids = Array.from({ length: 20 }, (_, n) => `t${n}`);
      const operationId = "request";
      const repeat = (timer: DurableTimer): Promise<unknown> =>
        Promise.all(ids.map((id) => timer.schedule({ id, afterMs: 0, operationId })));
      const first = await repeat(one);
      await catcher.caught(ids.length);
      await worker.idle();
      await worker.stop({ graceMs: 1_000 });
      await one.schedule({ id: "cancelled", afterMs: 60_000 });
      expect(await one.cancel("cancelled", { operationId })).toEqual({ kind: "cancelled" });
      if (isKilled) {
        const doomed = dyingAtSecond(desk.redis(server.url), [remind, forget]);
        await failure(desk.timerOn(doomed, name, { shards: 3 }).migrateShards());
      }
      const three = desk.timer(server.url, name, { shards: 3 });
      await three.migrateShards();
      // Nobody who wants it for so long has opened the new shards yet.
      const redis = desk.redis(server.url);
      for (const shard of ["timer", "timer/1", "timer/2"]) {
        const head = `holdfast:{${shard}:${name}}`;
        expect(await redis.hget(`${head}:state`, "keepUs")).toBe("600000000");
        const ttls = await Promise.all(["a", "b"].map((half) => redis.pttl(`${head}:memory:${half}`)));
        expect(Math.max(...ttls)).toBeGreaterThan(1_200_000);
      }
      expect(await repeat(three)).toEqual(first);
      expect(await three.cancel("cancelled", { operationId })).toEqual({ kind: "cancelled" });
      // Each fires once more under another operation, which is the one that counts after the way back.
      const again = await Promise.all(ids.map((id) => three.schedule({ id, afterMs: 60_000, operationId: "second" })));
      await Promise.all(ids.map((id) => three.cancel(id)));
      const back = desk.timer(server.url, name);
      await back.migrateShards();
      expect(await repeat(back)).toEqual(first);
      expect(await Promise.all(ids.map((id) => back.schedule({ id, afterMs: 60_000, operationId: "second" })))).toEqual(
        again,
      );
      expect(await back.stats()).toMatchObject({ pending: 0, leased: 0 });
    });
  }

  for (const walk of [
    [3, 1, 2, 3],
    [4, 2, 3, 4],
    [8, 4, 6, 8],
  ]) {
    it(`T11 a migration uses shards again that earlier ones have left, whatever moves they took part in: ${walk.join(", ")}`, async () => {
      await using desk = new Desk();
      const name = freshName();
      const ofShards = (shards: number): DurableTimer<{ n: number }> => desk.timer(server.url, name, { shards });
      await ofShards(walk[0] as number).scheduleMany(requests(100, 60_000));
      for (const shards of walk.slice(1)) expect(await ofShards(shards).migrateShards()).toMatchObject({ to: shards });
      const last = ofShards(walk.at(-1) as number);
      expect(await last.stats()).toMatchObject({ pending: 100, leased: 0 });
      for (const { id, payload } of requests(100, 0)) expect(await last.get(id)).toMatchObject({ payload });
    });
  }

  it("T11 what a shard remembers after a migration has carried all away expires, too", async () => {
    await using desk = new Desk();
    const name = freshName();
    const ids = Array.from({ length: 20 }, (_, n) => `c${n}`);
    const [here, away] = [0, 1].map((shard) => ids.find((id) => shardOf(id, 2) === shard) as string) as [
      string,
      string,
    ];
    await desk.timer(server.url, name).cancel(away);
    const two = desk.timer(server.url, name, { shards: 2 });
    await two.migrateShards();
    const redis = desk.redis(server.url);
    const { memoryA, memoryB } = shardKeys("holdfast", name, 0);
    expect(await redis.exists(memoryA, memoryB)).toBe(0);
    await two.cancel(here);
    for (const key of [memoryA, memoryB]) expect(await redis.pttl(key)).not.toBe(-1);
    expect(await redis.exists(memoryA, memoryB)).toBe(1);
  });

  it("T11 a migration that an earlier version could not bring to its end is brought there now", async () => {
    await using desk = new Desk();
    const name = freshName();
    const ofShards = (shards: number): DurableTimer<{ n: number }> => desk.timer(server.url, name, { shards });
    await ofShards(3).scheduleMany(requests(20, 60_000));
    await ofShards(1).migrateShards();
    await ofShards(2).migrateShards();
    for (const shard of ["timer", "timer/1"])
      await server.call("HSET", `holdfast:{${shard}:${name}}:state`, "moving", "3");
    expect(await failure(ofShards(2).schedule({ id: "x", afterMs: 0, payload: { n: 0 } }))).toBeInstanceOf(
      ShardsMovingError,
    );
    expect(await ofShards(3).migrateShards()).toMatchObject({ from: 2, to: 3 });
    expect(await ofShards(3).stats()).toMatchObject({ pending: 20 });
  });

  it("T11 T2 a migration sees the lease of a dead worker behind everything that is due before it", async () => {
    await using desk = new Desk();
    const name = freshName();
    const one = desk.timer<{ n: number }>(server.url, name);
    await one.schedule({ id: "doomed", afterMs: 0, payload: { n: -1 } });
    const redis = desk.redis(server.url);
    const keys = shardKeys("holdfast", name, 0);
    const named: Readonly<Record<string, string | number>> = {
      layout: (await redis.hget(keys.state, "layout")) as string,
      notAfterUs: "9000000000000000",
      lane: "dead.0",
      sequence: 1,
      limit: 10,
      leaseUs: 500_000,
      ackCount: 0,
    };
    const args = claim.args.map((arg) => String(named[arg]));
    await redis.call("eval", [claim.source, claim.keys.length, ...claim.keys.map((key) => keys[key]), ...args]);
    expect(await one.stats()).toMatchObject({ leased: 1 });
    await one.scheduleMany(requests(450, 0));
    const two = desk.timer<{ n: number }>(server.url, name, { shards: 2 });
    expect(await two.migrateShards({ waitMs: 20_000 })).toMatchObject({ from: 1, to: 2 });
    expect(await two.stats()).toMatchObject({ due: 451, leased: 0 });
  });

  it("T11 a migration asks replicas to confirm each step, before a timer is removed where it was", async () => {
    await using desk = new Desk();
    const name = freshName();
    await desk.timer<{ n: number }>(server.url, name).scheduleMany(requests(20, 60_000));
    const two = desk.timer(server.url, name, { shards: 2, durability: { replicas: 1, timeoutMs: 20 } });
    const error = await failure(two.migrateShards());
    // It is done as far as its first step, and nothing fires before it has come to its last.
    expect(error).toMatchObject({ name: "OutcomeUnknownError", message: /migrateShards\(\) again/u });
    expect(error.cause).toBeInstanceOf(NotReplicatedError);
    expect(await desk.redis(server.url).zcard(`holdfast:{timer:${name}}:due`)).toBe(20);
  });

  it("T11 a migration waits for running firings, whose acknowledgements still count, and refuses the rest meanwhile", async () => {
    await using desk = new Desk();
    const { before, after, worker, gate } = await running(desk, 60_000);
    const migrating = after.migrateShards();
    await pollUntil("schedules are refused", async () => {
      return (
        (await failure(before.schedule({ id: "new", afterMs: 60_000, payload: { n: 0 } }))) instanceof ShardsMovingError
      );
    });
    gate.open();
    expect(await migrating).toMatchObject({ from: 1, to: 3 });
    expect(await after.stats()).toMatchObject({ due: 0, leased: 0 });
    expect(worker.counts()).toMatchObject({ fired: 5, stale: 0 });
    await worker.stop({ graceMs: 100 });
  });

  it("T11 counter-test: a migration that does not wait for running firings delivers them a second time", async () => {
    await using desk = new Desk();
    const { after, worker, catcher, gate } = await running(desk, 1_000);
    await withAlteredLua(move, "tonumber(kept[2]) <= 0", "true", () => after.migrateShards());
    gate.open();
    const second = after.worker({ leaseMs: 1_000, pollMs: 20 }, catcher.handle);
    await second.start();
    await catcher.caught(10);
    expect(new Set(catcher.ids).size).toBe(5);
    await Promise.all([worker.stop({ graceMs: 100 }), second.stop({ graceMs: 1_000 })]);
  });

  it("T11 a migration whose caller's signal aborts ends its wait for running firings, and is brought to its end by the next one", async () => {
    await using desk = new Desk();
    const { before, after, worker, gate } = await running(desk, 60_000);
    const giveUp = new AbortController();
    const migrating = failure(after.migrateShards({ signal: giveUp.signal }));
    await pollUntil("it waits", async () => (await failure(before.cancel("new"))) instanceof ShardsMovingError);
    giveUp.abort(new RangeError("enough"));
    expect((await migrating).message).toBe("enough");
    expect((await failure(after.migrateShards({ signal: giveUp.signal }))).message).toBe("enough");
    gate.open();
    await worker.stop({ graceMs: 10_000 });
    expect(await after.migrateShards()).toMatchObject({ from: 1, to: 3 });
  });

  it("T11 a migration whose caller gave up half-way is brought to its end by the next one", async () => {
    await using desk = new Desk();
    const name = freshName();
    const before = desk.timer<{ n: number }>(server.url, name);
    await before.scheduleMany(requests(50, 60_000));
    await before.schedule({ id: "running", afterMs: 0, payload: { n: 0 } });
    const gate = new Gate();
    const worker = before.worker(() => gate.opened);
    await worker.start();
    await pollUntil("it runs", () => worker.counts().running === 1);
    const after = desk.timer<{ n: number }>(server.url, name, { shards: 2 });
    expect(await failure(after.migrateShards({ waitMs: 0 }))).toBeInstanceOf(ShardsMovingError);
    expect(await failure(after.stats())).toBeInstanceOf(ShardsMismatchError);
    gate.open();
    await worker.stop({ graceMs: 2_000 });
    expect(await after.migrateShards()).toMatchObject({ from: 1, to: 2 });
    expect(await after.stats()).toMatchObject({ pending: 50 });
  });
});
