/** What a timer costs in commands, script by script, on a server that nobody else uses; and that what was saved is not missed. */
import { describe, expect, it } from "vitest";
import * as lua from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { shardOfEachTest } from "./script-shard.ts";
import type { ScriptShard } from "./script-shard.ts";

const shard = shardOfEachTest();

/** The commands that the server executes meanwhile, those inside of scripts and the script itself. */
async function commandsOf(run: () => Promise<unknown>): Promise<Readonly<Record<string, number>>> {
  await shard.server.call("CONFIG", "RESETSTAT");
  await run();
  const info = (await shard.server.call("INFO", "commandstats")) as string;
  const calls = [...info.matchAll(/cmdstat_([^:]+):calls=(\d+)/gu)].map(
    ([, name, count]) => [name as string, Number(count)] as const,
  );
  return Object.fromEntries(calls.filter(([name]) => !["config|resetstat", "info"].includes(name)));
}

const schedule: ScriptShard["schedule"] = (...given) => shard.schedule(...given);
const claim: ScriptShard["claimNext"] = (...given) => shard.claimNext(...given);

/** Claims what is due; the end of its lease. */
async function lease(limit = 10): Promise<string> {
  return (await claim(limit)).leaseEnd;
}

/** A timer fires, so that the shard and the lane are known; and one is pending, as there always is. */
async function warmUp(): Promise<void> {
  await schedule("k+600000", "pending");
  await schedule("k@1000", "first");
  await claim(10, [await lease(), 1, "first", ""]);
}

describe("the commands of one timer between bursts", () => {
  it("are nine to lease it, ten to acknowledge it and look for the next, and five to find nothing due", async () => {
    await warmUp();
    await schedule("k@1000", "a");
    let leaseEnd = "";
    const leasing = await commandsOf(async () => {
      leaseEnd = await lease();
    });
    expect(leasing).toEqual({ eval: 1, time: 1, hmget: 3, zrange: 1, hset: 2, zadd: 1 });
    const acknowledging = await commandsOf(() => claim(10, [leaseEnd, 1, "a", ""]));
    expect(acknowledging).toEqual({ eval: 1, time: 1, hmget: 2, zmscore: 1, zrange: 1, hdel: 1, zrem: 1, hset: 2 });
    expect(await shard.redis.zrange(shard.keys.due, "0", "-1")).toEqual(["pending"]);
    expect(await commandsOf(() => claim(10))).toEqual({ eval: 1, time: 1, hmget: 2, zrange: 1 });
  });

  it("are not more for a worker with one place, however much is due", async () => {
    await warmUp();
    await schedule("k@1000", "a", "b", "c", "d", "e");
    const commands = await commandsOf(() => lease(1));
    expect(commands).toEqual({ eval: 1, time: 1, hmget: 3, zrange: 1, hset: 2, zadd: 1 });
  });

  it("are not more when a turn of the memory is over, but for what the turn costs once", async () => {
    await warmUp();
    await shard.redis.hset(shard.keys.state, "sideUs", "1000");
    await schedule("k@1000", "a", "b");
    await lease(1);
    const leasing = await commandsOf(() => lease(1));
    expect(leasing).toMatchObject({ hmget: 3, hset: 2 });
    await shard.redis.hset(shard.keys.state, "sideUs", "1000");
    await schedule("k@1000", "c");
    expect(await commandsOf(() => lease(1))).toMatchObject({ hmget: 3, hset: 3, unlink: 1, pexpire: 1 });
    // The lane is in the hash that is at rest if somebody else began the turn.
    await shard.redis.hset(shard.keys.state, "sideUs", "1000");
    await shard.call(lua.cancel, {}, ["another", "1"]);
    expect(await commandsOf(() => claim(10))).toMatchObject({ hmget: 3 });
    expect(await commandsOf(() => claim(10))).toMatchObject({ hmget: 3 });
  });
});

describe("the older half of the memory", () => {
  it("K1 a repeat is answered from the turn before although another of its batch is of this turn", async () => {
    await schedule("k+60000", "a", "b");
    expect((await shard.call(lua.cancel, {}, ["a", "1"]))[2]).toEqual(["cancelled"]);
    await shard.redis.hset(shard.keys.state, "sideUs", "1000");
    expect((await shard.call(lua.cancel, {}, ["b", "2"]))[2]).toEqual(["cancelled"]);
    expect((await shard.call(lua.cancel, {}, ["b", "2", "a", "1"]))[2]).toEqual(["cancelled", "cancelled"]);
  });
});

describe("a shard without notes and followers says so, and nobody asks", () => {
  const plain = (): Promise<string | null> => shard.redis.hget(shard.keys.state, "plain");

  const settle = (verb: string, leaseEnd: string, token: string, detail: string | number): Promise<unknown> =>
    shard.call(lua.settle, {}, ["a", leaseEnd, token, "s", verb, 1, detail]);
  const writers: Readonly<Record<string, (leaseEnd: string, token: string) => Promise<unknown>>> = {
    extend: (leaseEnd, token) => shard.call(lua.extend, { leaseUs: 1_000_000 }, ["a", leaseEnd, token, 1]),
    retry: (leaseEnd, token) => settle("retry", leaseEnd, token, 60_000),
    release: (leaseEnd, token) => settle("release", leaseEnd, token, ""),
    reap: async () => {
      await shard.lapse();
      return shard.call(lua.reap, { limit: 10, attemptsMax: 3, leaseUs: 50_000_000, error: "gone" });
    },
    cancel: () => shard.call(lua.cancel, {}, ["a", "1"]),
    hasten: async () => {
      await schedule("k+60000", "later");
      return shard.call(lua.hasten, { id: "later", operation: "h" });
    },
    schedule: () => shard.call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e12 }, ["k+1", 1, "a", "2 {}"]),
    "store of a note": () => shard.call(lua.store, { part: "due" }, ["x", "5000", "body", "note", ""]),
    "store of what follows": () => shard.call(lua.store, { part: "due" }, ["x", "5000", "body", "", "following"]),
  };

  it.each(Object.keys(writers))("T4 T6 until one is written, as by %s, and again when it is gone", async (name) => {
    await schedule("k@1000", "a");
    const { leaseEnd, token } = await claim(10);
    expect(await plain()).toBe("1");
    await writers[name]?.(leaseEnd, String(token));
    expect(await shard.redis.exists(shard.keys.notes, shard.keys.later)).toBe(1);
    expect(await plain()).toBeNull();
    await schedule("k@1000", "b");
    await lease();
    expect(await plain()).toBeNull();
    await shard.redis.del(shard.keys.notes, shard.keys.later);
    await schedule("k@1000", "c");
    await lease();
    expect(await plain()).toBe("1");
  });

  it("T4 T6 is asked of every Lua file that writes one, but of those that set only what is not there", () => {
    const asked = ["extend", "settle", "reap", "cancel", "hasten", "schedule", "store"];
    const setNew = ["redrive", "restore"];
    const writing = Object.entries(lua).filter(([, { source }]) => /"HSET", (?:notes|later)\b/u.test(source));
    expect(writing.map(([name]) => name).toSorted()).toEqual([...asked, ...setNew].toSorted());
  });

  it("T4 a shard that says nothing is asked, as one is whose state was founded anew beside what was there", async () => {
    await schedule("k@1000", "a");
    await lease();
    await shard.call(lua.cancel, {}, ["a", "1"]);
    await shard.redis.del(shard.keys.state);
    await shard.found();
    await schedule("k@1000", "b");
    await lease();
    expect(await plain()).toBeNull();
  });

  /** A note is written that no longer takes the word back; the attempt that the next claim hands out for it. */
  async function noteAfterRetry(): Promise<string | null | undefined> {
    await schedule("k@1000", "a");
    const { leaseEnd, token } = await claim(10);
    await shard.call(lua.settle, {}, ["a", leaseEnd, String(token), "o", "release", 3, ""]);
    return (await claim(10)).notes[0];
  }

  it("T6 what was noted comes with the next claim", async () => {
    expect(await noteAfterRetry()).toBe("0003--");
  });

  it("T6 counter-test: who writes a note and leaves the word standing hides its attempts", async () => {
    await withAlteredLua(
      lua.settle,
      `redis.call("HDEL", state, "plain")`,
      `redis.call("HDEL", state, "")`,
      async () => {
        expect(await noteAfterRetry()).toBeUndefined();
      },
    );
  });
});

describe("types that are not asked for beforehand", () => {
  /** An acknowledgement when another program has taken the records' key. */
  async function acknowledgeBesideStranger(): Promise<{ readonly before: unknown; readonly after: unknown }> {
    await schedule("k@1000", ...many);
    const leaseEnd = await lease(many.length);
    const before = await snapshot();
    await shard.redis.set(shard.keys.data, "another program's");
    for (const ids of [many.slice(0, 1), many]) {
      const acks = [leaseEnd, ids.length, ...ids, ...ids.map(() => "")];
      await expect(claim(0, acks, ids.length)).rejects.toThrow("WRONGTYPE");
    }
    return { before, after: await snapshot() };
  }

  const many = Array.from({ length: 9 }, (_, index) => `t${index}`);
  const snapshot = async (): Promise<unknown> => [
    await shard.redis.zrange(shard.keys.due, "0", "-1", "WITHSCORES"),
    await shard.redis.hgetall(shard.keys.state),
    await shard.redis.hgetall(shard.keys.memoryA),
    await shard.redis.hgetall(shard.keys.memoryB),
  ];

  it("K3 an acknowledgement writes nothing when the key of the records is another program's", async () => {
    const { before, after } = await acknowledgeBesideStranger();
    expect(after).toEqual(before);
  });

  it("K3 a schedule writes nothing when a key is another program's", async () => {
    await warmUp();
    const before = await snapshot();
    await shard.redis.rename(shard.keys.data, "aside");
    await shard.redis.set(shard.keys.data, "another program's");
    await expect(schedule("k+60000", "a")).rejects.toThrow("WRONGTYPE");
    expect(await snapshot()).toEqual(before);
    await shard.redis.rename("aside", shard.keys.data);
    expect((await schedule("k+60000", "a"))[0]).toBe("scheduled");
  });

  it("K3 counter-test: with the deadlines first, a timer without a record stays", async () => {
    const [records, deadlines] = [
      `redis.call("HSET", data, unpack(recorded))`,
      `redis.call("ZADD", due, unpack(scored))`,
    ];
    await withAlteredLua(lua.schedule, `${records}\n    ${deadlines}`, `${deadlines}\n    ${records}`, async () => {
      await shard.redis.set(shard.keys.data, "another program's");
      await expect(schedule("k+60000", "a")).rejects.toThrow("WRONGTYPE");
      expect(await shard.redis.zrange(shard.keys.due, "0", "-1")).toEqual(["a"]);
    });
  });
});
