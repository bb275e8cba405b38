/** Calls and workers under the deadline of the work that is running. */
import { withAmbientDeadline } from "@holdfast/core";
import { FaultProxy, pollUntil, RedisServer, Stopwatch } from "@holdfast/testkit";
import type { HoldRule } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Catcher, Desk, failure, freshName, many } from "./client.ts";
import { occupied } from "./holders.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

const commandTimeoutMs = 30_000;

describe("under an ambient deadline", () => {
  it("K1 calls end with it while Redis stands still, and nothing of them is carried out later", async () => {
    await using desk = new Desk();
    await using hung = await RedisServer.start();
    const timer = desk.timer(hung.url, freshName(), { commandTimeoutMs });
    await timer.schedule({ id: "known", afterMs: 60_000 });
    hung.pause();
    const begin = performance.now();
    const errors = await withAmbientDeadline(200, () =>
      Promise.all([
        failure(timer.schedule({ id: "a", afterMs: 0 })),
        failure(timer.scheduleMany(many(3))),
        failure(timer.cancel("known")),
        failure(timer.fireNow("known")),
        failure(timer.stats()),
      ]),
    );
    expect(performance.now() - begin).toBeLessThan(commandTimeoutMs / 2);
    expect(errors.map(({ name }) => name)).toEqual([
      ...Array.from({ length: 4 }, () => "OutcomeUnknownError"),
      "RedisUnavailableError",
    ]);
    hung.resume();
    expect(await timer.stats()).toMatchObject({ pending: 1, due: 0 });
    expect(await timer.get("known")).not.toBeNull();
  });

  it("counter-test: without one they wait for commandTimeoutMs, and are carried out when Redis goes on", async () => {
    await using desk = new Desk();
    await using hung = await RedisServer.start();
    const timer = desk.timer(hung.url, freshName(), { commandTimeoutMs });
    await timer.schedule({ id: "known", afterMs: 60_000 });
    hung.pause();
    const scheduling = timer.schedule({ id: "a", afterMs: 60_000 });
    await pollUntil("longer than the deadline", () => false, { timeoutMs: 400 }).catch(() => undefined);
    hung.resume();
    expect(await scheduling).toMatchObject({ kind: "scheduled" });
    expect(await timer.stats()).toMatchObject({ pending: 2 });
  });

  it("the first call of all may be under one: it ends with it, and hurries nobody who calls beside it", async () => {
    await using desk = new Desk();
    await using hung = await RedisServer.start();
    const name = freshName();
    await desk.timer(hung.url, name).schedule({ id: "known", afterMs: 60_000 });
    const redis = desk.redis(hung.url);
    await redis.ping();
    const timer = desk.timerOn(redis, name, { commandTimeoutMs });
    hung.pause();
    const begin = performance.now();
    const hurried = withAmbientDeadline(200, () => failure(timer.stats()));
    const patient = timer.get("known");
    const late = withAmbientDeadline(300, () => failure(timer.schedule({ id: "a", afterMs: 60_000 })));
    expect(await hurried).toMatchObject({ effect: "none" });
    expect(await late).toMatchObject({
      code: expect.stringMatching(/^(?:OUTCOME_UNKNOWN|REDIS_UNAVAILABLE)$/u) as string,
    });
    expect(performance.now() - begin).toBeLessThan(commandTimeoutMs / 2);
    hung.resume();
    expect(await patient).toMatchObject({ id: "known" });
    expect(await timer.get("a")).toBeNull();
  });

  it("a worker that is started under one goes on after it, and its handlers' calls are not hurried by it", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    const catcher = new Catcher();
    const worker = await withAmbientDeadline(50, async () => {
      const started = timer.worker({ pollMs: 20 }, async (firing) => {
        await timer.schedule({ id: `after ${firing.id}`, afterMs: 60_000 });
        catcher.handle(firing);
      });
      await started.start();
      return started;
    });
    await timer.scheduleMany(many(20, 200));
    await catcher.caught(20);
    await worker.idle();
    expect(await timer.stats()).toMatchObject({ pending: 20, leased: 0 });
    expect(await worker.stop({ graceMs: 30_000 })).toMatchObject({ told: true });
  });

  it("its claims have their own time, also while Redis stands still for longer than that deadline", async () => {
    await using desk = new Desk();
    await using hung = await RedisServer.start();
    const troubles: unknown[] = [];
    const timer = desk.timer(hung.url, freshName(), {
      commandTimeoutMs,
      onEvent: (event) => {
        if (event.type === "trouble") troubles.push(event);
      },
    });
    await timer.schedule({ id: "a", afterMs: 0 });
    const catcher = new Catcher();
    const worker = timer.worker(catcher.handle);
    hung.pause();
    await withAmbientDeadline(100, () => worker.start());
    await pollUntil("longer than the deadline", () => false, { timeoutMs: 300 }).catch(() => undefined);
    hung.resume();
    await catcher.caught(1);
    expect(troubles).toEqual([]);
    await worker.stop({ graceMs: 1_000 });
  });

  it("who waits for a worker to be idle, or for shards to move, waits no longer than it", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    const held = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const worker = timer.worker(() => {
      begun.resolve();
      return held.promise;
    });
    await worker.start();
    await timer.schedule({ id: "a", afterMs: 0 });
    await begun.promise;
    expect(await failure(withAmbientDeadline(50, () => worker.idle()))).toMatchObject({
      name: "NotIdleError",
      message: expect.stringContaining("1 handlers running") as string,
    });
    const reason = new Error("enough");
    const given = withAmbientDeadline(30_000, () => failure(worker.idle({ signal: AbortSignal.abort(reason) })));
    expect(await given).toBe(reason);
    const wider = desk.timer(server.url, name, { shards: 2 });
    using watch = Stopwatch.start();
    expect(await failure(withAmbientDeadline(2_000, () => wider.migrateShards()))).toMatchObject({
      name: "ShardsMovingError",
    });
    expect(watch.ranMs).toBeLessThan(10_000);
    held.resolve();
    await withAmbientDeadline(60_000, () => worker.idle());
    expect(await wider.migrateShards()).toMatchObject({ from: 1, to: 2 });
    await worker.stop({ graceMs: 1_000 });
  });

  it("who waits for shards to move is told that they move, also when the deadline comes in the middle of a look", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const { gate, worker } = await occupied(desk, server.url, name);
    const wider = desk.timer(proxy.url, name, { shards: 2 });
    expect(await failure(wider.migrateShards({ waitMs: 0 }))).toMatchObject({ name: "ShardsMovingError" });
    // From now on the next look is under way for as long as the test likes.
    const looks: HoldRule[] = [];
    for (let round = 0; round < 3; round += 1) {
      let seen = 0;
      // The first two ask how it stands; whoever looks again has been told that firings run.
      const held = proxy.hold("reply", (command) => command.includes("seal") && (seen += 1) === 2);
      looks.push(held);
      const moving = failure(withAmbientDeadline(2_000, () => wider.migrateShards()));
      await held.hit;
      expect(await moving).toMatchObject({
        name: "ShardsMovingError",
        cause: expect.objectContaining({ code: "OUTCOME_UNKNOWN" }) as unknown,
      });
      held.release();
    }
    expect(looks.map(({ hits }) => hits)).toEqual([1, 1, 1]);
    gate.open();
    await worker.idle();
    await worker.stop({ graceMs: 1_000 });
  });
});
