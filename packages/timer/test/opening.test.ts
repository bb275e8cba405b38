/** A call that has to open its shard first, with up to three requests, has no more time than any other. */
import { systemClock } from "@holdfast/core";
import { FaultProxy, RedisServer, Stopwatch } from "@holdfast/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { shardOf } from "../src/keys.ts";
import { open, schedule } from "../src/scripts.generated.ts";
import { Desk, failure, freshName } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

const idOfSecond = ["a", "b", "c", "d", "e", "f"].find((id) => shardOf(id, 2) === 1) as string;

it("it is answered within commandTimeoutMs, however slow each answer is", async () => {
  await using desk = new Desk();
  await using proxy = await FaultProxy.start(server);
  const redis = desk.redis(proxy.url);
  // The server knows the scripts, and the client its time.
  await desk.timerOn(redis, freshName()).schedule({ id: "warm-up", afterMs: 60_000 });
  proxy.latency({ downMs: 900 });
  const timer = desk.timerOn(redis, freshName(), { shards: 2, commandTimeoutMs: 1_000 });
  using watch = Stopwatch.start();
  expect(await failure(timer.schedule({ id: idOfSecond, afterMs: 60_000 }))).toMatchObject({
    name: "OutcomeUnknownError",
  });
  // Three answers, each with a time of its own, take 2,700 ms.
  expect(watch.ranMs).toBeLessThan(2_000);
});

it("it is not sent when no time is left for it, and says so", async () => {
  await using desk = new Desk();
  const redis = desk.redis(server.url);
  let aheadMs = 0;
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs };
  const call = redis.call.bind(redis) as (command: string, args: unknown[]) => Promise<unknown>;
  const sent: unknown[] = [];
  const slow = async (command: string, args: unknown[]): Promise<unknown> => {
    sent.push(args[0]);
    const reply = await call(command, args);
    if (args[0] === open.sha1) aheadMs += 1_200;
    return reply;
  };
  Object.assign(redis, { call: slow });
  const timer = desk.timerOn(redis, freshName(), { commandTimeoutMs: 1_000, clock });
  const error = await failure(timer.schedule({ id: "a", afterMs: 60_000 }));
  expect(error).toMatchObject({ name: "RedisUnavailableError", effect: "none", message: /open the shard/u });
  expect(sent).not.toContain(schedule.sha1);
  expect(await timer.schedule({ id: "a", afterMs: 60_000 })).toMatchObject({ kind: "scheduled" });
});
