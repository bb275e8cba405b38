/** C1: each occurrence once per cluster, whoever dies. */
import { setTimeout as delay } from "node:timers/promises";
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RunRecord, Scheduler } from "../src/index.ts";
import { admit, begin, finish } from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { Catcher, Desk, freshName, repeated } from "./desk.ts";
import { Fleet } from "./fleet.ts";
import { definitionOf, dueJob, storeOf } from "./stored.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

const atOnce = { baseMs: 0, delayMaxMs: 0, jitter: 0 };

describe("C1 once per cluster", () => {
  it("C1 three replicas run each occurrence of a job once, under the id of its planned time", async () => {
    await using desk = new Desk();
    const name = freshName();
    const catcher = new Catcher();
    const replicas = [1, 2, 3].map((runner) =>
      desk.scheduler(server.url, name, { runner: `r${runner}` }).job("tick", { everyMs: 100 }, catcher.handle),
    );
    await Promise.all(replicas.map((replica) => replica.start()));
    await catcher.caught(12);
    await Promise.all(replicas.map((replica) => replica.stop({ graceMs: 30_000 })));
    expect(repeated(catcher.ids)).toEqual([]);
    for (const { occurrenceId, scheduledForMs, attempt, resource } of catcher.runs) {
      expect(new Date(occurrenceId).getTime()).toBe(scheduledForMs);
      expect(scheduledForMs % 100).toBe(0);
      expect({ attempt, resource }).toEqual({ attempt: 1, resource: `scheduler:${name}/tick` });
    }
    const tokens = catcher.runs.map(({ token }) => token);
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    expect(repeated(tokens.map(String))).toEqual([]);
    const { runs, advice } = await (replicas[0] as Scheduler).history("tick");
    const completed = runs.filter(({ outcome }) => outcome === "completed");
    expect(completed.map(({ occurrenceId }) => occurrenceId).toReversed()).toEqual(catcher.ids);
    expect(advice).toBeNull();
  });

  it("C1 counter-test: replicas without a record in common run each occurrence three times", async () => {
    await using desk = new Desk();
    const name = freshName();
    const catcher = new Catcher();
    const replicas = [1, 2, 3].map((runner) =>
      desk.scheduler(server.url, name, { prefix: `own-${runner}` }).job("tick", { everyMs: 200 }, catcher.handle),
    );
    await Promise.all(replicas.map((replica) => replica.start()));
    await catcher.caught(9);
    expect(repeated(catcher.ids).length).toBeGreaterThanOrEqual(4);
  });

  it("C1 a replica that decides by an old look at the record decides nothing", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    const store = storeOf(redis, freshName());
    const dueMs = Math.floor(Date.now() / 1_000) * 1_000;
    const view = await dueJob(redis, store, definitionOf(), dueMs);
    const admission = {
      runs: [{ id: "a", dueMs }],
      cursorMs: dueMs,
      followingMs: dueMs + 1_000,
      skipped: "",
      missed: "",
    };
    const once = async (): Promise<string[]> => {
      const answers: string[] = [await store.admit(view, admission)];
      expect(await store.begin("a", 10, definitionOf())).toMatchObject({ kind: "run", attempt: 1 });
      expect(await store.finish("a", 10, "ended", "{}")).toMatchObject({ kind: "recorded" });
      answers.push(await store.admit(view, admission));
      answers.push((await store.begin("a", 11, definitionOf())).kind);
      return answers;
    };
    expect(await once()).toEqual(["admitted", "moved", "stale"]);
  });

  it("C1 counter-test: without the compare-and-set the old look runs the occurrence a second time", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    const store = storeOf(redis, freshName());
    const dueMs = Math.floor(Date.now() / 1_000) * 1_000;
    const view = await dueJob(redis, store, definitionOf(), dueMs);
    const admission = {
      runs: [{ id: "a", dueMs }],
      cursorMs: dueMs,
      followingMs: dueMs + 1_000,
      skipped: "",
      missed: "",
    };
    await withAlteredLua(admit, "job.next ~= expected or ", "", async () => {
      await store.admit(view, admission);
      await store.begin("a", 10, definitionOf());
      await store.finish("a", 10, "ended", "{}");
      await store.admit(view, admission);
      expect(await store.begin("a", 11, definitionOf())).toMatchObject({ kind: "run", attempt: 1 });
    });
  });
});

describe("C1 a runner that dies", () => {
  it("C1 an occurrence whose runner is killed is finished by another one, with a higher token, and recorded once", async () => {
    await using desk = new Desk();
    await using fleet = new Fleet();
    const name = freshName();
    const job = { everyMs: 86_400_000, atMostMs: 20_000, backoff: atOnce } as const;
    const doomed = await fleet.start("doomed", { url: server.url, name, scheduler: {}, job, workMs: 60_000 });
    const { occurrenceId } = (await desk.scheduler(server.url, name).runNow("job")) as { occurrenceId: string };
    await pollUntil("the run began", () => fleet.began.length === 1);
    await doomed.kill();
    await fleet.start("heir", { url: server.url, name, scheduler: {}, job, workMs: 10 });
    const history = async (): Promise<Awaited<ReturnType<Scheduler["history"]>>["runs"]> =>
      (await desk.scheduler(server.url, name).history("job")).runs;
    await pollUntil("the record", async () => (await history()).length === 1);
    const [first, second] = fleet.began;
    expect(first).toMatchObject({ runner: "doomed", began: occurrenceId, attempt: 1 });
    expect(second).toMatchObject({ runner: "heir", began: occurrenceId, attempt: 2 });
    expect(second?.token).toBeGreaterThan(first?.token ?? Infinity);
    expect(await history()).toMatchObject([
      { occurrenceId, outcome: "completed", runner: "heir", attempts: 2, token: second?.token },
    ]);
  });

  it("C1 when the last attempt dies, the occurrence is recorded as failed, and the job goes on", async () => {
    await using desk = new Desk();
    await using fleet = new Fleet();
    const name = freshName();
    const job = { everyMs: 86_400_000, attemptsMax: 1, overlap: "queue" } as const;
    const doomed = await fleet.start("doomed", { url: server.url, name, scheduler: {}, job, workMs: 60_000 });
    const operator = desk.scheduler(server.url, name);
    await operator.runNow("job", { operationId: "first" });
    await pollUntil("the run began", () => fleet.began.length === 1);
    await operator.runNow("job", { operationId: "second" });
    await doomed.kill();
    await fleet.start("heir", { url: server.url, name, scheduler: {}, job, workMs: 10 });
    await pollUntil("both records", async () => (await operator.history("job")).runs.length === 2);
    expect((await operator.history("job")).runs).toMatchObject([
      { occurrenceId: "now-second", outcome: "completed", runner: "heir" },
      { occurrenceId: "now-first", outcome: "failed", why: "crashed", runner: "doomed", attempts: 1 },
    ]);
    expect(fleet.began.map(({ began }) => began)).toEqual(["now-first", "now-second"]);
  });

  it("C1 counter-test: a begin that does not look at who began before runs one occurrence beside itself with the first attempt's number", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    const store = storeOf(redis, freshName());
    await dueJob(redis, store, definitionOf(), 8_000_000_000_000);
    await store.enqueue("op", "now-op", "queue");
    expect(await store.begin("now-op", 10, definitionOf({ attemptsMax: 1 }))).toMatchObject({ kind: "run" });
    await withAlteredLua(begin, "tonumber(job.attempts) >= attemptsMax", "false", async () => {
      expect(await store.begin("now-op", 11, definitionOf({ attemptsMax: 1 }))).toMatchObject({
        kind: "run",
        attempt: 2,
      });
    });
    expect(await store.begin("now-op", 12, definitionOf({ attemptsMax: 1 }))).toMatchObject({ kind: "exhausted" });
  });

  it("C1 an overtaken runner records nothing, and a second ending of the same run is the same record", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    const store = storeOf(redis, freshName());
    await dueJob(redis, store, definitionOf(), 8_000_000_000_000);
    await store.enqueue("op", "now-op", "queue");
    await store.begin("now-op", 10, definitionOf());
    await store.begin("now-op", 11, definitionOf());
    expect(await store.begin("now-op", 10, definitionOf())).toEqual({ kind: "lost" });
    expect(await store.finish("now-op", 10, "ended", `"late"`)).toEqual({ kind: "lost" });
    expect(await store.finish("now-op", 11, "ended", `"good"`)).toEqual({ kind: "recorded", head: "" });
    expect(await store.finish("now-op", 11, "ended", `"good"`)).toEqual({ kind: "recorded", head: "" });
    expect(await redis.lrange(store.keys.history, 0, -1)).toEqual([`"good"`]);
  });

  it("C1 counter-test: without comparing the token the overtaken runner's outcome is recorded instead", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    const store = storeOf(redis, freshName());
    await dueJob(redis, store, definitionOf(), 8_000_000_000_000);
    await store.enqueue("op", "now-op", "queue");
    await store.begin("now-op", 10, definitionOf());
    await store.begin("now-op", 11, definitionOf());
    await withAlteredLua(finish, `verb == "ended" and job.token ~= token`, "false", async () => {
      expect(await store.finish("now-op", 10, "ended", `"late"`)).toMatchObject({ kind: "recorded" });
    });
    expect(await redis.lrange(store.keys.history, 0, -1)).toEqual([`"late"`]);
  });

  it("C1 a run that throws is tried again while attempts last, then recorded as failed with its error", async () => {
    await using desk = new Desk();
    const scheduler = desk.scheduler(server.url, freshName());
    const attempts: number[] = [];
    scheduler.job("job", { everyMs: 86_400_000, attemptsMax: 3, backoff: atOnce }, ({ attempt }) => {
      attempts.push(attempt);
      throw new RangeError("no luck");
    });
    await scheduler.start();
    await scheduler.runNow("job");
    const failed = await desk.event("failed");
    expect(attempts).toEqual([1, 2, 3]);
    expect(failed).toMatchObject({ why: "threw", attempt: 3 });
    expect((await scheduler.history("job")).runs).toMatchObject([
      { outcome: "failed", why: "threw", error: "RangeError: no luck", attempts: 3 },
    ]);
  });

  it("C1 an occurrence that had started is never missed, however late it is taken over", async () => {
    await using desk = new Desk();
    await using fleet = new Fleet();
    const name = freshName();
    const job = { everyMs: 1_000, missed: "skip", missedAfterMs: 100, backoff: atOnce } as const;
    const doomed = await fleet.start("doomed", { url: server.url, name, scheduler: {}, job, workMs: 60_000 });
    await pollUntil("a run began", () => fleet.began.length === 1);
    await doomed.kill();
    // Nobody is there for longer than it takes to miss an occurrence, and to let the lease end.
    await delay(2_300);
    await fleet.start("heir", { url: server.url, name, scheduler: {}, job, workMs: 10 });
    await pollUntil("another run", () => fleet.began.length >= 2);
    expect(fleet.began[1]).toMatchObject({ runner: "heir", began: fleet.began[0]?.began, attempt: 2 });
    const operator = desk.scheduler(server.url, name);
    const isStarted = ({ occurrenceId }: RunRecord): boolean => occurrenceId === fleet.began[0]?.began;
    await pollUntil("its record", async () => (await operator.history("job")).runs.some(isStarted));
    const { runs } = await operator.history("job");
    const started = runs.filter(isStarted);
    expect(started.map(({ outcome }) => outcome)).toEqual(["completed"]);
    expect(runs.some(({ outcome }) => outcome === "missed")).toBe(true);
  });
});
