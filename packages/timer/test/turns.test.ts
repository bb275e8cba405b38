/** Calls of one id in one tick, each of which waits for the one before it: all of them have the time that one call has (K1). */
import { FaultProxy, LeapClock, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DurableTimer } from "../src/index.ts";
import { cancel, schedule } from "../src/scripts.generated.ts";
import { Desk, failure, freshName } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

/** No request takes so long of itself. */
const commandTimeoutMs = 600_000;

describe("several calls of one id in one tick, while each answer is slow", { timeout: 30_000 }, () => {
  const calls = [
    [
      "schedule",
      schedule,
      (timer: DurableTimer, operationId: string) => timer.schedule({ id: "a", afterMs: 60_000, operationId }),
    ],
    ["cancel", cancel, (timer: DurableTimer, operationId: string) => timer.cancel("a", { operationId })],
  ] as const;
  it.each(calls)(
    "K1 %s gives up when its own time is over, and what has no time left is not sent",
    async (_, { sha1 }, make) => {
      await using desk = new Desk();
      await using proxy = await FaultProxy.start(server);
      const name = freshName();
      const clock = new LeapClock();
      const timer = desk.timerOn(desk.redis(proxy.url), name, { commandTimeoutMs, clock });
      // The server knows the script, and the client its time.
      await make(timer, "warm-up");
      const first = proxy.hold("reply", new RegExp(sha1, "u"));
      const made = ["one", "two", "three", "four"].map((operationId) =>
        make(timer, operationId).catch((error: unknown) => error),
      );
      await first.hit;
      clock.leap(400_000);
      const second = proxy.hold("reply", new RegExp(sha1, "u"));
      first.release();
      await second.hit;
      clock.leap(250_000);
      const unknown = (operationId: string): object => ({ name: "OutcomeUnknownError", operationId });
      expect(await made[0]).toHaveProperty("kind");
      expect(await Promise.all(made.slice(1))).toMatchObject(["two", "three", "four"].map(unknown));
      second.release();
    },
  );

  it("K1 a request that was overtaken by a cancellation goes once more in what is left of its time", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const clock = new LeapClock();
    const plain = desk.timer(server.url, name);
    const timer = desk.timerOn(desk.redis(proxy.url), name, { commandTimeoutMs, clock });
    await timer.schedule({ id: "warm-up", afterMs: 60_000 });
    const first = proxy.hold("request", new RegExp(schedule.sha1, "u"));
    const overtaken = failure(timer.schedule({ id: "a", afterMs: 60_000 }));
    await first.hit;
    await plain.cancel("a");
    clock.leap(400_000);
    const second = proxy.hold("request", new RegExp(schedule.sha1, "u"));
    first.release();
    await second.hit;
    clock.leap(250_000);
    expect(await overtaken).toMatchObject({ name: "OutcomeUnknownError" });
    second.release();
  });
});

describe("a schedule whose payload is looked at for longer than a request may take", () => {
  it("K1 T5 hears that it was overtaken by a cancellation meanwhile", async () => {
    await using desk = new Desk();
    const name = freshName();
    const clock = new LeapClock();
    const plain = desk.timer(server.url, name);
    const cancelled = async (value: unknown): Promise<{ readonly value: unknown }> => {
      await plain.cancel("a");
      clock.leap(commandTimeoutMs + 1_000);
      return { value };
    };
    const payload = { "~standard": { version: 1, vendor: "test", validate: cancelled } } as const;
    const timer = desk.timer(server.url, name, { commandTimeoutMs, clock, payload });
    await timer.stats();
    expect(await failure(timer.schedule({ id: "a", afterMs: 60_000, payload: 1 }))).toMatchObject({
      name: "SupersededError",
    });
  });
});

describe("several calls of one id in one tick, while replicas are away", () => {
  it("K1 none is refused because those before it have waited for replicas", async () => {
    await using desk = new Desk();
    const durability = { replicas: 1, timeoutMs: 2_050 };
    const name = freshName();
    // A script that the server does not know is sent twice, and waits twice.
    await desk.timer(server.url, name).schedule({ id: "warm-up", afterMs: 60_000 });
    const timer = desk.timer(server.url, name, { commandTimeoutMs: 2_000, durability });
    const made = ["one", "two"].map((operationId) =>
      failure(timer.schedule({ id: "a", afterMs: 60_000, operationId })),
    );
    const standing = (operationId: string): object => ({ name: "NotReplicatedError", operationId });
    expect(await Promise.all(made)).toMatchObject(["one", "two"].map(standing));
  });
});
