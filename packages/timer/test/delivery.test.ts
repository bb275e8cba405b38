/** T1, T2, T8: what is delivered, when, and how often. */
import { setTimeout as delay } from "node:timers/promises";
import { pollUntil, RedisServer, Stopwatch } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { claim, reap } from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
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
    await withAlteredLua(claim, "<= nowUs do", "<= nowUs + 30000000 do", async () => {
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
    const worker = vanishing.worker({ pollMs: 50 }, catcher.handle);
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
    expect(firing?.latenessMs).toBeLessThan(30_000);
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
    using watch = Stopwatch.start();
    await timer.schedule({ id: "soon", afterMs: 10 });
    const [firing] = await catcher.caught(1);
    // One poll, what a busy machine takes, and for as long as it stood still.
    expect(firing?.latenessMs).toBeLessThan(200 + 300 + (watch.elapsedMs - watch.ranMs));
    await worker.stop({ graceMs: 1_000 });
  });

  it("T8 counter-test: a worker that polls once a minute sleeps past a deadline of which it heard no hint", async () => {
    await using desk = new Desk();
    await using deaf = await RedisServer.start({ config: { "rename-command": "PUBLISH PUBLISH_IS_GONE" } });
    const timer = desk.timer(deaf.url, freshName());
    const catcher = new Catcher();
    const worker = timer.worker({ pollMs: 60_000 }, catcher.handle);
    await worker.start();
    await pollUntil("the subscription stands", async () => {
      return ((await deaf.call("PUBSUB", "CHANNELS", `*${timer.name}*`)) as string[]).length === 1;
    });
    await delay(500);
    await worker.idle();
    await timer.schedule({ id: "soon", afterMs: 10 });
    await pollUntil("it is due", async () => (await timer.stats()).due === 1);
    await delay(300);
    expect(catcher.firings).toHaveLength(0);
    await worker.stop({ graceMs: 1_000 });
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
