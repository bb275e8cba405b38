/** Guards of the Lua files that no other test would miss: each is asked for what it keeps out. */
import { describe, expect, it } from "vitest";
import * as lua from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { shardOfEachTest } from "./script-shard.ts";

const shard = shardOfEachTest();

async function schedule(id: string, operation: string, when: string): Promise<string> {
  const reply = await shard.call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e12 }, [when, 1, id, `${operation} {}`]);
  return (reply[2] as [string])[0];
}

/** A step of a caller who knows the shard as it is. */
async function move(step: string, from = 1, to = 2): Promise<unknown[]> {
  const known = (await shard.redis.hget(shard.keys.state, "layout")) ?? "";
  return shard.call(lua.move, { step, from, to, floor: "1795312345678901", known });
}

describe("a shard whose timers move", () => {
  it("T11 is changed by nobody else, says so to whoever opens it, and lets running firings end", async () => {
    await shard.set("a", "dead");
    const { leaseEnd, token } = await shard.lease();
    await shard.call(lua.settle, {}, ["dead", leaseEnd, token, "1", "dead", 1, "why"]);
    expect((await move("drain"))[0]).toBe("draining");
    const item = { id: "dead", operation: "9" };
    const changes: Promise<unknown[]>[] = [
      shard.call(lua.cancel, {}, ["a", "1"]),
      shard.call(lua.drop, item),
      shard.call(lua.hasten, item),
      shard.call(lua.redrive, item),
      shard.call(lua.restore, { asOfUs: 1 }, ["b", "k+1", "2 {}"]),
      shard.call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e9 }, ["k+1", 1, "b", "2 {}"]),
    ];
    for (const reply of await Promise.all(changes)) expect(reply).toEqual(["layout", ""]);
    const opening = { shards: 1, boundUs: 1, keepUs: 1, found: "1" };
    expect((await shard.call(lua.open, opening))[0]).toBe("moving");
    expect((await shard.call(lua.settle, {}, ["a", leaseEnd, token, "2", "done", 1, ""]))[2]).toEqual(["ended"]);
  });

  it("T11 goes one way at a time, and every step may be repeated", async () => {
    for (const step of ["look", "drain"]) expect((await move(step, 3, 2))[0]).toBe("other");
    expect((await move("look"))[0]).toBe("draining");
    for (const step of ["seal", "finish"]) expect((await move(step))[0]).toBe("other");
    expect((await move("drain"))[0]).toBe("draining");
    expect((await move("finish"))[0]).toBe("other");
    for (const step of ["look", "drain"]) expect((await move(step, 1, 4))[0]).toBe("other");
    const [, layout] = await move("seal");
    for (const step of ["seal", "drain", "look"]) expect((await move(step)).slice(0, 2)).toEqual(["sealed", layout]);
    for (const step of ["look", "drain"]) expect((await move(step, 1, 4))[0]).toBe("other");
    expect((await move("finish"))[0]).toBe("finished");
  });

  it("T11 takes no step of a caller who knows it from before, who may have been overtaken", async () => {
    const { state } = shard.keys;
    const step = (name: string, known: string): Promise<unknown[]> =>
      shard.call(lua.move, { step: name, from: 1, to: 2, floor: "1795312345678901", known });
    const seen = (await step("look", ""))[1] as string;
    const expectNothing = async (name: string, known: string): Promise<void> => {
      const before = await shard.redis.hgetall(state);
      expect(await step(name, known)).toEqual(["other", before["layout"]]);
      expect(await shard.redis.hgetall(state)).toEqual(before);
    };
    await expectNothing("drain", "1:1:1795312345678901");
    await step("drain", seen);
    await expectNothing("seal", "1:1:1795312345678901");
    await step("seal", seen);
    await expectNothing("finish", "1:1>2:1795312345678901");
  });

  it("T11 a shard beyond the number so far is taken as it was found, whatever an earlier move has left there, unless it is in use by now", async () => {
    const { state } = shard.keys;
    const step = (name: string, known: string): Promise<unknown[]> =>
      shard.call(lua.move, { step: name, from: 1, to: 3, floor: "1795312345678901", unused: "1", known });
    const newer = "2:2:1795312345678901";
    await shard.redis.hset(state, "layout", newer);
    for (const name of ["look", "seal"]) expect(await step(name, newer)).toEqual(["other", newer]);
    const left = "1:2:1795312345678901";
    for (const found of [{ layout: "1:2>4:1795312345678901" }, { layout: left, moving: "4" }]) {
      await shard.redis.hset(state, found);
      expect((await step("look", "")).slice(0, 2)).toEqual(["draining", found.layout]);
    }
    await shard.redis.hdel(state, "moving");
    // Of leases that a failover has brought back.
    await shard.redis.hset(state, { leased: "2" });
    const before = await shard.redis.hgetall(state);
    expect((await step("look", "")).slice(0, 2)).toEqual(["draining", left]);
    expect(await step("finish", left)).toEqual(["other", left]);
    expect(await step("seal", "1:2:1795312345678900")).toEqual(["other", left]);
    expect(await shard.redis.hgetall(state)).toEqual(before);
    const [sealed, layout, floor] = await step("seal", left);
    expect([sealed, floor]).toEqual(["sealed", before["floor"]]);
    expect(layout).toMatch(/^1:1>3:\d{16}$/u);
    expect(await step("seal", left)).toEqual(["sealed", layout, floor]);
    expect(await shard.redis.hgetall(state)).toEqual({ ...before, layout, moving: "3" });
  });

  for (const layout of ["1:1:1795312345678901", "1:1>2:1795312345678901"]) {
    it(`T2 T11 what a failover has brought back of a timer yields to a later generation that is carried there, its lease with it: ${layout}`, async () => {
      const { state, due, data, notes, later } = shard.keys;
      await shard.set("a");
      await shard.lease();
      await shard.redis.hset(notes, "a", "0001--");
      await shard.redis.hset(later, "a", "1 s");
      await shard.redis.hset(state, "layout", layout);
      shard.layout = layout;
      const look = (): Promise<unknown[]> =>
        Promise.all([
          shard.redis.zscore(due, "a"),
          ...[data, notes, later].map((key) => shard.redis.hget(key, "a")),
          shard.redis.hget(state, "leased"),
        ]);
      const before = await look();
      const store = (part: string, generation: string): Promise<unknown> =>
        shard.call(lua.store, { part }, ["a", "5000", `s${generation.repeat(10)}0 op "new"`, "", ""]);
      await store("due", "0");
      await store("dead", "z");
      expect(await look()).toEqual(before);
      for (let round = 0; round < 2; round += 1) {
        await store("due", "z");
        expect(await look()).toEqual(["5000", 'szzzzzzzzzz0 op "new"', null, null, "0"]);
      }
    });
  }

  it("T2 T6 T11 what a failover has brought back of a timer yields to one that has come further, and to nothing else", async () => {
    const { data, notes, later } = shard.keys;
    const body = `s${"5".repeat(10)}0 op`;
    const follower = `9 f${"6".repeat(10)}0 op x`;
    const store = (of: readonly string[]): Promise<unknown> =>
      shard.call(lua.store, { part: "due" }, ["a", "5000", ...of]);
    const further = [
      [`${body} as-it-was-set`, "", ""],
      [`${body} hastened`, "0000--", ""],
      [`${body} vanished`, "0000s-", ""],
      [`${body} retried`, "0001--", ""],
      [`${body} followed`, "0001--", follower],
    ];
    for (const [place, one] of further.entries()) {
      await store(one);
      for (const earlier of further.slice(0, place)) await store(earlier);
      const kept = await Promise.all([data, notes, later].map((key) => shard.redis.hget(key, "a")));
      expect(kept.map((text) => text ?? "")).toEqual(one);
    }
  });

  it("T11 a shard that nobody has founded is sealed at once: nothing is in it", async () => {
    await shard.redis.del(shard.keys.state);
    expect(await move("look")).toEqual(["draining", "", "0"]);
    expect(await shard.redis.exists(shard.keys.state)).toBe(0);
    expect((await move("drain"))[0]).toBe("sealed");
    expect(await shard.redis.hget(shard.keys.state, "layout")).toMatch(/^1:1>2:\d{16}$/u);
  });
});

describe("what is asked again", () => {
  it("K1 a fireNow whose timer fires by now answers as at first", async () => {
    await schedule("a", "1", "k+60000");
    const hasten = (): Promise<unknown[]> => shard.call(lua.hasten, { id: "a", operation: "2" });
    expect((await hasten())[2]).toEqual(["due"]);
    await shard.lease();
    expect((await hasten())[2]).toEqual(["due"]);
  });

  it("K1 a schedule that is pending, follows a firing, or has ended answers as at first", async () => {
    const first = await schedule("a", "1", "k@1000");
    expect(await schedule("a", "1", "r+60000")).toBe(first);
    const { leaseEnd, token } = await shard.lease();
    const next = await schedule("a", "2", "k+60000");
    expect(next).toMatch(/^f/u);
    expect(await schedule("a", "2", "r+5")).toBe(next);
    expect(await shard.redis.hlen(shard.keys.later)).toBe(1);
    await shard.call(lua.settle, {}, ["a", leaseEnd, token, "3", "done", 1, ""]);
    expect(await schedule("a", "1", "k+1")).toBe(first);
    await shard.call(lua.cancel, {}, ["a", "4"]);
    expect(await schedule("a", "2", "k+1")).toBe(next);
    expect(await shard.redis.zcard(shard.keys.due)).toBe(0);
  });

  it("K1 the last of two schedules that have both ended answers as at first, too", async () => {
    for (const [round, operation] of ["1", "2"].entries()) {
      const answer = await schedule("a", operation, "k@1000");
      const { leaseEnd } = await shard.lease(1, round * 2 + 1);
      const record = (await shard.redis.hget(shard.keys.data, "a")) as string;
      const acknowledge = { lane: "w.0", sequence: round * 2 + 2, limit: 0, leaseUs: 1_000_000, ackCount: 1 };
      await shard.call(lua.claim, acknowledge, [leaseEnd, 1, "a", record.slice(0, record.lastIndexOf(" "))]);
      expect(await schedule("a", operation, "k+1")).toBe(answer);
    }
  });
});

describe("numbers and times", () => {
  it("K5 a clock that went back gives tokens and generations above the highest so far", async () => {
    await shard.redis.hset(shard.keys.state, "floor", "7000000000000000");
    await shard.set("a");
    expect(await shard.redis.hget(shard.keys.state, "floor")).toBe("7000000000000001");
    expect((await shard.lease()).token).toBe("7000000000000002");
  });

  it("K8 leases that a clock left standing lapse one lease after that was seen, no sooner", async () => {
    const reap = { limit: 10, attemptsMax: 3, leaseUs: 1_000_000, error: "gone" };
    await shard.set("a");
    await shard.lease();
    await shard.redis.call("zadd", [shard.keys.due, "7000000000000001", "a"]);
    await shard.redis.hset(shard.keys.state, "floor", "7000000000000000", "leaseMaxUs", "1000000");
    expect((await shard.call(lua.reap, reap))[2]).toBe(0);
    expect((await shard.call(lua.reap, reap))[2]).toBe(0);
    expect(await shard.redis.zscore(shard.keys.due, "a")).toBe("7000000000000001");
    const backUs = Number(await shard.redis.hget(shard.keys.state, "backUs"));
    await shard.redis.hset(shard.keys.state, "backUs", String(backUs - 2_000_000));
    expect((await shard.call(lua.reap, reap))[2]).toBe(1);
  });

  /** A tombstone from before the clock went back is met by a late schedule, and by another one when its turn of the memory is over. */
  async function lateSchedulesAfterClockWentBack(): Promise<string> {
    await shard.call(lua.cancel, {}, ["another", "0"]);
    const side = await shard.redis.hget(shard.keys.state, "side");
    const atRest = side === "A" ? shard.keys.memoryB : shard.keys.memoryA;
    await shard.redis.hset(atRest, "xa", "7000000000000000", "ia", "7000000000000000");
    expect(await schedule("a", "1", "k+60000")).toMatch(/^x/u);
    await shard.redis.del(atRest);
    return schedule("a", "1", "k+60000");
  }

  it("T5 K8 a tombstone from a later time is kept by the new clock, and its mark with it", async () => {
    expect(await lateSchedulesAfterClockWentBack()).toMatch(/^x/u);
  });

  it("T5 K8 counter-test: without its mark it is overlooked", async () => {
    await withAlteredLua(lua.schedule, `memorize("i" .. id, mark or nowText)`, "", async () => {
      expect(await lateSchedulesAfterClockWentBack()).toMatch(/^s/u);
    });
  });

  it("T10 a claim that finds nothing and acknowledges nothing writes nothing", async () => {
    const before = await shard.redis.hgetall(shard.keys.state);
    await shard.lease();
    expect(await shard.redis.hgetall(shard.keys.state)).toEqual(before);
    expect(await shard.redis.exists(shard.keys.memoryA, shard.keys.memoryB)).toBe(0);
  });
});
