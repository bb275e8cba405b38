/** Each Lua file for itself, on a real server: what it answers, and what it leaves in the keys. */
import { RedisServer } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { shardKeys } from "../src/keys.ts";
import * as lua from "../src/scripts.generated.ts";
import { Desk } from "./client.ts";

interface Source {
  readonly name: string;
  readonly keys: readonly string[];
  readonly args: readonly string[];
  readonly source: string;
}

let server: RedisServer;
let redis: Redis;
let layout = "";
let tag = 0;
let keys: Readonly<Record<string, string>> = {};
const desk = new Desk();
beforeAll(async () => {
  server = await RedisServer.start();
  redis = desk.redis(server.url);
});
afterAll(async () => {
  await desk[Symbol.asyncDispose]();
  await server.stop();
});

const far = "9000000000000000";

/** Calls a script with arguments by name; bounds are far away unless given. */
async function call(
  script: Source,
  args: Readonly<Record<string, string | number>>,
  rest: readonly (string | number)[] = [],
): Promise<unknown[]> {
  const common = { layout, notAfterUs: far, sentUs: 1, knownUs: 0, publish: "PUBLISH" };
  const named: Readonly<Record<string, string | number>> = { ...common, ...args };
  const own: Readonly<Record<string, string>> = {
    ...keys,
    index: keys["due"] as string,
    bodies: keys["data"] as string,
  };
  const list = [
    ...script.keys.map((key) => own[key] as string),
    ...script.args.map((name) => named[name] as string),
    ...rest,
  ];
  return (await redis.call("eval", [script.source, script.keys.length, ...list])) as unknown[];
}

async function set(...ids: string[]): Promise<void> {
  const items = ids.flatMap((id) => [id, `op-${id}`, "k@1000", `"${id}"`]);
  await call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e12 }, items);
}

async function lease(limit = 10, sequence = 1): Promise<{ token: string; leaseEnd: string; timers: string[] }> {
  const reply = await call(lua.claim, { lane: "w.0", sequence, limit, leaseUs: 50_000_000, ackCount: 0 });
  return { token: reply[2] as string, leaseEnd: reply[3] as string, timers: reply[7] as string[] };
}

/** Ends all leases, as time does. */
async function lapse(): Promise<void> {
  for (const id of await redis.zrange(keys["due"] as string, "0", "-1"))
    await redis.call("zadd", [keys["due"] as string, "1000001", id]);
}

beforeEach(async () => {
  tag += 1;
  keys = { ...shardKeys("holdfast", `t${tag}`, 0) };
  const reply = await call(lua.open, { shards: 1, boundUs: 2_000_000, keepUs: 60_000_000, found: "1" });
  layout = reply[2] as string;
});

describe("scripts", () => {
  it("open founds once, grows its bounds, and refuses another number of shards", async () => {
    const again = await call(lua.open, { shards: 1, boundUs: 90_000_000, keepUs: 1, found: "1" });
    expect(again.slice(2)).toEqual([layout, "90000000"]);
    expect(await call(lua.open, { shards: 2, boundUs: 1, keepUs: 1, found: "1" })).toEqual(["other", layout]);
    keys = { ...shardKeys("holdfast", "nobody", 0) };
    expect(await call(lua.open, { shards: 1, boundUs: 1, keepUs: 1, found: "0" })).toEqual(["absent"]);
  });

  it("schedule sets, keeps, replaces and repeats, and refuses what is late or from another layout", async () => {
    const one = (operation: string, when: string): Promise<unknown[]> =>
      call(lua.schedule, { pendingMax: 1, delayMaxMs: 1e9 }, ["a", operation, when, "{}"]);
    expect(((await one("1", "k+50"))[2] as string[])[0]).toMatch(/^s[0-9a-z]{10}5[01]$/u);
    expect(((await one("2", "k+10"))[2] as string[])[0]).toMatch(/^k/u);
    expect(((await one("3", "r+10"))[2] as string[])[0]).toMatch(/^r/u);
    expect(((await one("1", "k+50"))[2] as string[])[0]).toMatch(/^s/u);
    const other = await call(lua.schedule, { pendingMax: 1, delayMaxMs: 1e9 }, [
      "b",
      "4",
      "k+1",
      "{}",
      "c",
      "5",
      "k+1000000001",
      "{}",
    ]);
    expect(other[2]).toEqual(["p", "d"]);
    expect((await call(lua.schedule, { pendingMax: 0, delayMaxMs: 1, notAfterUs: 1 }, ["x", "6", "k+1", ""]))[0]).toBe(
      "too-late",
    );
    expect(await call(lua.schedule, { layout: "1:1:1", pendingMax: 0, delayMaxMs: 1 }, ["x", "6", "k+1", ""])).toEqual([
      "layout",
      layout,
    ]);
    expect(await redis.zcard(keys["due"] as string)).toBe(1);
  });

  it("cancel removes a pending timer, marks a leased one, and leaves a tombstone in any case", async () => {
    await set("leased");
    await lease();
    await set("pending");
    const reply = await call(lua.cancel, {}, ["pending", "1", "leased", "2", "nobody", "3"]);
    expect(reply[2]).toEqual(["cancelled", "firing", "absent"]);
    expect((await call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e9 }, ["nobody", "9", "k+1", ""]))[2]).toEqual([
      expect.stringMatching(/^x\d{16}$/u) as string,
    ]);
  });

  it("claim leases what is due with one token, repeats a batch, and takes acknowledgements", async () => {
    await set("a", "b");
    const first = await lease();
    expect(first.timers.filter((_, at) => at % 2 === 0).toSorted()).toEqual(["a", "b"]);
    expect(Number(first.leaseEnd) % 1_000).not.toBe(0);
    expect(await lease()).toEqual(first);
    const next = { lane: "w.0", sequence: 2, limit: 10, leaseUs: 1_000_000, ackCount: 2 };
    const reply = await call(lua.claim, next, ["a", first.leaseEnd, "", "b", "5", ""]);
    expect(reply[6]).toEqual(["b"]);
    expect(await redis.zrange(keys["due"] as string, "0", "-1")).toEqual(["b"]);
    expect((await call(lua.claim, { ...next, sequence: 1, ackCount: 0 }))[0]).toBe("outrun");
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
    expect(await redis.zrange(keys["due"] as string, "0", "-1")).toEqual(["b", "a", "e"]);
    expect(await redis.hget(keys["state"] as string, "leased")).toBe("1");
  });

  it("extend prolongs, and afterwards the token tells the lease", async () => {
    await set("a", "b");
    const { leaseEnd, token } = await lease();
    const items = ["a", leaseEnd, token, 1, "b", "3", "4", 1, "c", leaseEnd, token, 1];
    expect((await call(lua.extend, { leaseUs: 90_000_000 }, items))[2]).toBe("rll");
    expect((await call(lua.extend, { leaseUs: 90_000_000 }, items))[2]).toBe("rll");
    expect(Number(await redis.zscore(keys["due"] as string, "a"))).toBeGreaterThan(Number(leaseEnd));
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
    await lapse();
    expect((await call(lua.reap, reap)).slice(2)).toEqual([3, ["b"]]);
    expect(await redis.zrange(keys["due"] as string, "0", "-1")).toEqual(["a"]);
    expect(await redis.hget(keys["notes"] as string, "a")).toBe("0000s-");
  });

  it("get finds a timer and what follows it, stats counts, hasten makes due", async () => {
    await call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e9 }, ["a", "1", "k+60000", '"x"']);
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
    const [seconds, microseconds] = (await server.call("TIME")) as string[];
    const asOfUs = Number(seconds) * 1_000_000 + Number(microseconds);
    await call(lua.cancel, {}, ["gone", "1"]);
    const items = ["there", "2", "k+1", "", "gone", "3", "k+1", "", "lost", "4", "k+1", ""];
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
    expect(await redis.hget(keys["data"] as string, "a")).toMatch(/^s[0-9a-z]{10}0 3 "a"$/u);
  });

  it("move drains, seals and finishes, each step as often as it is asked; pack, store and discard carry over in between", async () => {
    await set("a");
    const { leaseEnd } = await lease();
    const step = (name: string): Promise<unknown[]> =>
      call(lua.move, { step: name, from: 1, to: 2, floor: "1795312345678901" });
    expect((await step("drain"))[0]).toBe("draining");
    expect((await step("seal"))[0]).toBe("draining");
    expect((await call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e9 }, ["b", "1", "k+1", ""]))[0]).toBe("layout");
    const acknowledge = { lane: "w.0", sequence: 2, limit: 10, leaseUs: 1_000_000, ackCount: 1 };
    expect((await call(lua.claim, acknowledge, ["a", leaseEnd, ""]))[6]).toEqual([]);
    const [sealed, moving] = (await step("seal")) as string[];
    expect(sealed).toBe("sealed");
    layout = moving as string;
    for (let round = 0; round < 2; round += 1) await call(lua.store, {}, ["x", "5000", "body", "note", ""]);
    const packed = await call(lua.pack, { cursor: "0", count: 10 });
    expect(packed.slice(1)).toEqual(["0", ["x", "5000"], ["body"], ["note"], [""]]);
    expect((await call(lua.discard, {}, ["x"]))[0]).toBe("discarded");
    expect(await redis.exists(keys["due"] as string, keys["data"] as string, keys["notes"] as string)).toBe(0);
    expect((await step("finish"))[0]).toBe("finished");
    expect((await step("finish"))[0]).toBe("finished");
    expect((await call(lua.store, {}, ["x", "5000", "body", "", ""]))[0]).toBe("layout");
  });
});
