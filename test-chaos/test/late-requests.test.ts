/** K1 on the stage: which requests are taken for late, and what they may not do. */
import { RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, it } from "vitest";
import { LateRequests } from "../schedules/late-requests.ts";

let server: RedisServer;
let redis: Redis;
beforeAll(async () => {
  server = await RedisServer.start();
  redis = new Redis(server.url);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const writes = 'return redis.call("INCR", KEYS[1])';
const refuses = 'return { "too-late", redis.call("GET", KEYS[1]) }';
const past = "1000000000000000";
const future = "8000000000000000";

/** What is said of a request that was held back, and how often it was played. */
async function arrived(script: string, key: string, ...words: readonly string[]): Promise<[boolean, string | null]> {
  const requests = new LateRequests("any");
  requests.holdsBack(["EVAL", script, "1", key, ...words]);
  await requests.arrive(redis);
  return [requests.verdict.held, await redis.get(key)];
}

it("K1 a request that writes after its bound is found, wherever the bound stands", async () => {
  expect(await arrived(writes, "first", past)).toEqual([false, "1"]);
  expect(await arrived(writes, "third", "layout", past, past)).toEqual([false, "1"]);
});

it("K1 a request that refuses is left in peace", async () => {
  expect(await arrived(refuses, "refused", past)).toEqual([true, null]);
});

it("a request that is in time, or has no bound, is not played", async () => {
  expect(await arrived(writes, "in time", past, future)).toEqual([true, null]);
  expect(await arrived(writes, "no bound", "layout", "7")).toEqual([true, null]);
});
