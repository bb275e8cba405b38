/** Each Lua file for itself, on a real server: what it answers, and what it leaves in the keys. */
import { UnexpectedReplyError } from "@holdfast/core";
import { describe, expect, it } from "vitest";
import { claimScript } from "../src/claim.ts";
import { shardKeys } from "../src/keys.ts";
import { decodeRecord } from "../src/record.ts";
import * as lua from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { far, shardOfEachTest } from "./script-shard.ts";
import type { ScriptShard } from "./script-shard.ts";

const shard = shardOfEachTest();

const call: ScriptShard["call"] = (...given) => shard.call(...given);
const set: ScriptShard["set"] = (...ids) => shard.set(...ids);
const lease: ScriptShard["lease"] = (...given) => shard.lease(...given);

describe("scripts", () => {
  it("open founds once, grows its bounds, and refuses another number of shards", async () => {
    const again = await call(lua.open, { shards: 1, boundUs: 90_000_000, keepUs: 1, found: "1" });
    expect(again).toEqual(["opened", again[1], shard.layout]);
    expect(await shard.redis.hmget(shard.keys.state, "boundUs", "keepUs")).toEqual(["90000000", "90000000"]);
    expect(await call(lua.open, { shards: 2, boundUs: 1, keepUs: 1, found: "1" })).toEqual(["other", shard.layout]);
    shard.keys = shardKeys("holdfast", "nobody", 0);
    expect(await call(lua.open, { shards: 1, boundUs: 1, keepUs: 1, found: "0" })).toEqual(["absent"]);
  });

  it("schedule sets, keeps, replaces and repeats, and refuses what is late or from another layout", async () => {
    const one = (operation: string, when: string): Promise<unknown[]> =>
      call(lua.schedule, { pendingMax: 1, delayMaxMs: 1e9 }, [when, 1, "a", `${operation} {}`]);
    expect(((await one("1", "k+50"))[2] as string[])[0]).toMatch(/^s[0-9a-z]{10}5[01]$/u);
    expect(((await one("2", "k+10"))[2] as string[])[0]).toMatch(/^k/u);
    expect(((await one("3", "r+10"))[2] as string[])[0]).toMatch(/^r/u);
    expect(((await one("1", "k+50"))[2] as string[])[0]).toMatch(/^s/u);
    const others = ["k+1", 2, "b", "4 {}", "b2", "4 {}", "k+1000000001", 1, "c", "5 {}"];
    expect((await call(lua.schedule, { pendingMax: 1, delayMaxMs: 1e9 }, others))[2]).toEqual(["p", 2, "d", 1]);
    const late = ["k+1", 1, "x", "6 "];
    expect((await call(lua.schedule, { pendingMax: 0, delayMaxMs: 1, notAfterUs: 1 }, late))[0]).toBe("too-late");
    expect(await call(lua.schedule, { layout: "1:1:1", pendingMax: 0, delayMaxMs: 1 }, late)).toEqual([
      "layout",
      shard.layout,
    ]);
    expect(await shard.redis.zcard(shard.keys.due)).toBe(1);
  });

  it("cancel removes a pending timer, marks a leased one, and leaves a tombstone in any case", async () => {
    await set("leased");
    await lease();
    await set("pending");
    const reply = await call(lua.cancel, {}, ["pending", "1", "leased", "2", "nobody", "3"]);
    expect(reply[2]).toEqual(["cancelled", "firing", "absent"]);
    expect((await call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e9 }, ["k+1", 1, "nobody", "9 "]))[2]).toEqual([
      expect.stringMatching(/^x\d{16}$/u) as string,
      1,
    ]);
  });

  /** Sets a timer by operation 1, ends it, sets it by operation 2, ends it, and repeats operation 1. */
  async function repeatAfterTwoEnds(): Promise<readonly [unknown, unknown]> {
    const schedule = async (operation: string): Promise<unknown> => {
      const reply = await call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e9 }, ["k@1000", 1, "a", `${operation} {}`]);
      return (reply[2] as unknown[])[0];
    };
    const first = await schedule("1");
    for (const [round, operation] of ["1", "2"].entries()) {
      if (round > 0) await schedule(operation);
      const { leaseEnd } = await lease(1, round * 2 + 1);
      const record = (await shard.redis.hget(shard.keys.data, "a")) as string;
      const head = record.slice(0, record.lastIndexOf(" "));
      const acknowledge = { lane: "w.0", sequence: round * 2 + 2, limit: 0, leaseUs: 1_000_000, ackCount: 1 };
      await call(lua.claim, acknowledge, [leaseEnd, 1, "a", head]);
    }
    return [first, await schedule("1")];
  }

  it("K1 a repeat gets its first answer after its timer has ended, was set anew, and has ended again", async () => {
    const [first, repeat] = await repeatAfterTwoEnds();
    expect(repeat).toBe(first);
    expect(await shard.redis.zcard(shard.keys.due)).toBe(0);
  });

  it("K1 counter-test: without what the first mark knew, the repeat brings the timer back", async () => {
    await withAlteredLua(lua.schedule, "  keepMark(id, mark)\n", "", async () => {
      const [first, repeat] = await repeatAfterTwoEnds();
      expect(repeat).not.toBe(first);
      expect(await shard.redis.zcard(shard.keys.due)).toBe(1);
    });
  });

  /** Cancels a timer that has ended a turn of the memory ago; then that turn is forgotten, and a schedule from before the cancel arrives. */
  async function lateScheduleAfterTurn(): Promise<unknown> {
    await call(lua.cancel, {}, ["another", "0"]);
    const side = await shard.redis.hget(shard.keys.state, "side");
    const atRest = shard.keys[side === "A" ? "memoryB" : "memoryA"];
    await shard.redis.hset(atRest, "ia", "1795312345678901");
    await call(lua.cancel, {}, ["a", "1"]);
    await shard.redis.del(atRest);
    const reply = await call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e9 }, ["k+1", 1, "a", "2 {}"]);
    return (reply[2] as unknown[])[0];
  }

  it("T5 a tombstone is found for as long as it is kept, however old the mark that it met", async () => {
    expect(await lateScheduleAfterTurn()).toMatch(/^x/u);
  });

  it("T5 counter-test: without a mark of its age the tombstone is overlooked", async () => {
    await withAlteredLua(lua.cancel, `memorize("i" .. id, marks[index] or nowText)`, "", async () => {
      expect(await lateScheduleAfterTurn()).toMatch(/^s/u);
    });
  });

  it("claim hands over ids and records as they are, whatever they are made of, also with line breaks", async () => {
    const ids = ["plain", "ü·€", "two\nlines", "\n", "tab\t"];
    for (const id of ids) {
      await set(id);
      const { timers } = await lease(1, ids.indexOf(id) + 1);
      expect(timers).toHaveLength(2);
      expect(timers[0]).toBe(id);
      expect(decodeRecord(timers[1] as string)).toMatchObject({
        dueAtMs: 1_000,
        operationId: `op-${id}`,
        payloadText: `"${id}"`,
      });
    }
  });

  it("claim answers one text as long as a client can take it, and a list when the records are large", async () => {
    const payload = "x".repeat(600_000);
    const request = { lane: "w.0", leaseUs: 1_000_000, ackCount: 0 };
    await call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e12 }, ["k@1000", 1, "a", `op "${payload}"`]);
    expect(await call(lua.claim, { ...request, sequence: 1, limit: 10 })).toEqual(expect.any(String));
    const items = ["b", "c"].flatMap((id) => [id, `op "${payload}"`]);
    await call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e12 }, ["k@1000", 2, ...items]);
    const reply: unknown = await call(lua.claim, { ...request, sequence: 2, limit: 10 });
    expect(reply).toEqual(expect.any(Array));
    const claimed = claimScript.decode(reply, "claim");
    expect(claimed).toMatchObject({ timers: ["b", expect.any(String), "c", expect.any(String)], deadlines: [] });
  });

  it("a text that is no answer of claim is refused, whichever line is wrong", () => {
    const lines = ["claimed", "5", "7", "8", "9", "", "id", "record"];
    expect(claimScript.decode(lines.join("\n"), "claim")).toMatchObject({
      nowUs: 5,
      token: 7,
      leaseEnd: "8",
      nextUs: 9,
    });
    const wrong = ["granted", "now", "", "", "soon"].map((line, at) => lines.with(at, line));
    for (const reply of [...wrong, lines.slice(0, 6), lines.slice(0, 7), lines.slice(0, 5)])
      expect(() => claimScript.decode(reply.join("\n"), "claim")).toThrow(UnexpectedReplyError);
  });

  it("claim leases what is due with one token, repeats a batch, and takes acknowledgements", async () => {
    await set("a", "b");
    const first = await lease();
    expect(first.timers.filter((_, at) => at % 2 === 0).toSorted()).toEqual(["a", "b"]);
    expect(Number(first.leaseEnd) % 1_000).not.toBe(0);
    expect(await lease()).toEqual(first);
    const next = { lane: "w.0", sequence: 2, limit: 10, leaseUs: 1_000_000, ackCount: 2 };
    const reply = await call(lua.claim, next, [first.leaseEnd, 1, "a", "", "5", 1, "b", ""]);
    expect(reply[6]).toEqual(["b"]);
    expect(await shard.redis.zrange(shard.keys.due, "0", "-1")).toEqual(["b"]);
    expect((await call(lua.claim, { ...next, sequence: 1, ackCount: 0 }))[0]).toBe("outrun");
  });

  /** Acknowledges a whole batch of which one lease was taken over, while another timer has the same end of lease. */
  async function acknowledgeBesideStranger(): Promise<{ readonly refused: unknown; readonly left: readonly string[] }> {
    const ids = "abcdefghi".split("");
    await set(...ids, "stranger");
    await shard.redis.zrem(shard.keys.due, "stranger");
    const { leaseEnd } = await lease();
    await shard.redis.call("zadd", [shard.keys.due, leaseEnd, "stranger"]);
    await shard.redis.call("zadd", [shard.keys.due, "9000000000000001", "a"]);
    const acknowledge = { lane: "w.0", sequence: 2, limit: 0, leaseUs: 1_000_000, ackCount: ids.length };
    const reply = await call(lua.claim, acknowledge, [leaseEnd, ids.length, ...ids, ...ids.map(() => "")]);
    return { refused: reply[6], left: await shard.redis.zrange(shard.keys.due, "0", "-1") };
  }

  it("T3 a whole batch is acknowledged at once only if it is exactly what has this end of lease", async () => {
    expect(await acknowledgeBesideStranger()).toEqual({ refused: ["a"], left: ["stranger", "a"] });
  });

  it("T3 counter-test: by their number alone a stranger is removed, and the lease of another acknowledged", async () => {
    await withAlteredLua(lua.claim, "if not held[list[at]] then", "if false then", async () => {
      expect(await acknowledgeBesideStranger()).toEqual({ refused: [], left: ["a"] });
    });
  });

  it("settle retries, gives back, buries, acknowledges, and refuses who has no lease", async () => {
    await set("a", "b", "c", "d", "e");
    const { leaseEnd, token } = await lease();
    const item = (id: string, verb: string, detail: string | number, end = leaseEnd): (string | number)[] => [
      id,
      end,
      token,
      `s-${id}`,
      verb,
      1,
      detail,
    ];
    const items = [
      ...item("a", "retry", 5_000),
      ...item("b", "release", ""),
      ...item("c", "dead", "why"),
      ...item("d", "done", ""),
      ...item("e", "done", "", "77"),
    ];
    const words = ["pending", "pending", "dead", "ended", "lost"];
    expect((await call(lua.settle, { publish: "PUBLISH" }, items))[2]).toEqual(words);
    expect((await call(lua.settle, { publish: "PUBLISH" }, items))[2]).toEqual(words);
    expect(await shard.redis.zrange(shard.keys.due, "0", "-1")).toEqual(["b", "a", "e"]);
    expect(await shard.redis.hget(shard.keys.state, "leased")).toBe("1");
  });

  it("extend prolongs, and afterwards the token tells the lease", async () => {
    await set("a", "b");
    const { leaseEnd, token } = await lease();
    const items = ["a", leaseEnd, token, 1, "b", "3", "4", 1, "c", leaseEnd, token, 1];
    expect((await call(lua.extend, { leaseUs: 90_000_000 }, items))[2]).toBe("rll");
    expect((await call(lua.extend, { leaseUs: 90_000_000 }, items))[2]).toBe("rll");
    expect(Number(await shard.redis.zscore(shard.keys.due, "a"))).toBeGreaterThan(Number(leaseEnd));
    await call(lua.cancel, {}, ["a", "1"]);
    expect((await call(lua.extend, { leaseUs: 90_000_000 }, items))[2]).toBe("cll");
  });

  it("reap makes lapsed leases due again, buries who had their last attempt, drops who was cancelled", async () => {
    await set("a", "b", "c");
    const { leaseEnd, token } = await lease();
    await call(lua.extend, { leaseUs: 50_000_000 }, ["b", leaseEnd, token, 3]);
    await call(lua.cancel, {}, ["c", "1"]);
    const reap = { limit: 10, attemptsMax: 3, leaseUs: 50_000_000, error: "gone" };
    expect((await call(lua.reap, reap))[2]).toBe(0);
    await shard.lapse();
    expect((await call(lua.reap, reap)).slice(2, 4)).toEqual([3, ["b"]]);
    expect(await shard.redis.zrange(shard.keys.due, "0", "-1")).toEqual(["a"]);
    expect(await shard.redis.hget(shard.keys.notes, "a")).toBe("0000s-");
  });

  it("reap says where it has come to while there is more, and goes on from there: past what is pending, and again at leases with one end", async () => {
    const at = async (score: string, ...ids: string[]): Promise<void> => {
      for (const id of ids) await shard.redis.zadd(shard.keys.due, score, id);
    };
    await set("a", "b", "c", "d", "e", "f");
    await at("1000000", "a", "b", "c");
    await at("1000001", "d", "e");
    const reap = async (passedUs: string): Promise<unknown[]> =>
      (await call(lua.reap, { limit: 3, attemptsMax: 3, leaseUs: 50_000_000, error: "gone", passedUs })).slice(2);
    expect(await reap("0")).toEqual([0, [], "1000000"]);
    await at("1000000", "f");
    expect(await reap("1000000")).toEqual([2, [], "0"]);
    await at("1000001", "a", "b", "c", "d");
    expect(await reap("1000000")).toEqual([3, [], "1000000"]);
    expect((await reap("1000000")).slice(0, 2)).toEqual([1, []]);
  });

  it("K3 reap writes nothing, not even that the clock went back, when a key is another program's", async () => {
    const reap = { limit: 10, attemptsMax: 3, leaseUs: 50_000_000, error: "gone" };
    const state = shard.keys.state;
    await set("a");
    await lease();
    await shard.lapse();
    // The shard has seen a later time than the server's: its clock went back.
    await shard.redis.hset(state, "floor", "7000000000000000");
    for (const part of ["notes", "later", "deadData"] as const) {
      const key = shard.keys[part];
      await shard.redis.set(key, "another program's");
      const before = await shard.redis.hgetall(state);
      await expect(call(lua.reap, reap)).rejects.toThrow("WRONGTYPE");
      expect(await shard.redis.hgetall(state)).toEqual(before);
      await shard.redis.del(key);
    }
    expect((await call(lua.reap, reap)).slice(2, 4)).toEqual([1, []]);
    expect(await shard.redis.hget(state, "backUs")).toMatch(/^\d{16}$/u);
    // Nothing has lapsed now: how far it came is noted all the same, and forgotten when all was seen.
    await shard.redis.hset(state, "backUs", "1");
    expect((await call(lua.reap, reap)).slice(2, 4)).toEqual([0, []]);
    expect(await shard.redis.hexists(state, "backUs")).toBe(0);
  });

  it("get finds a timer and what follows it, stats counts, hasten makes due", async () => {
    await call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e9 }, ["k+60000", 1, "a", '1 "x"']);
    expect((await call(lua.get, { id: "a" }))[0]).toBe("found");
    expect(await call(lua.get, { id: "b" })).toEqual(["absent"]);
    expect((await call(lua.stats, {})).slice(2, 6)).toEqual([1, "0", 0, 0]);
    expect((await call(lua.hasten, { id: "a", operation: "2" }))[2]).toEqual(["due"]);
    expect((await call(lua.hasten, { id: "b", operation: "3" }))[2]).toEqual(["absent"]);
    expect((await call(lua.stats, {})).slice(2, 6)).toEqual([1, "0", 1, 0]);
    await lease();
    expect((await call(lua.hasten, { id: "a", operation: "4" }))[2]).toEqual(["firing"]);
  });

  it("restore sets what is missing and has not ended, and keeps to its window", async () => {
    await set("there");
    const [seconds, microseconds] = (await shard.server.call("TIME")) as string[];
    const asOfUs = Number(seconds) * 1_000_000 + Number(microseconds);
    await call(lua.cancel, {}, ["gone", "1"]);
    const items = ["there", "k+1", "2 ", "gone", "k+1", "3 ", "lost", "k+1", "4 "];
    expect((await call(lua.restore, { asOfUs }, items))[2]).toEqual(["p", "e", "s"]);
    expect((await call(lua.restore, { asOfUs: 1 }, items))[0]).toBe("window");
    expect((await call(lua.restore, { asOfUs: far }, items))[0]).toBe("window");
  });

  it("list-dead reads, redrive revives, drop throws away", async () => {
    await set("a", "b");
    const { leaseEnd, token } = await lease();
    await call(lua.settle, {}, [
      "a",
      leaseEnd,
      token,
      "1",
      "dead",
      2,
      "wh y",
      "b",
      leaseEnd,
      token,
      "2",
      "dead",
      1,
      "",
    ]);
    const [, letters] = (await call(lua.listDead, { limit: 10 })) as [string, string[][]];
    expect(letters.map(([id, , attempts, error]) => [id, attempts, error])).toEqual([
      ["a", "2", "wh y"],
      ["b", "1", ""],
    ]);
    for (let round = 0; round < 2; round += 1) {
      expect((await call(lua.redrive, { id: "a", operation: "3" }))[2]).toEqual(["redriven"]);
      expect((await call(lua.drop, { id: "b", operation: "4" }))[2]).toEqual(["dropped"]);
    }
    expect((await call(lua.redrive, { id: "b", operation: "5" }))[2]).toEqual(["absent"]);
    expect(await shard.redis.hget(shard.keys.data, "a")).toMatch(/^s[0-9a-z]{10}0 \x7F "a"$/u);
  });

  it("K1 recollect reads what a sealed shard remembers, the younger half by itself; remind replaces no younger; forget removes", async () => {
    await call(lua.cancel, {}, ["a", "1"]);
    const side = (await shard.redis.hget(shard.keys.state, "side")) as "A" | "B";
    const [young, old] = side === "A" ? (["memoryA", "memoryB"] as const) : (["memoryB", "memoryA"] as const);
    await shard.redis.hset(shard.keys[old], "ia", "older", "iz", "old");
    await call(lua.move, { step: "drain", from: 1, to: 2, floor: "1795312345678901" });
    shard.layout = (await call(lua.move, { step: "seal", from: 1, to: 2, floor: "1795312345678901" }))[1] as string;
    const fieldsOf = async (half: string): Promise<unknown[]> => {
      const [, cursor, keepUs, records] = await call(lua.recollect, { half, cursor: "0", count: 100 });
      expect([cursor, keepUs]).toEqual(["0", "60000000"]);
      return (records as unknown[])
        .filter((_, at) => at % 2 === 0)
        .toSorted((a, b) => (String(a) < String(b) ? -1 : 1));
    };
    expect(await fieldsOf("young")).toEqual(["c1 a", "ia", "xa"]);
    expect(await fieldsOf("old")).toEqual(["ia", "iz"]);
    const before = await shard.redis.hget(shard.keys[young], "xa");
    expect((await call(lua.remind, { leastUs: 1 }, ["xa", "1", "iz", "1", "xb", "2"]))[0]).toBe("reminded");
    expect(await shard.redis.hmget(shard.keys[young], "xa", "iz", "xb")).toEqual([before, null, "2"]);
    expect((await call(lua.forget, {}, ["xa", "iz"]))[0]).toBe("forgotten");
    expect(await fieldsOf("young")).toEqual(["c1 a", "ia", "xb"]);
    expect(await fieldsOf("old")).toEqual(["ia"]);
  });

  it("move drains, seals and finishes, each step as often as it is asked; pack, store and discard carry over in between", async () => {
    await set("a");
    const { leaseEnd } = await lease();
    const step = (name: string): Promise<unknown[]> =>
      call(lua.move, { step: name, from: 1, to: 2, floor: "1795312345678901" });
    expect((await step("drain"))[0]).toBe("draining");
    expect((await step("seal"))[0]).toBe("draining");
    expect((await call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e9 }, ["k+1", 1, "b", "1 "]))[0]).toBe("layout");
    const acknowledge = { lane: "w.0", sequence: 2, limit: 10, leaseUs: 1_000_000, ackCount: 1 };
    expect((await call(lua.claim, acknowledge, [leaseEnd, 1, "a", ""]))[6]).toEqual([]);
    const [sealed, moving] = (await step("seal")) as string[];
    expect(sealed).toBe("sealed");
    shard.layout = moving as string;
    for (let round = 0; round < 2; round += 1)
      await call(lua.store, { part: "due" }, ["x", "5000", "body", "note", ""]);
    const packed = await call(lua.pack, { cursor: "0", count: 10 });
    expect(packed.slice(1)).toEqual(["0", ["x", "5000"], ["body"], ["note"], [""]]);
    expect((await call(lua.discard, { part: "due" }, ["x"]))[0]).toBe("discarded");
    expect(await shard.redis.exists(shard.keys.due, shard.keys.data, shard.keys.notes)).toBe(0);
    expect((await step("finish"))[0]).toBe("finished");
    for (const again of ["finish", "drain"]) expect((await step(again))[2]).toBe("1795312345678901");
    expect(await shard.redis.hget(shard.keys.state, "floor")).toBe("1795312345678901");
    expect((await call(lua.store, { part: "due" }, ["x", "5000", "body", "", ""]))[0]).toBe("layout");
  });
});
