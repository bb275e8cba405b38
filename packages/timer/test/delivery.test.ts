/** T1, T2, T7, T8, T10: what is delivered, when, and how often. */
import { setTimeout as delay } from "node:timers/promises";
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { claim, reap } from "../src/scripts.generated.ts";
import { withAlteredLua } from "./altered-lua.ts";
import { Catcher, Desk, failure, freshName, Gate } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

describe("T1 never early", () => {
  it("T1 100 timers over 300 ms fire in no case before their deadline by the server's clock", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    const catcher = new Catcher();
    const worker = timer.worker(catcher.handle);
    await worker.start();
    await timer.scheduleMany(Array.from({ length: 100 }, (_, index) => ({ id: `t${index}`, afterMs: index * 3 })));
    await catcher.caught(100);
    for (const { latenessMs, token, dueAtMs } of catcher.firings) {
      expect(latenessMs).toBeGreaterThanOrEqual(0);
      // The token is the server's time of the claim.
      expect(token).toBeGreaterThanOrEqual(dueAtMs * 1_000);
    }
    await worker.stop({ graceMs: 1_000 });
  });

  it("T1 counter-test: a claim that looks 30 s ahead fires early, and the lateness shows it", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    await withAlteredLua(claim, `"-inf", nowText, "BYSCORE"`, `"-inf", nowText + 30000000, "BYSCORE"`, async () => {
      const catcher = new Catcher();
      await timer.schedule({ id: "early", afterMs: 20_000 });
      const worker = timer.worker(catcher.handle);
      await worker.start();
      const [firing] = await catcher.caught(1);
      expect(firing?.latenessMs).toBeLessThan(0);
      await worker.stop({ graceMs: 1_000 });
    });
  });

  it("T1 a deadline in the past fires at once, with its lateness counted from it", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    const catcher = new Catcher();
    await timer.schedule({ id: "late", at: new Date(1_000_000) });
    const worker = timer.worker(catcher.handle);
    await worker.start();
    const [firing] = await catcher.caught(1);
    expect(firing?.dueAtMs).toBe(1_000_000);
    expect(firing?.latenessMs).toBeGreaterThan(1_000_000_000);
    await worker.stop({ graceMs: 1_000 });
  });
});

describe("T2 at least once", () => {
  it("T2 a timer with its payload fires and is gone from the server afterwards", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer<{ order: number }>(server.url, name);
    const result = await timer.schedule({ id: "order-1", afterMs: 30, payload: { order: 1 } });
    expect(await timer.get("order-1")).toMatchObject({
      state: "pending",
      payload: { order: 1 },
      dueAtMs: result.dueAtMs,
    });
    const catcher = new Catcher<{ order: number }>();
    const worker = timer.worker(catcher.handle);
    await worker.start();
    const [firing] = await catcher.caught(1);
    await worker.idle();
    expect(firing).toMatchObject({
      id: "order-1",
      payload: { order: 1 },
      attempt: 1,
      dueAtMs: result.dueAtMs,
      generation: result.generation,
      resource: `timer:${name}:order-1`,
    });
    expect(await timer.get("order-1")).toBeNull();
    expect(await timer.stats()).toMatchObject({ pending: 0, due: 0, leased: 0, dead: 0, lagMs: 0 });
    expect(worker.counts()).toMatchObject({ claimed: 1, fired: 1, lost: 0, stale: 0, running: 0, waiting: 0 });
  });

  it("T2 what a vanished worker had leased fires elsewhere when the lease is over", async () => {
    await using desk = new Desk();
    const name = freshName();
    const vanishing = desk.timer(server.url, name);
    await vanishing.scheduleMany(["a", "b", "c"].map((id) => ({ id, afterMs: 0 })));
    const redis = desk.redis(server.url);
    const started = new Gate();
    const dying = new Desk();
    const doomed = dying.timer(server.url, name).worker({ leaseMs: 300 }, async () => {
      started.open();
      await new Promise(() => undefined);
    });
    await doomed.start();
    await started.opened;
    // Its process is gone: nothing renews, nothing is told.
    await doomed.stop({ graceMs: 0 });
    await dying[Symbol.asyncDispose]();
    const catcher = new Catcher();
    const worker = vanishing.worker({ leaseMs: 300, pollMs: 50 }, catcher.handle);
    await worker.start();
    await catcher.caught(3);
    await worker.idle();
    expect(catcher.ids.toSorted()).toEqual(["a", "b", "c"]);
    expect(worker.counts()).toMatchObject({ lapsed: 3, fired: 3 });
    expect(await redis.keys(`holdfast:{timer:${name}}:*`)).not.toContain(`holdfast:{timer:${name}}:due`);
  });

  it("T2 counter-test: without reaping, the timers of a vanished worker never fire again", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const started = new Gate();
    const doomed = timer.worker({ leaseMs: 50 }, async () => {
      started.open();
      await new Promise(() => undefined);
    });
    await doomed.start();
    await started.opened;
    await doomed.stop({ graceMs: 0 });
    await withAlteredLua(reap, "if isLease(found[at + 1]) then", "if false then", async () => {
      const catcher = new Catcher();
      const worker = timer.worker({ leaseMs: 50, pollMs: 20 }, catcher.handle);
      await worker.start();
      await pollUntil("the lease is over", async () => (await timer.stats()).due === 1);
      await delay(100);
      expect(catcher.firings).toHaveLength(0);
      await worker.stop({ graceMs: 100 });
    });
  });
});

describe("T7 stop", () => {
  it("T7 stop gives back what has not begun, due at once and without a spent attempt", async () => {
    await using desk = new Desk();
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
    await pollUntil("some wait", () => first.counts().waiting > 0);
    gate.open();
    const report = await first.stop({ graceMs: 5_000 });
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
    const begin = performance.now();
    const report = await worker.stop({ graceMs: 200 });
    expect(performance.now() - begin).toBeLessThan(1_000);
    expect(report).toMatchObject({ unfinished: 1, finished: 0 });
    expect(signal.aborted).toBe(true);
    expect((signal.reason as { code: string }).code).toBe("TIMER_FIRING_LOST");
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
    const begin = performance.now();
    const report = await worker.stop({ graceMs: 300 });
    expect(performance.now() - begin).toBeLessThan(1_300);
    expect(report.told).toBe(false);
    hung.resume();
  });
});

describe("T8 hints", () => {
  it("T8 a timer that is due before the known next one wakes a sleeping worker", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    const catcher = new Catcher();
    const worker = timer.worker({ pollMs: 60_000 }, catcher.handle);
    await worker.start();
    await worker.idle();
    await pollUntil("it listens", async () => Number((await server.call("PUBSUB", "NUMPAT")) ?? 0) >= 0);
    await pollUntil("the subscription stands", async () => {
      const channels = (await server.call("PUBSUB", "CHANNELS", `*${timer.name}*`)) as string[];
      return channels.length === 1;
    });
    await timer.schedule({ id: "soon", afterMs: 20 });
    const [firing] = await catcher.caught(1);
    expect(firing?.latenessMs).toBeLessThan(5_000);
    await worker.stop({ graceMs: 1_000 });
  });

  it("T8 with every hint lost, a timer is late by at most pollMs", async () => {
    await using desk = new Desk();
    await using deaf = await RedisServer.start({ config: { "rename-command": "PUBLISH PUBLISH_IS_GONE" } });
    const timer = desk.timer(deaf.url, freshName());
    const catcher = new Catcher();
    const worker = timer.worker({ pollMs: 200 }, catcher.handle);
    await worker.start();
    // The subscription itself wakes the worker once, a moment after it stands; then it sleeps for good.
    await pollUntil("the subscription stands", async () => {
      return ((await deaf.call("PUBSUB", "CHANNELS", `*${timer.name}*`)) as string[]).length === 1;
    });
    await delay(500);
    await worker.idle();
    await timer.schedule({ id: "soon", afterMs: 10 });
    const [firing] = await catcher.caught(1);
    expect(firing?.latenessMs).toBeLessThan(200 + 100);
    await worker.stop({ graceMs: 1_000 });
  });
});

describe("T10 bursts", () => {
  it("T10 a worker never has more than its places plus one batch, and no claim asks for more than a batch", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    await timer.scheduleMany(Array.from({ length: 5_000 }, (_, index) => ({ id: `t${index}`, afterMs: 0 })));
    let peak = 0;
    let running = 0;
    let runningPeak = 0;
    const redis = desk.redis(server.url);
    const worker = timer.worker({ concurrencyMax: 10 }, async (firing) => {
      running += 1;
      runningPeak = Math.max(runningPeak, running);
      peak = Math.max(peak, worker.counts().running + worker.counts().waiting);
      if (Number(firing.id.slice(1)) % 50 === 0) await redis.ping();
      running -= 1;
    });
    await worker.start();
    await worker.idle();
    expect(worker.counts().fired).toBe(5_000);
    expect(runningPeak).toBeLessThanOrEqual(10);
    expect(peak).toBeLessThanOrEqual(10 + 100);
    const claimed = desk.events.filter((event) => event.type === "claimed");
    expect(Math.max(...claimed.map(({ count }) => count))).toBeLessThanOrEqual(100);
    await worker.stop({ graceMs: 1_000 });
  });

  it("T10 firings that wait for a place are given back to other workers", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    const gate = new Gate();
    await timer.scheduleMany(Array.from({ length: 400 }, (_, index) => ({ id: `t${index}`, at: 1_000 + index })));
    const blocked = timer.worker({ concurrencyMax: 2 }, async (firing) => {
      if (Number(firing.id.slice(1)) >= 100) await gate.opened;
    });
    const catcher = new Catcher();
    await blocked.start();
    await pollUntil("both places are taken", () => blocked.counts().running === 2);
    const other = timer.worker(catcher.handle);
    await other.start();
    await pollUntil("the rest has fired elsewhere", () => blocked.counts().fired + catcher.firings.length === 398);
    gate.open();
    await blocked.idle();
    expect(blocked.counts().fired + catcher.firings.length).toBe(400);
    await Promise.all([blocked.stop({ graceMs: 1_000 }), other.stop({ graceMs: 1_000 })]);
  });
});

describe("worker", () => {
  it("refuses to start again after a stop, and waits for idleness only as long as the signal allows", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    const gate = new Gate();
    await timer.schedule({ id: "a", afterMs: 0 });
    const worker = timer.worker(() => gate.opened);
    await worker.start();
    await pollUntil("it runs", () => worker.counts().running === 1);
    const reason = await failure(worker.idle({ signal: AbortSignal.timeout(20) }));
    expect(reason.name).toBe("TimeoutError");
    gate.open();
    await worker.idle();
    await worker.stop({ graceMs: 1_000 });
    expect(await failure(worker.start())).toBeInstanceOf(TypeError);
  });
});
