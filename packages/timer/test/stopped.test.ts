/** T7, T3: what goes on in a worker that is being stopped, and after it. */
import { FaultProxy, pollUntil, RedisServer, Stopwatch } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DurableTimer, Firing, FiringLostError, TimerWorker } from "../src/index.ts";
import { claim, extend } from "../src/scripts.generated.ts";
import { Catcher, Desk, freshName, Gate } from "./client.ts";
import { lapse } from "./holders.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

/** A worker whose only handler runs until the gate is opened. */
async function running(
  desk: Desk,
  leaseMs = 60_000,
): Promise<{
  readonly timer: DurableTimer;
  readonly worker: TimerWorker<undefined>;
  readonly gate: Gate;
  readonly firing: Firing<undefined>;
  readonly ended: Gate;
}> {
  const timer = desk.timer(server.url, freshName());
  const [gate, ended] = [new Gate(), new Gate()];
  const started = Promise.withResolvers<Firing<undefined>>();
  const worker = timer.worker({ leaseMs, pollMs: 20 }, async (firing) => {
    started.resolve(firing);
    await gate.opened;
    ended.open();
  });
  await worker.start();
  await timer.schedule({ id: "a", afterMs: 0 });
  return { timer, worker, gate, firing: await started.promise, ended };
}

/** A timer that the next claim takes, on a server that knows the script of claims. */
async function withOneDue(desk: Desk, name: string): Promise<DurableTimer> {
  const timer = desk.timer(server.url, name);
  const warmUp = timer.worker(() => undefined);
  await warmUp.start();
  await warmUp.idle();
  await warmUp.stop({ graceMs: 1_000 });
  await timer.schedule({ id: "a", afterMs: 0 });
  return timer;
}

describe("T7 a stop during another", () => {
  it("T7 ends within its own grace, and the first with it", async () => {
    await using desk = new Desk();
    const { worker, gate } = await running(desk);
    const first = worker.stop({ graceMs: 60_000 });
    using watch = Stopwatch.start();
    const report = await worker.stop({ graceMs: 100 });
    expect(watch.ranMs).toBeLessThan(10_000);
    expect(report.unfinished).toBe(1);
    expect(await first).toBe(report);
    gate.open();
  });

  it("T7 does not prolong the first", async () => {
    await using desk = new Desk();
    const { worker, gate } = await running(desk);
    const first = worker.stop({ graceMs: 100 });
    using watch = Stopwatch.start();
    expect(await worker.stop({ graceMs: 60_000 })).toBe(await first);
    expect(watch.ranMs).toBeLessThan(10_000);
    gate.open();
  });

  it("T7 close ends it at once", async () => {
    await using desk = new Desk();
    const { timer, worker, gate } = await running(desk);
    const first = worker.stop({ graceMs: 60_000 });
    using watch = Stopwatch.start();
    await timer.close();
    expect(watch.ranMs).toBeLessThan(10_000);
    expect((await first).unfinished).toBe(1);
    gate.open();
  });
});

describe("idle and stop", () => {
  it("idle() resolves after a stop, once the last handler has ended: begun before, during or after it", async () => {
    await using desk = new Desk();
    const { worker, gate } = await running(desk);
    const before = worker.idle();
    await worker.stop({ graceMs: 0 });
    const after = worker.idle();
    gate.open();
    await Promise.all([before, after]);
    await worker.idle();
    expect(worker.counts()).toMatchObject({ running: 0, fired: 1 });
  });

  it("idle() resolves after a stop while the server was away", async () => {
    await using desk = new Desk();
    await using own = await RedisServer.start();
    const timer = desk.timer(own.url, freshName(), { commandTimeoutMs: 200 });
    const worker = timer.worker({ pollMs: 20 }, () => undefined);
    await worker.start();
    await worker.idle();
    await own.stop();
    await pollUntil("a claim has failed", () => desk.events.some(({ type }) => type === "trouble"));
    await worker.stop({ graceMs: 0 });
    await worker.idle();
  });
});

describe("T3 T7 the lease of a firing that is over", () => {
  it("T3 T7 its signal has aborted for whoever reads it for the first time after stop(), and its lease ends", async () => {
    await using desk = new Desk();
    const { timer, worker, gate, firing } = await running(desk, 1_000);
    expect(await worker.stop({ graceMs: 0 })).toMatchObject({ unfinished: 1 });
    expect(firing.signal.aborted).toBe(true);
    expect((firing.signal.reason as FiringLostError).reason).toBe("closed");
    // Nobody renews it, though its handler still runs: another worker has it when it is over (T2).
    const catcher = new Catcher();
    const heir = timer.worker({ leaseMs: 1_000, pollMs: 20 }, catcher.handle);
    await heir.start();
    await catcher.caught(1);
    gate.open();
    await heir.stop({ graceMs: 1_000 });
  });

  it("T3 its signal has aborted for whoever reads it for the first time after the handler ended", async () => {
    await using desk = new Desk();
    const { worker, gate, firing } = await running(desk);
    gate.open();
    await worker.idle();
    expect(firing.signal.aborted).toBe(true);
    await worker.stop({ graceMs: 1_000 });
  });
});

describe("T7 what a worker learns after it was told to stop", () => {
  it("T7 a claim that is answered during a stop is given back, and not begun", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const timer = await withOneDue(desk, name);
    const catcher = new Catcher();
    const worker = desk.timer(proxy.url, name).worker({ leaseMs: 60_000, pollMs: 20 }, catcher.handle);
    const held = proxy.hold("reply", new RegExp(claim.sha1, "u"));
    await worker.start();
    await held.hit;
    const stopped = worker.stop({ graceMs: 60_000 });
    held.release();
    expect(await stopped).toMatchObject({ released: 1, unfinished: 0, finished: 0, told: true });
    expect(catcher.firings).toHaveLength(0);
    const heir = timer.worker({ pollMs: 20 }, catcher.handle);
    await heir.start();
    expect((await catcher.caught(1))[0]?.attempt).toBe(1);
    await heir.stop({ graceMs: 1_000 });
  });

  it("T7 T6 a firing whose beginning was being put on record when stop came is given back without the attempt", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const { timer, worker: doomed } = await running(desk);
    await doomed.stop({ graceMs: 0 });
    await lapse(desk, server.url, timer.name);
    const catcher = new Catcher();
    const worker = desk.timer(proxy.url, timer.name).worker({ leaseMs: 60_000, pollMs: 20 }, catcher.handle);
    const held = proxy.hold("reply", new RegExp(extend.sha1, "u"));
    await worker.start();
    await held.hit;
    const stopped = worker.stop({ graceMs: 60_000 });
    held.release();
    expect(await stopped).toMatchObject({ released: 1, unfinished: 0, told: true });
    expect(catcher.firings).toHaveLength(0);
    const heir = timer.worker({ pollMs: 20 }, catcher.handle);
    await heir.start();
    expect((await catcher.caught(1))[0]?.attempt).toBe(1);
    await heir.stop({ graceMs: 1_000 });
  });
});

describe("T3 a claim whose answer was long on its way", () => {
  it("T3 is not begun when its lease is over by then, but given back", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    await withOneDue(desk, name);
    const catcher = new Catcher();
    const worker = desk.timer(proxy.url, name).worker({ leaseMs: 300, pollMs: 20 }, catcher.handle);
    const held = proxy.hold("reply", new RegExp(claim.sha1, "u"));
    await worker.start();
    await held.hit;
    const redis = desk.redis(server.url);
    const leaseEndUs = Number(await redis.zscore(`holdfast:{timer:${name}}:due`, "a"));
    await pollUntil("its lease is over", async () => {
      const [seconds, microseconds] = (await redis.time()) as unknown as [string, string];
      return Number(seconds) * 1_000_000 + Number(microseconds) > leaseEndUs;
    });
    held.release();
    await catcher.caught(1);
    await worker.idle();
    expect(worker.counts()).toMatchObject({ claimed: 2, fired: 1, released: 1 });
    await worker.stop({ graceMs: 1_000 });
  });
});
