/** T7: a worker that is to stop. */
import { setTimeout as delay } from "node:timers/promises";
import { pollUntil, RedisServer, Stopwatch } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DurableTimer, StopReport, TimerWorker } from "../src/index.ts";
import { settle } from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { Catcher, Desk, freshName, Gate } from "./client.ts";
import { clockWithout } from "./clock-without.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

/** A worker with one place, which a handler takes until it is stopped, and with firings that wait for that place. */
async function blocked(desk: Desk): Promise<{
  readonly timer: DurableTimer;
  readonly first: TimerWorker<undefined>;
  readonly stop: () => Promise<StopReport>;
}> {
  const timer = desk.timer(server.url, freshName());
  const gate = new Gate();
  const started = new Gate();
  // Quick ones first, so that the worker takes a batch ahead; then the slow one blocks its only place.
  await timer.scheduleMany(Array.from({ length: 50 }, (_, index) => ({ id: `w${index}`, at: 1_000 + index })));
  await timer.scheduleMany(Array.from({ length: 80 }, (_, index) => ({ id: `z${index}`, at: 100_000 + index })));
  const first = timer.worker({ concurrencyMax: 1, leaseMs: 60_000 }, async (firing) => {
    if (!firing.id.startsWith("z")) return;
    started.open();
    await gate.opened;
  });
  await first.start();
  await started.opened;
  const stop = async (): Promise<StopReport> => {
    await pollUntil("some wait", () => first.counts().waiting > 0);
    gate.open();
    return first.stop({ graceMs: 60_000 });
  };
  return { timer, first, stop };
}

describe("T7 stop", () => {
  it("T7 stop gives back what has not begun, due at once and without a spent attempt", async () => {
    await using desk = new Desk();
    const { timer, first, stop } = await blocked(desk);
    const report = await stop();
    expect(report.released).toBeGreaterThan(0);
    expect(report).toMatchObject({ unfinished: 0, told: true });
    const catcher = new Catcher();
    const second = timer.worker(catcher.handle);
    await second.start();
    await second.idle();
    const left = 130 - first.counts().fired;
    expect(catcher.firings).toHaveLength(left);
    expect(catcher.firings.every(({ attempt }) => attempt === 1)).toBe(true);
    await second.stop({ graceMs: 1_000 });
  });

  it("T7 counter-test: without the return of what has not begun, nobody gets it until its lease ends", async () => {
    await using desk = new Desk();
    const { timer, first, stop } = await blocked(desk);
    const held = "elseif not isLease(score) or";
    await withAlteredLua(settle, held, `elseif verb == "release" or not isLease(score) or`, stop);
    const second = timer.worker(() => undefined);
    await second.start();
    await second.idle();
    expect(first.counts().fired + second.counts().fired).toBeLessThan(130);
    expect((await timer.stats()).leased).toBeGreaterThan(0);
    await second.stop({ graceMs: 1_000 });
  });

  it("T7 stop ends within graceMs although a handler never ends, and aborts its signal", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    await timer.schedule({ id: "endless", afterMs: 0 });
    const started = Promise.withResolvers<AbortSignal>();
    const worker = timer.worker(async ({ signal }) => {
      started.resolve(signal);
      await new Promise(() => undefined);
    });
    await worker.start();
    const signal = await started.promise;
    using watch = Stopwatch.start();
    const report = await worker.stop({ graceMs: 200 });
    expect(watch.ranMs).toBeLessThan(1_000);
    expect(report).toMatchObject({ unfinished: 1, finished: 0 });
    expect(signal.aborted).toBe(true);
    expect((signal.reason as { code: string }).code).toBe("TIMER_FIRING_LOST");
  });

  it("T7 counter-test: without the timer of the grace, stop waits for as long as the handler", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName(), { clock: clockWithout(200) });
    await timer.schedule({ id: "endless", afterMs: 0 });
    const started = new Gate();
    const gate = new Gate();
    const worker = timer.worker(async () => {
      started.open();
      await gate.opened;
    });
    await worker.start();
    await started.opened;
    const stopped = worker.stop({ graceMs: 200 });
    expect(await Promise.race([stopped, delay(600).then(() => "still waiting")])).toBe("still waiting");
    gate.open();
    await stopped;
  });

  it("T7 stop ends within graceMs although Redis does not answer", async () => {
    await using desk = new Desk();
    await using hung = await RedisServer.start();
    const timer = desk.timer(hung.url, freshName());
    await timer.scheduleMany(Array.from({ length: 10 }, (_, index) => ({ id: `t${index}`, afterMs: 0 })));
    const gate = new Gate();
    const started = new Gate();
    const worker = timer.worker(async () => {
      started.open();
      await gate.opened;
    });
    await worker.start();
    await started.opened;
    hung.pause();
    gate.open();
    using watch = Stopwatch.start();
    const report = await worker.stop({ graceMs: 300 });
    expect(watch.ranMs).toBeLessThan(1_300);
    expect(report.told).toBe(false);
    hung.resume();
  });
});
