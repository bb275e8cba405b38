/** T11: moves of shards that others overtake, or of which a failover takes back a part. */
import { RedisServer } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ShardsMovingError } from "../src/index.ts";
import type { DurableTimer } from "../src/index.ts";
import { shardKeys, shardOf } from "../src/keys.ts";
import { move, pack, store } from "../src/scripts.generated.ts";
import { Desk, failure, freshName, Gate, requests } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

/** The timers of a name in any number of shards. */
function byShards(desk: Desk, name: string): (shards: number) => DurableTimer<{ n: number }> {
  return (shards) => desk.timer(server.url, name, { shards });
}

/** A client that does something else before its first request with a script and all of some arguments. */
function interrupted(
  redis: Redis,
  { sha1 }: { readonly sha1: string },
  words: readonly string[],
  meanwhile: () => Promise<unknown>,
): Redis {
  const call = redis.call.bind(redis) as (command: string, args: unknown[]) => Promise<unknown>;
  let isDone = false;
  const counted = async (command: string, args: unknown[]): Promise<unknown> => {
    if (!isDone && args[0] === sha1 && words.every((word) => args.includes(word))) {
      isDone = true;
      await meanwhile();
    }
    return call(command, args);
  };
  return Object.assign(redis, { call: counted });
}

describe("T11 moves of shards", () => {
  for (const step of ["seal", "finish"]) {
    it(`T11 a migration that others have carried out and taken back meanwhile begins nothing anew: overtaken before ${step}`, async () => {
      await using desk = new Desk();
      const name = freshName();
      const ofShards = byShards(desk, name);
      await ofShards(2).scheduleMany(requests(20, 60_000));
      const redis = interrupted(desk.redis(server.url), move, [step], async () => {
        await ofShards(1).migrateShards();
        await ofShards(2).migrateShards();
      });
      const stale = desk.timerOn(redis, name, { shards: 1 });
      expect(await failure(stale.migrateShards())).toMatchObject({ name: "ShardsMismatchError", effect: "possible" });
      expect(await ofShards(2).schedule({ id: "new", afterMs: 60_000, payload: { n: 0 } })).toMatchObject({
        kind: "scheduled",
      });
      expect(await ofShards(2).stats()).toMatchObject({ pending: 21 });
    });
  }

  it("T11 a migration that others have carried out and taken back meanwhile stops no shard: overtaken between the first steps", async () => {
    await using desk = new Desk();
    const name = freshName();
    const ofShards = byShards(desk, name);
    await ofShards(2).scheduleMany(requests(20, 60_000));
    const { state } = shardKeys("holdfast", name, 1);
    const redis = interrupted(desk.redis(server.url), move, ["drain", state], async () => {
      await ofShards(1).migrateShards();
      await ofShards(2).migrateShards();
    });
    const stale = desk.timerOn(redis, name, { shards: 1 });
    expect(await failure(stale.migrateShards())).toMatchObject({ name: "ShardsMismatchError", effect: "possible" });
    expect(await ofShards(2).stats()).toMatchObject({ pending: 20 });
  });

  for (const [step, part] of [
    ["seal", 1],
    ["finish", 1],
    ["finish", 0],
  ] as const) {
    it(`T11 a migration does not finish what others have sealed for a later one and not carried over: overtaken before ${step} of shard ${part}`, async () => {
      await using desk = new Desk();
      const name = freshName();
      const ofShards = byShards(desk, name);
      await ofShards(2).scheduleMany(requests(20, 60_000));
      const { state } = shardKeys("holdfast", name, part);
      const redis = interrupted(desk.redis(server.url), move, [step, state], async () => {
        await ofShards(1).migrateShards();
        await ofShards(2).migrateShards();
        const doomed = interrupted(desk.redis(server.url), store, [], () => Promise.reject(new Error("died")));
        await failure(desk.timerOn(doomed, name, { shards: 1 }).migrateShards());
      });
      const stale = desk.timerOn(redis, name, { shards: 1 });
      await stale.migrateShards().catch(() => undefined);
      await ofShards(1).migrateShards();
      expect(await ofShards(1).stats()).toMatchObject({ pending: 20 });
      for (const { id, payload } of requests(20, 0)) expect(await ofShards(1).get(id)).toMatchObject({ payload });
    });
  }

  it("T11 a migration whose shard one that was overtaken finishes too early carries over what belongs there", async () => {
    await using desk = new Desk();
    const name = freshName();
    const ofShards = byShards(desk, name);
    await ofShards(1).scheduleMany(requests(20, 60_000));
    const { state } = shardKeys("holdfast", name, 1);
    const [isSealed, isOver] = [new Gate(), new Gate()];
    const later = interrupted(desk.redis(server.url), store, [], async () => {
      isSealed.open();
      await isOver.opened;
    });
    let last: Promise<unknown> = Promise.resolve();
    const overtaken = interrupted(desk.redis(server.url), move, ["seal", state], async () => {
      await ofShards(2).migrateShards();
      await ofShards(1).migrateShards();
      last = desk.timerOn(later, name, { shards: 2 }).migrateShards();
      await isSealed.opened;
    });
    await desk
      .timerOn(overtaken, name, { shards: 2 })
      .migrateShards()
      .catch(() => undefined);
    isOver.open();
    await last;
    expect(await ofShards(2).stats()).toMatchObject({ pending: 20 });
    for (const { id, payload } of requests(20, 0)) expect(await ofShards(2).get(id)).toMatchObject({ payload });
  });

  it("T11 a migration says that it has not come to its end when a failover has taken back that a shard was sealed", async () => {
    await using desk = new Desk();
    const name = freshName();
    const ofShards = byShards(desk, name);
    await ofShards(2).scheduleMany(requests(20, 60_000));
    const admin = desk.redis(server.url);
    const { state, due } = shardKeys("holdfast", name, 1);
    const layout = (await admin.hget(state, "layout")) as string;
    const redis = interrupted(desk.redis(server.url), pack, [due], () => admin.hset(state, "layout", layout));
    const unlucky = desk.timerOn(redis, name, { shards: 1 });
    expect(await failure(unlucky.migrateShards())).toMatchObject({ effect: "possible" });
    await ofShards(1).migrateShards();
    expect(await ofShards(1).stats()).toMatchObject({ pending: 20 });
  });

  it("T11 a shard of which a failover has taken back the end of a migration is brought there by the next call", async () => {
    await using desk = new Desk();
    const name = freshName();
    const ofShards = byShards(desk, name);
    await ofShards(1).scheduleMany(requests(20, 60_000));
    const { state } = shardKeys("holdfast", name, 1);
    const admin = desk.redis(server.url);
    let sealed: Record<string, string> = {};
    const redis = interrupted(desk.redis(server.url), move, ["finish", state], async () => {
      sealed = await admin.hgetall(state);
    });
    await desk.timerOn(redis, name, { shards: 2 }).migrateShards();
    await admin.hset(state, sealed);
    expect(await failure(ofShards(2).stats())).toBeInstanceOf(ShardsMovingError);
    expect(await ofShards(2).migrateShards()).toMatchObject({ from: 1, to: 2 });
    expect(await ofShards(2).stats()).toMatchObject({ pending: 20 });
    for (const { id, payload } of requests(20, 0)) expect(await ofShards(2).get(id)).toMatchObject({ payload });
  });

  const moments = ["drain", "seal", "pack", "finish"] as const;
  const walks = [[3], [4], [2, 3], [2, 4]] as const;
  for (const moment of moments) {
    for (const walk of walks) {
      it(`T11 a shard that was given up, and of which a failover has taken back all since ${moment}, is used again: ${walk.join(", ")}`, async () => {
        await using desk = new Desk();
        const name = freshName();
        const ofShards = byShards(desk, name);
        await ofShards(3).scheduleMany(requests(20, 60_000));
        const admin = desk.redis(server.url);
        const { wake: _, ...parts } = shardKeys("holdfast", name, 2);
        const keys = Object.values(parts);
        let kept: (Buffer | null)[] = [];
        const words = moment === "pack" ? [parts.due] : [moment, parts.state];
        const redis = interrupted(desk.redis(server.url), moment === "pack" ? pack : move, words, async () => {
          kept = await Promise.all(keys.map((key) => admin.dumpBuffer(key)));
        });
        await desk.timerOn(redis, name, { shards: 1 }).migrateShards();
        // One that has been rescheduled since, and is kept in the shard again: what was taken back there is older.
        const again = requests(20, 0).find(({ id }) => shardOf(id, 3) === 2 && shardOf(id, 4) === 2)?.id as string;
        const at = Date.now() + 7_200_000;
        await ofShards(1).schedule({ id: again, at, payload: { n: -1 }, ifExists: "replace" });
        for (const [index, key] of keys.entries()) {
          await admin.del(key);
          const value = kept[index];
          if (Buffer.isBuffer(value)) await admin.restore(key, 0, value);
        }
        for (const to of walk) expect(await ofShards(to).migrateShards()).toMatchObject({ to });
        const last = ofShards(walk.at(-1) as number);
        expect(await last.stats()).toMatchObject({ pending: 20, leased: 0 });
        for (const { id, payload } of requests(20, 0))
          expect(await last.get(id)).toMatchObject(id === again ? { payload: { n: -1 }, dueAtMs: at } : { payload });
      });
    }
  }
});
