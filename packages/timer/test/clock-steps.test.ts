/** K8: what becomes of leases when the server's clock goes back. */
import { ClockSkew, pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import * as lua from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { Desk, freshName } from "./client.ts";
import { ScriptShard } from "./script-shard.ts";

const hourMs = 3_600_000;
const leaseUs = 300_000;
const desk = new Desk();
let skew: ClockSkew;
let shard: ScriptShard;

beforeAll(async () => {
  skew = await ClockSkew.create();
  shard = new ScriptShard();
  shard.server = await RedisServer.start({ env: { ...skew.env } });
  shard.redis = desk.redis(shard.server.url);
});
afterAll(async () => {
  await desk[Symbol.asyncDispose]();
  await shard.server.stop();
  await skew[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await skew.set(0);
  await shard.renew();
});

async function claim(lane: string, lengthUs: number): Promise<readonly [token: string, leaseEnd: string]> {
  const request = { lane, sequence: 1, limit: 1, leaseUs: lengthUs, ackCount: 0 };
  const lines = String(await shard.call(lua.claim, request)).split("\n");
  return [lines[2] as string, lines[3] as string];
}

async function reaped(): Promise<number> {
  return (await shard.call(lua.reap, { limit: 10, attemptsMax: 3, leaseUs, error: "gone" }))[2] as number;
}

async function serverUs(): Promise<number> {
  const [seconds, microseconds] = (await shard.redis.time()) as unknown as [string, string];
  return Number(seconds) * 1_000_000 + Number(microseconds);
}

/** A lease is extended while the clock is ahead; then the clock goes back, and its holder is dead. */
async function extendedAhead(): Promise<void> {
  await shard.set("a");
  const [token, leaseEnd] = await claim("w.0", leaseUs);
  await skew.set(hourMs);
  expect((await shard.call(lua.extend, { leaseUs }, ["a", leaseEnd, token, 1]))[2]).toBe("r");
  await skew.set(0);
}

describe("K8 the clock of the server goes back", () => {
  it("K8 T2 a lease that was extended before lapses one lease after that was first seen", async () => {
    await extendedAhead();
    const request = { lane: "other.0", sequence: 1, limit: 1, leaseUs, ackCount: 0 };
    expect((await shard.call(lua.claim, request))[5]).toBe("back");
    const seenUs = await serverUs();
    expect(await reaped()).toBe(0);
    await pollUntil("it lapses", async () => (await reaped()) === 1);
    expect((await serverUs()) - seenUs).toBeGreaterThan(leaseUs);
  });

  it("K8 counter-test: an extension that leaves no trace of its time stands for as long as the clock has lost", async () => {
    await withAlteredLua(lua.extend, "if nowText > shard[2] then", "if false then", extendedAhead);
    const request = { lane: "other.0", sequence: 1, limit: 1, leaseUs, ackCount: 0 };
    expect((await shard.call(lua.claim, request))[5]).toBe("");
    expect(Number(await shard.redis.zscore(shard.keys.due, "a"))).toBeGreaterThan((await serverUs()) + 3_000_000_000);
  });

  it("K8 T2 goes back again while the first time is waited for: the lease lapses one lease after the second", async () => {
    await skew.set(2 * hourMs);
    await shard.set("a");
    await claim("w.0", leaseUs);
    await skew.set(hourMs);
    expect(await reaped()).toBe(0);
    const firstSeenUs = Number(await shard.redis.hget(shard.keys.state, "backUs"));
    await skew.set(0);
    expect(await reaped()).toBe(0);
    expect(Number(await shard.redis.hget(shard.keys.state, "backUs"))).toBeLessThan(firstSeenUs - 3_000_000_000);
    await pollUntil("it lapses", async () => (await reaped()) === 1);
  });

  it("K8 T3 whoever has the longest lease of all gets that time to extend it, whoever looks", async () => {
    await skew.set(hourMs);
    await shard.set("a");
    const [, leaseEnd] = await claim("w.0", 60_000_000);
    // Numbers are given out until just before it ends.
    await shard.redis.hset(shard.keys.state, "floor", leaseEnd);
    await skew.set(0);
    const seenUs = await serverUs();
    let lapsed = 0;
    await pollUntil("the reaper's own lease is over", async () => {
      lapsed += await reaped();
      return (await serverUs()) > seenUs + leaseUs * 3;
    });
    expect(lapsed).toBe(0);
    expect(Number(await shard.redis.zscore(shard.keys.due, "a"))).toBeGreaterThan((await serverUs()) + 3_000_000_000);
  });
});

describe("T5 K8 a process that has seen a later time", () => {
  it("T5 K8 can cancel and schedule an id again after the clock went back", async () => {
    const name = freshName();
    await skew.set(hourMs);
    const before = desk.timer(shard.server.url, name);
    await before.schedule({ id: "a", afterMs: 60_000 });
    await skew.set(0);
    // A client of its own, whose estimate of the server's time knows nothing of the hour ahead.
    const after = desk.timer(shard.server.url, name);
    for (let round = 0; round < 3; round += 1) {
      expect((await after.cancel("a")).kind).toBe("cancelled");
      expect((await after.schedule({ id: "a", afterMs: 60_000 })).kind).toBe("scheduled");
    }
  });
});
