/** What an operator does: pause, resume, run now, remove. */
import { setTimeout as delay } from "node:timers/promises";
import { FaultProxy, pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RunLostError, Scheduler } from "../src/index.ts";
import type { JobOptions, Run, SchedulerEvent } from "../src/index.ts";
import { admit, look } from "../src/scripts.generated.ts";
import { Catcher, Desk, freshName, patientMs } from "./desk.ts";
import { definitionOf, dueJob, storeOf } from "./stored.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

const daily = { everyMs: 86_400_000 } as const;

describe("pause and resume", () => {
  it("while a job is paused nothing begins; after resume it goes on without what passed meanwhile", async () => {
    await using desk = new Desk();
    const name = freshName();
    const catcher = new Catcher();
    const scheduler = desk.scheduler(server.url, name).job("job", { everyMs: 100, missed: "all" }, catcher.handle);
    await scheduler.start();
    await catcher.caught(2);
    // Another process does it, which does not have the job.
    const operator = desk.scheduler(server.url, name);
    expect(await operator.pause("job")).toEqual({ kind: "paused" });
    const pausedMs = Date.now();
    const store = storeOf(desk.redis(server.url), name);
    await pollUntil("what had begun before the pause has ended", async () => {
      const view = await store.look();
      return view.kind === "job" && view.open === "";
    });
    const count = catcher.runs.length;
    await delay(400);
    expect(catcher.runs.length).toBe(count);
    const resumedMs = Date.now();
    expect(await operator.resume("job")).toEqual({ kind: "resumed" });
    await catcher.caught(count + 3);
    // What was admitted before the pause and waited may go on; what passed meanwhile may not.
    const passed = catcher.runs.filter(({ scheduledForMs: dueMs }) => dueMs > pausedMs && dueMs < resumedMs);
    expect(passed).toEqual([]);
    expect((await scheduler.history("job")).runs.every(({ outcome }) => outcome !== "missed")).toBe(true);
  });

  it("a job stays paused when every replica is replaced, and goes on in the new ones after resume", async () => {
    await using desk = new Desk();
    const name = freshName();
    const job = { everyMs: 100, version: 1 } as const;
    const before = desk.scheduler(server.url, name).job("job", job, () => undefined);
    await before.start();
    await before.pause("job");
    await before.stop({ graceMs: 1_000 });
    const catcher = new Catcher();
    const after = desk.scheduler(server.url, name).job("job", { ...job, version: 2 }, catcher.handle);
    await after.start();
    await desk.event("defined", ({ version }) => version === 2);
    const store = storeOf(desk.redis(server.url), name);
    await pollUntil("something has passed", async () => {
      const view = await store.look();
      return view.kind === "job" && view.paused && view.nextMs < view.nowMs;
    });
    expect(catcher.runs).toEqual([]);
    await after.resume("job");
    await catcher.caught(2);
  });

  it("C2 what was due before a pause, while nobody ran, is run after it", async () => {
    await using desk = new Desk();
    const name = freshName();
    const options = { everyMs: 100, missed: "all" } as const;
    const before = desk.scheduler(server.url, name).job("job", options, () => undefined);
    await before.start();
    await before.stop({ graceMs: 30_000 });
    const operator = desk.scheduler(server.url, name);
    const store = storeOf(desk.redis(server.url), name);
    const { nextMs, open, waitingCount } = await pollUntil("something is due", async () => {
      const view = await store.look();
      return view.kind === "job" && view.nextMs <= view.nowMs ? view : undefined;
    });
    await operator.pause("job");
    await operator.resume("job");
    const catcher = new Catcher();
    await desk.scheduler(server.url, name).job("job", options, catcher.handle).start();
    // What was decided before the stop, and had not run by then, goes first.
    const decided = waitingCount + (open === "" ? 0 : 1);
    const runs = await catcher.caught(decided + 1);
    expect(runs[decided]?.scheduledForMs).toBe(nextMs);
  });

  it("K1 a pause that is sent again does not undo a resume", async () => {
    await using desk = new Desk();
    const scheduler = desk.scheduler(server.url, freshName()).job("job", daily, () => undefined);
    await scheduler.start();
    await scheduler.pause("job", { operationId: "one" });
    await scheduler.resume("job");
    expect(await scheduler.pause("job", { operationId: "one" })).toEqual({ kind: "paused" });
    expect(await storeOf(desk.redis(server.url), scheduler.name).look()).toMatchObject({ kind: "job", paused: false });
  });

  it("K1 an operation id names one call of each kind: a ticket under which a job is paused resumes, runs and removes it, too", async () => {
    await using desk = new Desk();
    const scheduler = desk.scheduler(server.url, freshName()).job("job", daily, () => undefined);
    await scheduler.start();
    const store = storeOf(desk.redis(server.url), scheduler.name);
    const ticket = { operationId: "ticket-17" };
    expect(await scheduler.pause("job", ticket)).toEqual({ kind: "paused" });
    expect(await scheduler.resume("job", ticket)).toEqual({ kind: "resumed" });
    expect(await store.look()).toMatchObject({ kind: "job", paused: false });
    expect(await scheduler.runNow("job", ticket)).toMatchObject({ kind: "queued" });
    expect(await scheduler.remove("job", ticket)).toEqual({ kind: "removed" });
    expect((await store.look()).kind).toBe("removed");
    // Each of them is answered as it was at first, also when the job is gone.
    expect(await scheduler.resume("job", ticket)).toEqual({ kind: "resumed" });
    expect(await scheduler.runNow("job", ticket)).toMatchObject({ kind: "queued" });
  });

  it("a call that had its effect says so, although the timers could not be set: the replicas make up for it", async () => {
    await using desk = new Desk();
    const name = freshName();
    const catcher = new Catcher();
    const scheduler = desk.scheduler(server.url, name).job("job", daily, catcher.handle);
    await scheduler.start();
    // Whatever goes to the timers fails, and says that nothing was done.
    await server.call("ACL", "SETUSER", "narrow", "reset", "on", ">p", "~holdfast:{scheduler:*", "&*", "+@all");
    const redis = desk.redis(server.url, { username: "narrow", password: "p" });
    const troubles: SchedulerEvent[] = [];
    const operator = new Scheduler(redis, name, {
      commandTimeoutMs: patientMs,
      onEvent: (event) => troubles.push(event),
    });
    expect(await operator.runNow("job")).toMatchObject({ kind: "queued" });
    expect(troubles).toMatchObject([{ type: "trouble", during: "plan", error: { reason: "NOPERM" } }]);
    await catcher.caught(1);
    await operator.pause("job");
    expect(await operator.resume("job")).toEqual({ kind: "resumed" });
    await expect(operator.remove("job", { operationId: "gone" })).rejects.toMatchObject({
      name: "OutcomeUnknownError",
      effect: "possible",
      operationId: "gone",
    });
    expect(await scheduler.remove("job", { operationId: "gone" })).toEqual({ kind: "removed" });
  });

  it("what is asked of a job that is not there answers absent", async () => {
    await using desk = new Desk();
    const operator = desk.scheduler(server.url, freshName());
    expect(await operator.pause("none")).toEqual({ kind: "absent" });
    expect(await operator.resume("none")).toEqual({ kind: "absent" });
    expect(await operator.runNow("none")).toEqual({ kind: "absent" });
    expect(await operator.remove("none")).toEqual({ kind: "absent" });
    expect(await operator.history("none")).toEqual({ runs: [], longestMs: null, advice: null });
  });
});

describe("history", () => {
  it("keeps the last runs, the latest first, each with its outcome, its runner, its attempts and its duration", async () => {
    await using desk = new Desk();
    const name = freshName();
    const options = { historyMax: 3, runner: "r1" };
    const scheduler = desk.scheduler(server.url, name, options);
    const slow = 30;
    scheduler.job("job", { ...daily, attemptsMax: 1 }, async ({ occurrenceId }) => {
      await delay(slow);
      if (occurrenceId === "now-4") throw new RangeError("no luck");
    });
    await scheduler.start();
    for (const operationId of ["1", "2", "3", "4", "5"]) {
      await scheduler.runNow("job", { operationId });
      await pollUntil("it has ended", () =>
        desk.events.some(
          (event) =>
            (event.type === "completed" || event.type === "failed") && event.occurrenceId === `now-${operationId}`,
        ),
      );
    }
    const { runs, longestMs } = await scheduler.history("job");
    expect(runs.map(({ occurrenceId, outcome }) => [occurrenceId, outcome])).toEqual([
      ["now-5", "completed"],
      ["now-4", "failed"],
      ["now-3", "completed"],
    ]);
    for (const { runner, attempts, startedAtMs, durationMs, token } of runs) {
      expect([runner, attempts]).toEqual(["r1", 1]);
      // A timer may fire a fraction of a millisecond early.
      expect(durationMs).toBeGreaterThanOrEqual(slow - 1);
      expect(startedAtMs).toBeGreaterThan(0);
      expect(token).toBeGreaterThan(0);
    }
    expect(longestMs).toBe(Math.max(...runs.map(({ durationMs }) => durationMs ?? 0)));
    expect(runs[1]).toMatchObject({ why: "threw", error: "RangeError: no luck" });
  });
});

describe("runNow", () => {
  it("runs once per operation, also while the job is paused", async () => {
    await using desk = new Desk();
    const catcher = new Catcher();
    const scheduler = desk.scheduler(server.url, freshName()).job("job", daily, catcher.handle);
    await scheduler.start();
    await scheduler.pause("job");
    const first = await scheduler.runNow("job", { operationId: "one" });
    expect(first).toEqual({ kind: "queued", occurrenceId: "now-one" });
    await desk.event("completed");
    expect(await scheduler.runNow("job", { operationId: "one" })).toEqual(first);
    await scheduler.runNow("job", { operationId: "two" });
    await desk.event("completed", ({ occurrenceId }) => occurrenceId === "now-two");
    expect(catcher.ids).toEqual(["now-one", "now-two"]);
  });

  it("answers busy while a run is under way and overlap is skip", async () => {
    await using desk = new Desk();
    const gate = Promise.withResolvers<void>();
    const scheduler = desk.scheduler(server.url, freshName()).job("job", daily, () => gate.promise);
    await scheduler.start();
    await scheduler.runNow("job");
    await desk.event("started");
    expect(await scheduler.runNow("job")).toEqual({ kind: "busy" });
    gate.resolve();
    await desk.event("completed");
    expect((await scheduler.runNow("job")).kind).toBe("queued");
  });
});

describe("runNow and what is due", () => {
  const runsOf = async (scheduler: Scheduler) =>
    (await scheduler.history("job")).runs.map(({ occurrenceId, outcome }) => `${outcome} ${occurrenceId}`);

  /** A job whose next occurrence is due and undecided: every replica was away at its moment. */
  async function dueJobOf(desk: Desk, options: Partial<JobOptions> = {}) {
    const name = freshName();
    const store = storeOf(desk.redis(server.url), name);
    const definition = definitionOf(options);
    const nextMs = Date.now() - 5_000;
    await dueJob(desk.redis(server.url), store, definition, nextMs);
    const operator = desk.scheduler(server.url, name);
    const catcher = new Catcher();
    const replica = () =>
      desk.scheduler(server.url, name).job("job", { cron: "0 0 * * *", ...options } as JobOptions, catcher.handle);
    return { operator, replica, catcher, dueId: new Date(nextMs).toISOString() };
  }

  it("C2 what is due is not skipped for a run that is asked for after its time: it is about to begin, and that is busy", async () => {
    await using desk = new Desk();
    const { operator, replica, catcher, dueId } = await dueJobOf(desk);
    expect(await operator.runNow("job", { operationId: "one" })).toEqual({ kind: "busy" });
    await replica().start();
    await desk.event("completed");
    expect(catcher.ids).toEqual([dueId]);
    expect(await operator.runNow("job", { operationId: "one" })).toEqual({ kind: "busy" });
    expect((await operator.runNow("job", { operationId: "two" })).kind).toBe("queued");
    await desk.event("completed", ({ occurrenceId }) => occurrenceId === "now-two");
    expect(await runsOf(operator)).toEqual(["completed now-two", `completed ${dueId}`]);
  });

  it("C2 with overlap queue both run, and what was asked for goes first", async () => {
    await using desk = new Desk();
    const { operator, replica, catcher, dueId } = await dueJobOf(desk, { overlap: "queue" });
    expect(await operator.runNow("job", { operationId: "one" })).toEqual({ kind: "queued", occurrenceId: "now-one" });
    await replica().start();
    await desk.event("completed", ({ occurrenceId }) => occurrenceId === dueId);
    expect(catcher.ids).toEqual(["now-one", dueId]);
  });

  it("C2 what was missed is recorded as that, and in nobody's way", async () => {
    await using desk = new Desk();
    const { operator, dueId } = await dueJobOf(desk, { missed: "skip", missedAfterMs: 1 });
    expect(await operator.runNow("job", { operationId: "one" })).toMatchObject({ kind: "queued" });
    expect(await runsOf(operator)).toEqual([`missed ${dueId}`]);
  });

  it("K1 that the answer to its planning was lost is told under the operation that was asked for", async () => {
    await using desk = new Desk();
    const { operator } = await dueJobOf(desk, { missed: "skip", missedAfterMs: 1 });
    await using proxy = await FaultProxy.start(server);
    await server.call("SCRIPT", "LOAD", admit.source);
    const redis = desk.redis(proxy.url, { maxRetriesPerRequest: 0 });
    const cutOff = new Scheduler(redis, operator.name, { commandTimeoutMs: patientMs });
    proxy.swallowReply(new RegExp(admit.sha1, "u"));
    const unknown = { name: "OutcomeUnknownError", operationId: "one" };
    await expect(cutOff.runNow("job", { operationId: "one" })).rejects.toMatchObject(unknown);
    expect(await operator.runNow("job", { operationId: "one" })).toMatchObject({ kind: "queued" });
  });
});

it("C2 whoever is further from Redis than the rhythm is long runs, pauses and resumes all the same", async () => {
  await using desk = new Desk();
  const name = freshName();
  await using proxy = await FaultProxy.start(server);
  const scheduler = desk.scheduler(server.url, name);
  scheduler.job("queues", { everyMs: 50, overlap: "queue" }, () => undefined);
  scheduler.job("skips", { everyMs: 50 }, () => undefined);
  await scheduler.start();
  const operator = new Scheduler(desk.redis(proxy.url), name, { commandTimeoutMs: patientMs });
  expect(await operator.runNow("none")).toEqual({ kind: "absent" });
  proxy.latency({ upMs: 30, downMs: 30 });
  expect((await operator.runNow("queues")).kind).toBe("queued");
  expect(["queued", "busy"]).toContain((await operator.runNow("skips")).kind);
  expect(await operator.pause("skips")).toEqual({ kind: "paused" });
  expect(await operator.resume("skips")).toEqual({ kind: "resumed" });
  // Nobody decides what is due but the one who is far away.
  await scheduler.stop({ graceMs: patientMs });
  expect(await operator.runNow("skips")).toEqual({ kind: "busy" });
  expect(await operator.pause("skips")).toEqual({ kind: "paused" });
});

describe("remove", () => {
  it("takes a job out although replicas still know it, tells the run under way, and a higher version brings it back", async () => {
    await using desk = new Desk();
    const name = freshName();
    const runs: Run[] = [];
    const scheduler = desk.scheduler(server.url, name).job("job", { ...daily, version: 4 }, async (run) => {
      runs.push(run);
      await new Promise((resolve) => run.signal.addEventListener("abort", resolve, { once: true }));
    });
    await scheduler.start();
    await scheduler.runNow("job");
    await desk.event("started");
    const operator = desk.scheduler(server.url, name);
    expect(await operator.remove("job", { operationId: "gone" })).toEqual({ kind: "removed" });
    expect(await operator.remove("job", { operationId: "gone" })).toEqual({ kind: "removed" });
    expect(await operator.remove("job")).toEqual({ kind: "absent" });
    await pollUntil("the run was told", () => runs[0]?.signal.aborted === true);
    expect(runs[0]?.signal.reason).toBeInstanceOf(RunLostError);
    await desk.event("removed");
    await scheduler.stop({ graceMs: 30_000 });
    const redis = desk.redis(server.url);
    for (const key of await redis.keys(`holdfast:{scheduler:${name}/job}:*`))
      expect(await redis.pttl(key)).toBeGreaterThan(0);
    const back = desk.scheduler(server.url, name).job("job", { ...daily, version: 5 }, () => undefined);
    await back.start();
    expect((await back.runNow("job")).kind).toBe("queued");
    await pollUntil("a record", async () => (await back.history("job")).runs.length === 1);
  });
});

describe("stop", () => {
  it("begins no run any more, also when its timer had fired: another replica begins it, in its first attempt", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const catcher = new Catcher();
    const stopping = desk.scheduler(proxy.url, name, { pollMs: 30_000, leaseMs: 30_000 });
    await stopping.job("job", daily, catcher.handle).start();
    await pollUntil("hints are heard", async () => {
      const channels = (await server.call("PUBSUB", "CHANNELS", `*/${name}/*`)) as unknown[];
      return channels.length > 0;
    });
    const held = proxy.hold("reply", new RegExp(look.sha1, "u"));
    expect(await desk.scheduler(server.url, name).runNow("job")).toMatchObject({ kind: "queued" });
    await held.hit;
    const stopped = stopping.stop({ graceMs: 30_000 });
    held.release();
    expect(await stopped).toMatchObject({ unfinished: 0, told: true });
    expect(catcher.runs).toEqual([]);
    await desk.scheduler(server.url, name).job("job", daily, catcher.handle).start();
    expect(await catcher.caught(1)).toMatchObject([{ attempt: 1 }]);
  });

  it("waits for the run under way, records it, and the job goes on elsewhere", async () => {
    await using desk = new Desk();
    const name = freshName();
    const scheduler = desk.scheduler(server.url, name).job("job", daily, () => delay(150));
    await scheduler.start();
    await scheduler.runNow("job");
    await desk.event("started");
    expect(await scheduler.stop({ graceMs: 30_000 })).toMatchObject({ finished: 1, unfinished: 0, told: true });
    expect((await desk.scheduler(server.url, name).history("job")).runs).toMatchObject([{ outcome: "completed" }]);
  });

  it("ends within its grace, aborts what still runs, and another replica takes it over", async () => {
    await using desk = new Desk();
    const name = freshName();
    let signal: AbortSignal | undefined;
    const scheduler = desk.scheduler(server.url, name).job("job", daily, async (run) => {
      signal = run.signal;
      await new Promise(() => undefined);
    });
    await scheduler.start();
    await scheduler.runNow("job");
    await desk.event("started");
    expect(await scheduler.stop({ graceMs: 50 })).toMatchObject({ unfinished: 1 });
    expect(signal?.aborted).toBe(true);
    const catcher = new Catcher();
    const heir = desk.scheduler(server.url, name).job("job", daily, catcher.handle);
    await heir.start();
    expect(await catcher.caught(1)).toMatchObject([{ attempt: 2 }]);
    await expect(scheduler.start()).rejects.toThrow(TypeError);
    expect(() => scheduler.job("other", daily, () => undefined)).toThrow("closed");
  });
});
