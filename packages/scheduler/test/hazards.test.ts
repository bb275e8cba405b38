/** The traps of hazards that a scheduler meets: lost replies, pauses, clocks that step, a server that forgets its scripts. */
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { ClockSkew, FaultProxy, pollUntil, RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scheduler } from "../src/index.ts";
import { admit, begin, define, finish } from "../src/scripts.generated.ts";
import { Catcher, Desk, freshName, repeated, patientMs } from "./desk.ts";
import { Fleet } from "./fleet.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

describe("replies that are lost", () => {
  it.each([
    ["define", define.sha1],
    ["admit", admit.sha1],
    ["begin", begin.sha1],
    ["finish", finish.sha1],
  ])(
    "C1 the reply to %s is lost: ioredis sends it again, and each occurrence runs once, in its first attempt",
    async (_name, sha1) => {
      await using desk = new Desk();
      await using proxy = await FaultProxy.start(server);
      const name = freshName();
      const catcher = new Catcher();
      const lost = proxy.swallowReply(new RegExp(sha1, "u"));
      const options = { everyMs: 200, missed: "all", overlap: "queue" } as const;
      const scheduler = desk
        .scheduler(`redis://127.0.0.1:${proxy.port}`, name, { leaseMs: 15_000 })
        .job("job", options, catcher.handle);
      await scheduler.start();
      await lost.hit;
      await catcher.caught(4);
      expect(repeated(catcher.ids)).toEqual([]);
      expect(catcher.runs.every(({ attempt }) => attempt === 1)).toBe(true);
      const due = catcher.runs.map(({ scheduledForMs }) => scheduledForMs);
      expect(due).toEqual(due.map((_, index) => (due[0] as number) + index * 200));
    },
  );
});

describe("the process", () => {
  it("C1 a runner that stood still past its lease is overtaken, is told when it wakes, and its outcome is not recorded", async () => {
    await using desk = new Desk();
    await using fleet = new Fleet();
    const name = freshName();
    const job = { everyMs: 86_400_000, backoff: { baseMs: 0 } } as const;
    const options = { url: server.url, name, scheduler: {}, job };
    const paused = await fleet.start("paused", { ...options, workMs: 3_000 });
    const operator = desk.scheduler(server.url, name);
    await operator.runNow("job");
    await pollUntil("the run began", () => fleet.began.length === 1);
    paused.pause();
    await fleet.start("heir", { ...options, workMs: 10 });
    await pollUntil("the record", async () => (await operator.history("job")).runs.length === 1);
    paused.resume();
    const said = await pollUntil("it woke", () =>
      fleet.said.find(({ ended, runner }) => ended !== undefined && runner === "paused"),
    );
    expect(said.aborted).toBe(true);
    await delay(300);
    expect((await operator.history("job")).runs).toMatchObject([{ outcome: "completed", runner: "heir", attempts: 2 }]);
  });
});

describe("the network", () => {
  it("C1 a runner that hears that it may begin after its lease begins nothing", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const began: { attempt: number; aborted: boolean }[] = [];
    const job = { everyMs: 86_400_000, backoff: { baseMs: 0 } } as const;
    const scheduler = desk
      .scheduler(proxy.url, name, { commandTimeoutMs: 30_000, leaseMs: 4_000 })
      .job("job", job, ({ attempt, signal }) => began.push({ attempt, aborted: signal.aborted }));
    await scheduler.start();
    const held = proxy.hold("reply", new RegExp(begin.sha1, "u"));
    await desk.scheduler(server.url, name).runNow("job");
    await held.hit;
    await delay(4_500);
    held.release();
    expect(await desk.event("lost")).toMatchObject({ attempt: 1 });
    await desk.event("completed");
    // The first one is given back, unless the second had been counted by then.
    expect(began).toMatchObject([{ aborted: false }]);
  });

  it("C1 a handler that throws because its lease has ended has not failed: the run is lost, and that is said", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const job = { everyMs: 86_400_000, backoff: { baseMs: 0 } } as const;
    const scheduler = desk
      .scheduler(proxy.url, name, { commandTimeoutMs: 300, leaseMs: 400 })
      .job("job", job, async ({ attempt, signal }) => {
        if (attempt > 1) return;
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        throw signal.reason;
      });
    await scheduler.start();
    const operator = desk.scheduler(server.url, name);
    await pollUntil("it is asked for", async () => (await operator.runNow("job")).kind === "queued");
    await desk.event("started");
    proxy.blackhole();
    expect(await desk.event("lost")).toMatchObject({ attempt: 1 });
    await proxy.heal();
    await desk.event("completed", ({ attempt }) => attempt > 1);
    expect(desk.events.filter(({ type }) => type === "attempt-failed")).toEqual([]);
  });

  it("a rhythm that is faster than Redis answers goes on, though not at its pace", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const catcher = new Catcher();
    const scheduler = desk.scheduler(proxy.url, freshName()).job("job", { everyMs: 50 }, catcher.handle);
    proxy.latency({ upMs: 30, downMs: 30 });
    await scheduler.start();
    await catcher.caught(2);
    expect(repeated(catcher.ids)).toEqual([]);
  });
});

describe("Redis", () => {
  it("SCRIPT FLUSH between any two calls goes unnoticed", async () => {
    await using desk = new Desk();
    const catcher = new Catcher();
    const scheduler = desk
      .scheduler(server.url, freshName())
      .job("job", { everyMs: 100, missed: "all", overlap: "queue" }, catcher.handle);
    await scheduler.start();
    for (let count = 1; count <= 5; count += 1) {
      await catcher.caught(count);
      await server.call("SCRIPT", "FLUSH");
    }
    expect(repeated(catcher.ids)).toEqual([]);
  });

  it("C1 a timer that the server lost is set again while the record stands", async () => {
    await using desk = new Desk();
    const name = freshName();
    const catcher = new Catcher();
    const scheduler = desk
      .scheduler(server.url, name)
      .job("job", { everyMs: 300, missed: "all", overlap: "queue" }, catcher.handle);
    await scheduler.start();
    await catcher.caught(1);
    const redis = desk.redis(server.url);
    await redis.del(...(await redis.keys(`holdfast:{timer:scheduler/${name}/job}:*`)));
    await catcher.caught(5);
    const due = catcher.runs.map(({ scheduledForMs }) => scheduledForMs);
    expect(due).toEqual(due.map((_, index) => (due[0] as number) + index * 300));
  });

  it("C1 the server's clock goes back by an hour: nothing runs twice", async () => {
    await using skew = await ClockSkew.create();
    await using skewed = await RedisServer.start({ env: skew.env });
    await using desk = new Desk();
    const catcher = new Catcher();
    const scheduler = desk
      .scheduler(skewed.url, freshName())
      .job("job", { everyMs: 200, missed: "all" }, catcher.handle);
    await scheduler.start();
    await catcher.caught(3);
    await skew.set(-3_600_000);
    const steppedMs = Date.now();
    const count = catcher.ids.length;
    await delay(1_000);
    // The hour that is repeated has been decided; what was admitted before the step may still begin.
    const [firstMs = Infinity] = catcher.runs.map(({ scheduledForMs }) => scheduledForMs);
    const again = catcher.runs.filter(({ scheduledForMs: dueMs }) => dueMs < firstMs || dueMs > steppedMs);
    expect(again).toEqual([]);
    await skew.set(60_000);
    await catcher.caught(count + 3);
    expect(repeated(catcher.ids)).toEqual([]);
  });

  it("the server forgets everything: the job is put on record again and goes on, and no occurrence runs twice", async () => {
    await using own = await RedisServer.start();
    await using desk = new Desk();
    const catcher = new Catcher();
    const name = freshName();
    const scheduler = desk.scheduler(own.url, name).job("job", { everyMs: 200 }, catcher.handle);
    await scheduler.start();
    await catcher.caught(3);
    await own.call("FLUSHALL");
    const before = catcher.ids.length;
    await catcher.caught(before + 4);
    expect(repeated(catcher.ids)).toEqual([]);
    expect(desk.events.filter(({ type }) => type === "defined")).toHaveLength(2);
    const { runs } = await scheduler.history("job");
    expect(runs.length).toBeGreaterThan(0);
    // While the machine stands still, occurrences are missed.
    const expected = ["completed", "skipped", "missed"];
    expect(runs.filter(({ outcome }) => !expected.includes(outcome))).toEqual([]);
  });

  it("the server is out of memory: a run that ends is recorded all the same, and the job goes on when there is room (K3)", async () => {
    await using own = await RedisServer.start();
    await using desk = new Desk();
    const gate = Promise.withResolvers<void>();
    const catcher = new Catcher();
    const scheduler = desk.scheduler(own.url, freshName()).job("job", { everyMs: 86_400_000 }, async (run) => {
      catcher.handle(run);
      if (catcher.runs.length === 1) await gate.promise;
    });
    await scheduler.start();
    await scheduler.runNow("job");
    await desk.event("started");
    await own.call("CONFIG", "SET", "maxmemory", "1mb");
    await expect(scheduler.runNow("job")).rejects.toMatchObject({ reason: "OOM", effect: "none" });
    gate.resolve();
    await desk.event("completed");
    expect((await scheduler.history("job")).runs).toMatchObject([{ outcome: "completed", attempts: 1 }]);
    await own.call("CONFIG", "SET", "maxmemory", "0");
    expect(await scheduler.runNow("job")).toMatchObject({ kind: "queued" });
    await catcher.caught(2);
  });

  it.each(["state", "waiting", "history"])(
    "another program's key in the place of %s: typed errors, nothing half-written, and the job goes on when it is gone (K3)",
    async (part) => {
      await using desk = new Desk();
      const name = freshName();
      const redis = desk.redis(server.url);
      const key = `holdfast:{scheduler:${name}/job}:${part}`;
      const catcher = new Catcher();
      const scheduler = desk.scheduler(server.url, name).job("job", { everyMs: 200, missed: "all" }, catcher.handle);
      await redis.set(key, "another program's");
      await scheduler.start();
      const { error } = await desk.event("trouble");
      expect(error).toMatchObject({ code: "REDIS_REFUSED", reason: "WRONGTYPE", effect: "none" });
      const record = (): Promise<unknown> =>
        part === "state" ? redis.exists(key) : redis.hmget(`holdfast:{scheduler:${name}/job}:state`, "cursor", "open");
      const before = await record();
      await delay(600);
      expect(await record()).toEqual(before);
      expect(catcher.runs).toEqual([]);
      await redis.del(key);
      await catcher.caught(2);
      expect(repeated(catcher.ids)).toEqual([]);
    },
  );

  it("the server is read-only: calls are refused, nothing begins, and the job goes on when it can be written again", async () => {
    await using own = await RedisServer.start();
    await using desk = new Desk();
    const name = freshName();
    const catcher = new Catcher();
    const scheduler = desk.scheduler(own.url, name).job("job", { everyMs: 100, missed: "all" }, catcher.handle);
    await scheduler.start();
    await catcher.caught(2);
    // A master that answers nobody.
    await own.call("REPLICAOF", "127.0.0.1", "1");
    const refused = { name: "RedisUnavailableError", reason: "READONLY", effect: "none" };
    await expect(scheduler.runNow("job")).rejects.toMatchObject(refused);
    await expect(scheduler.pause("job")).rejects.toMatchObject(refused);
    await desk.event("trouble", ({ error }) => (error as { reason?: string }).reason === "READONLY");
    const count = catcher.runs.length;
    await own.call("REPLICAOF", "NO", "ONE");
    await catcher.caught(count + 3, 60_000);
    expect(repeated(catcher.ids)).toEqual([]);
    const due = catcher.runs.map(({ scheduledForMs }) => scheduledForMs);
    expect(due).toEqual(due.map((_, index) => (due[0] as number) + index * 100));
  });

  it("a record of a newer format is left alone, and that is said", async () => {
    await using desk = new Desk();
    const name = freshName();
    const redis = desk.redis(server.url);
    await redis.hset(`holdfast:{scheduler:${name}/job}:state`, "format", "2");
    const scheduler = desk.scheduler(server.url, name).job("job", { everyMs: 100 }, () => undefined);
    await scheduler.start();
    expect((await desk.event("trouble")).error).toMatchObject({ name: "NewerFormatError", found: 2, supported: 1 });
    expect(await redis.hgetall(`holdfast:{scheduler:${name}/job}:state`)).toEqual({ format: "2" });
  });

  it("Redis is away at the start: start resolves, and the job runs when it is back", async () => {
    await using own = await RedisServer.start({ aof: true });
    await using desk = new Desk();
    const catcher = new Catcher();
    const scheduler = desk
      .scheduler(own.url, freshName(), { commandTimeoutMs: 200 })
      .job("job", { everyMs: 100 }, catcher.handle);
    await own.kill();
    await scheduler.start();
    expect((await desk.event("trouble")).during).toBe("plan");
    await own.restart();
    await catcher.caught(3);
  });

  it("ACLs apply inside scripts: everything works for a user with exactly what the README lists", async () => {
    const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
    const line = /^ACL SETUSER .*$/mu.exec(readme)?.[0] ?? "";
    await server.call(...line.split(" "));
    const redis = new Redis({ port: server.port, host: "127.0.0.1", username: "billing", password: "secret" });
    const events: unknown[] = [];
    const catcher = new Catcher();
    const name = freshName();
    const scheduler = new Scheduler(redis, name, {
      pollMs: 50,
      commandTimeoutMs: patientMs,
      onEvent: (event) => events.push(event),
    });
    scheduler.job("job", { everyMs: 150, overlap: "queue" }, catcher.handle);
    await scheduler.start();
    await catcher.caught(3);
    await scheduler.pause("job");
    await scheduler.resume("job");
    await scheduler.runNow("job");
    await catcher.caught(5);
    expect((await scheduler.history("job")).runs.length).toBeGreaterThan(2);
    expect(await scheduler.remove("job")).toEqual({ kind: "removed" });
    await scheduler.stop({ graceMs: 30_000 });
    redis.disconnect();
    expect(events.filter((event) => (event as { type: string }).type === "trouble")).toEqual([]);
  });
});
