/** How long a shard remembers what has ended (T5, T9, K1), and what it says when it does not. */
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { shardKeys } from "../src/keys.ts";
import * as lua from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { Catcher, Desk, freshName } from "./client.ts";
import { shardOfEachTest } from "./script-shard.ts";

const shard = shardOfEachTest();

/** Long enough for what was to be remembered for `briefUs` to expire. */
const forgottenMs = 1_300;
const briefUs = 400_000;
const longUs = 60_000_000;

async function open(keepUs: number): Promise<void> {
  shard.layout = (await shard.call(lua.open, { shards: 1, boundUs: 1, keepUs, found: "1" }))[2] as string;
}

/** Goes over to a shard that remembers for a moment only, in which a timer was cancelled. */
async function cancelledInBrief(): Promise<number> {
  shard.keys = shardKeys("holdfast", freshName(), 0);
  await open(briefUs);
  const [seconds, microseconds] = (await shard.redis.time()) as unknown as [string, string];
  expect((await shard.call(lua.cancel, {}, ["a", "1"]))[2]).toEqual(["absent"]);
  return Number(seconds) * 1_000_000 + Number(microseconds);
}

/** What a schedule is answered that was on its way before all of this. */
async function lateSchedule(): Promise<string> {
  const reply = await shard.call(lua.schedule, { pendingMax: 0, delayMaxMs: 1e12 }, ["k+60000", 1, "a", "late {}"]);
  return (reply[2] as [string])[0];
}

describe("a client that wants what has ended to be remembered for longer", () => {
  it("T5 K1 makes the shard keep a tombstone that was to be forgotten sooner", async () => {
    await cancelledInBrief();
    await open(longUs);
    await delay(forgottenMs);
    expect(await lateSchedule()).toMatch(/^x/u);
  });

  it("T5 counter-test: a tombstone that expires as it was to before lets a late schedule revive the timer", async () => {
    await cancelledInBrief();
    await withAlteredLua(lua.open, `redis.call("PEXPIRE", memoryA,`, `redis.call("PEXPIRE", "",`, () =>
      withAlteredLua(lua.open, `redis.call("PEXPIRE", memoryB,`, `redis.call("PEXPIRE", "",`, () => open(longUs)),
    );
    await delay(forgottenMs);
    expect(await lateSchedule()).toMatch(/^s/u);
  });

  it("T2 is not told that it knows what was forgotten before it came", async () => {
    const asOfUs = await cancelledInBrief();
    const restore = (): Promise<unknown[]> => shard.call(lua.restore, { asOfUs }, ["a", "k+60000", "2 {}"]);
    expect((await restore())[2]).toEqual(["e"]);
    await delay(forgottenMs);
    await open(longUs);
    expect((await restore())[0]).toBe("window");
  });

  it("leaves nothing behind that never expires, also when all was forgotten before it came", async () => {
    await cancelledInBrief();
    await delay(forgottenMs);
    await open(longUs);
    await shard.call(lua.cancel, {}, ["b", "2"]);
    const ttls = await Promise.all([shard.redis.pttl(shard.keys.memoryA), shard.redis.pttl(shard.keys.memoryB)]);
    // One is not there (-2); the other lives for three turns.
    expect(Math.min(...ttls)).toBe(-2);
    expect(Math.max(...ttls)).toBeGreaterThan((longUs * 2.5) / 1_000);
  });
});

describe("what is remembered", () => {
  it("T5 K1 expires three turns after its own began, as its last record is needed for two more", async () => {
    await shard.call(lua.cancel, {}, ["a", "1"]);
    const ttls = await Promise.all([shard.redis.pttl(shard.keys.memoryA), shard.redis.pttl(shard.keys.memoryB)]);
    expect(Math.max(...ttls)).toBeGreaterThan((longUs * 2.5) / 1_000);
    expect(Math.max(...ttls)).toBeLessThanOrEqual((longUs * 3) / 1_000);
  });

  for (const [ending, isNoted] of [
    ["acknowledged with the next claim", false],
    ["settled by itself", true],
  ] as const) {
    it(`T9 K1 an operation that was asked for an hour before its timer fired finds its answer afterwards: ${ending}`, async () => {
      await using desk = new Desk();
      const name = freshName();
      const timer = desk.timer(shard.server.url, name);
      await timer.schedule({ id: "a", afterMs: 60_000, operationId: "X" });
      const keys = shardKeys("holdfast", name, 0);
      const hourAgoMs = Date.now() - 3_600_000;
      await shard.redis.hset(keys.data, "a", `s${(hourAgoMs * 1_000).toString(36).padStart(10, "0")}3600000 X `);
      await shard.redis.zadd(keys.due, `${hourAgoMs}000`, "a");
      if (isNoted) await shard.redis.hset(keys.notes, "a", "0000--");
      if (isNoted) await shard.redis.hdel(keys.state, "plain");
      const catcher = new Catcher();
      const worker = timer.worker({ pollMs: 20 }, catcher.handle);
      await worker.start();
      await catcher.caught(1);
      await worker.idle();
      const again = await timer.schedule({ id: "a", afterMs: 0, operationId: "X" });
      expect(again).toEqual({ kind: "scheduled", dueAtMs: hourAgoMs + 3_600_000, generation: hourAgoMs * 1_000 });
      await worker.idle();
      expect(catcher.firings).toHaveLength(1);
      await worker.stop({ graceMs: 1_000 });
    });
  }
});
