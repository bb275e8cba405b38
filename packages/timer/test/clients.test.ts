/** The clients that a timer takes, at run time: both majors of ioredis, as they come; and what timers on one client share. */
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { Redis as Redis6 } from "ioredis";
import { Redis as Redis5 } from "ioredis5";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DeadLetterError, DurableTimer } from "../src/index.ts";
import { Catcher, Desk, freshName, requests, serverTimeMs } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

const listeners = async (name: string): Promise<number> => {
  const [, count] = (await server.call("PUBSUB", "NUMSUB", `holdfast:{timer:${name}}:wake`)) as [string, number];
  return count;
};

const subscribers = async (): Promise<number> =>
  [...String(await server.call("CLIENT", "LIST", "TYPE", "pubsub")).matchAll(/^id=/gmu)].length;
const nobodyListens = (): Promise<unknown> =>
  pollUntil("nobody listens", async () => (await subscribers()) === 0, { timeoutMs: 60_000 });

describe("a timer on a client", () => {
  it.each([
    ["of ioredis 6, as it comes", () => new Redis6(server.url)],
    ["of ioredis 6 with RESP2", () => new Redis6(server.url, { protocol: 2 })],
    ["of ioredis 5, as it comes", () => new Redis5(server.url)],
  ] as const)("%s makes every call, hears hints, fires, fails and buries", async (_, connect) => {
    const redis = connect();
    redis.on("error", () => undefined);
    const name = freshName();
    await using timer = new DurableTimer<{ n: number }>(redis, name, { commandTimeoutMs: 60_000 });
    const catcher = new Catcher<{ n: number }>();
    const worker = timer.worker({ pollMs: 60_000, leaseMs: 60_000 }, (firing) => {
      if (firing.id === "bad") throw new DeadLetterError("on purpose");
      catcher.handle(firing);
    });
    await worker.start();
    await worker.idle();
    await pollUntil("it listens", async () => (await listeners(name)) === 1, { timeoutMs: 60_000 });
    // The worker sleeps for a minute: only a hint makes it look.
    await timer.schedule({ id: "hinted", afterMs: 0, payload: { n: -1 } });
    await catcher.caught(1);
    await timer.scheduleMany(requests(300, 0));
    await catcher.caught(301);
    await timer.schedule({ id: "bad", afterMs: 0, payload: { n: 0 } });
    await pollUntil("one is dead", async () => (await timer.stats()).dead === 1, { timeoutMs: 60_000 });
    expect(await timer.dead.list()).toMatchObject([{ id: "bad", payload: { n: 0 } }]);
    expect(await timer.dead.redrive("bad")).toEqual({ kind: "redriven" });
    await pollUntil("it is dead again", async () => (await timer.stats()).dead === 1, { timeoutMs: 60_000 });
    expect(await timer.dead.drop("bad")).toEqual({ kind: "dropped" });
    const pending = { id: "pending", afterMs: 3_600_000, payload: { n: 1 } };
    expect(await timer.schedule(pending)).toMatchObject({ kind: "scheduled" });
    expect(await timer.get("pending")).toMatchObject({ state: "pending", payload: { n: 1 } });
    const asOfMs = await serverTimeMs(server);
    expect(await timer.reconcile([pending, { ...pending, id: "missing" }], { asOfMs })).toMatchObject({
      restored: 1,
      present: 1,
    });
    expect(await timer.cancel("missing")).toEqual({ kind: "cancelled" });
    expect(await timer.fireNow("pending")).toEqual({ kind: "due" });
    await catcher.caught(302);
    await worker.idle();
    expect(catcher.firings.map(({ payload }) => payload.n).toSorted((a, b) => a - b)).toEqual(
      [-1, ...Array.from({ length: 300 }, (_value, n) => n), 1].toSorted((a, b) => a - b),
    );
    await worker.stop({ graceMs: 10_000 });
    redis.disconnect();
  });
});

describe("timers on one client", () => {
  it("share one subscriber, which goes with the last worker", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    const names = Array.from({ length: 5 }, freshName);
    await nobodyListens();
    const workers = names.map((name) => desk.timerOn(redis, name).worker(() => undefined));
    for (const worker of workers) await worker.start();
    await pollUntil(
      "all listen",
      async () => {
        const counts = await Promise.all(names.map(listeners));
        return counts.every((count) => count === 1);
      },
      { timeoutMs: 60_000 },
    );
    expect(await subscribers()).toBe(1);
    for (const worker of workers) await worker.stop({ graceMs: 10_000 });
    await nobodyListens();
  });
});
