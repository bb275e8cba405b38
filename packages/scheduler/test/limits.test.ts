/** C3: how long a run may take, and for how long it counts. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "@holdfast/core";
import type { Clock } from "@holdfast/core";
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RunOverranError } from "../src/index.ts";
import type { Run } from "../src/index.ts";
import { begin } from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { Catcher, Desk, freshName } from "./desk.ts";
import { definitionOf, dueJob, storeOf } from "./stored.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

const atOnce = { baseMs: 0, delayMaxMs: 0, jitter: 0 };

describe("C3 atMostMs", () => {
  it("C3 a run that takes too long is told, run again with a higher token, and failed in the end, although it never returns", async () => {
    await using desk = new Desk();
    const scheduler = desk.scheduler(server.url, freshName());
    const runs: Run[] = [];
    scheduler.job("job", { everyMs: 86_400_000, atMostMs: 100, attemptsMax: 2, backoff: atOnce }, async (run) => {
      runs.push(run);
      await new Promise(() => undefined);
    });
    await scheduler.start();
    await scheduler.runNow("job");
    expect(await desk.event("failed")).toMatchObject({ why: "overran", attempt: 2 });
    expect(runs.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(runs[1]?.token).toBeGreaterThan(runs[0]?.token ?? Infinity);
    for (const { signal } of runs) expect(signal.reason).toBeInstanceOf(RunOverranError);
    const { runs: records, longestMs, advice } = await scheduler.history("job");
    expect(records).toMatchObject([{ outcome: "failed", why: "overran", attempts: 2 }]);
    expect(longestMs).toBeGreaterThanOrEqual(100);
    expect(advice).toContain("raise atMostMs");
  });

  it("C3 counter-test: without the timer of atMostMs it is not told, and nobody runs it again", async () => {
    await using desk = new Desk();
    const clock: Clock = {
      ...systemClock,
      setTimer(callback, delayMs, weak) {
        const handle = systemClock.setTimer(callback, delayMs, weak);
        if (delayMs > 300 && delayMs <= 700) systemClock.clearTimer(handle);
        return handle;
      },
    };
    const scheduler = desk.scheduler(server.url, freshName(), { clock });
    const runs: Run[] = [];
    const gate = Promise.withResolvers<void>();
    scheduler.job("job", { everyMs: 86_400_000, atMostMs: 700, attemptsMax: 2, backoff: atOnce }, async (run) => {
      runs.push(run);
      await gate.promise;
    });
    await scheduler.start();
    await scheduler.runNow("job");
    await desk.event("started");
    await delay(1_500);
    expect(runs.map(({ signal }) => signal.aborted)).toEqual([false]);
    gate.resolve();
    await pollUntil("it has ended", () => desk.events.some(({ type }) => type === "attempt-failed"));
  });

  it("C3 a run within its time is not told, and the history has no advice", async () => {
    await using desk = new Desk();
    const scheduler = desk.scheduler(server.url, freshName());
    let aborted: boolean | undefined;
    scheduler.job("job", { everyMs: 86_400_000, atMostMs: 60_000 }, async ({ signal }) => {
      await delay(60);
      aborted = signal.aborted;
    });
    await scheduler.start();
    await scheduler.runNow("job");
    await desk.event("completed");
    expect(aborted).toBe(false);
    expect(await scheduler.history("job")).toMatchObject({ advice: null, runs: [{ outcome: "completed" }] });
  });
});

describe("C3 atLeastMs", () => {
  it("C3 counter-test: without it, what is due right after a short run begins at once", async () => {
    await using desk = new Desk();
    const scheduler = desk.scheduler(server.url, freshName());
    const catcher = new Catcher();
    scheduler.job("job", { everyMs: 100, overlap: "queue", missed: "all", atMostMs: 60_000 }, catcher.handle);
    await scheduler.start();
    await catcher.caught(4);
    const due = catcher.runs.map(({ scheduledForMs }) => scheduledForMs);
    expect(due).toEqual(due.map((_, index) => (due[0] as number) + index * 100));
  });

  it("C3 an occurrence that is due while a short run still counts does not begin", async () => {
    await using desk = new Desk();
    const scheduler = desk.scheduler(server.url, freshName());
    const catcher = new Catcher();
    scheduler.job("job", { everyMs: 100, atLeastMs: 350, atMostMs: 60_000 }, catcher.handle);
    await scheduler.start();
    await catcher.caught(3);
    const due = catcher.runs.map(({ scheduledForMs }) => scheduledForMs);
    for (const [index, dueMs] of due.entries()) {
      if (index > 0) expect(dueMs - (due[index - 1] as number)).toBeGreaterThanOrEqual(300);
    }
    await pollUntil("four are on record as skipped", async () => {
      const { runs } = await scheduler.history("job");
      return runs.filter(({ outcome }) => outcome === "skipped").length >= 4;
    });
  });

  it("C3 with overlap queue it begins as soon as the time is over", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    const store = storeOf(redis, freshName());
    await dueJob(redis, store, definitionOf(), 8_000_000_000_000);
    const held = definitionOf({ atLeastMs: 4_000 });
    await store.enqueue("a", "now-a", "queue");
    await store.begin("now-a", 10, held);
    await store.enqueue("b", "now-b", "queue");
    expect(await store.begin("now-b", 11, held)).toEqual({ kind: "wait" });
    expect(await store.finish("now-a", 10, "ended", "{}")).toEqual({ kind: "recorded", head: "now-b" });
    const answer = await store.begin("now-b", 12, held);
    expect(answer.kind).toBe("held");
    expect(answer.kind === "held" && answer.delayMs).toBeLessThanOrEqual(4_000);
    await pollUntil("it may begin", async () => (await store.begin("now-b", 13, held)).kind === "run");
  });

  it("what waits for the end of the time is not delivered again and again meanwhile", async () => {
    await using desk = new Desk();
    const name = freshName();
    const claims: unknown[] = [];
    const onTimer = (event: unknown): void => {
      const { type, timer, count } = event as { type: string; timer: string; count: number };
      if (type === "claimed" && timer === `scheduler/${name}/job`) claims.push(count);
    };
    const job = { everyMs: 86_400_000, overlap: "queue", atLeastMs: 1_500 } as const;
    const catcher = new Catcher();
    const replicas = [1, 2].map(() => desk.scheduler(server.url, name).job("job", job, catcher.handle));
    await Promise.all(replicas.map((replica) => replica.start()));
    subscribe("holdfast:timer", onTimer);
    await replicas[0]?.runNow("job", { operationId: "first" });
    await replicas[0]?.runNow("job", { operationId: "second" });
    await catcher.caught(2);
    unsubscribe("holdfast:timer", onTimer);
    // Each is claimed, the second once more when it may begin, and a look that is older than the wait may add one for each replica.
    expect(claims.length).toBeLessThanOrEqual(6);
  });

  it("C3 counter-test: without the hold it begins at once", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    const store = storeOf(redis, freshName());
    await dueJob(redis, store, definitionOf(), 8_000_000_000_000);
    const held = definitionOf({ atLeastMs: 60_000 });
    await store.enqueue("a", "now-a", "queue");
    await store.begin("now-a", 10, held);
    await store.enqueue("b", "now-b", "queue");
    await store.finish("now-a", 10, "ended", "{}");
    await withAlteredLua(begin, "elseif heldUs > 0 then", "elseif false then", async () => {
      expect((await store.begin("now-b", 12, held)).kind).toBe("run");
    });
  });
});

describe("overlap", () => {
  it("C1 with overlap skip what is due during a run is recorded as skipped and never begins, here or in another replica", async () => {
    await using desk = new Desk();
    const name = freshName();
    const ids: string[] = [];
    const gate = Promise.withResolvers<void>();
    let [running, most] = [0, 0];
    const replicas = [1, 2].map(() =>
      desk
        .scheduler(server.url, name, { leaseMs: 60_000 })
        .job("job", { everyMs: 100, overlap: "skip" }, async (run) => {
          running += 1;
          most = Math.max(most, running);
          ids.push(run.occurrenceId);
          if (ids.length === 1) await gate.promise;
          running -= 1;
        }),
    );
    await Promise.all(replicas.map((replica) => replica.start()));
    const skipped = (): string[] =>
      desk.events.flatMap((event) => (event.type === "skipped" ? [event.occurrenceId] : []));
    await pollUntil("three are skipped", () => skipped().length >= 3, { timeoutMs: 60_000 });
    expect(ids).toHaveLength(1);
    gate.resolve();
    await pollUntil("it goes on", () => ids.length >= 4, { timeoutMs: 60_000 });
    await Promise.all(replicas.map((replica) => replica.stop({ graceMs: 5_000 })));
    expect(most).toBe(1);
    expect(ids.filter((id) => skipped().includes(id))).toEqual([]);
    const { runs } = await desk.scheduler(server.url, name).history("job");
    const recorded = runs.filter(({ outcome }) => outcome === "skipped").map(({ occurrenceId }) => occurrenceId);
    expect(recorded).toEqual(expect.arrayContaining(skipped().slice(0, 3)));
  });

  it("C1 with overlap queue what is due during a run waits for its end, in order, and nothing runs beside it", async () => {
    await using desk = new Desk();
    const name = freshName();
    const ids: string[] = [];
    let running = 0;
    let most = 0;
    const replicas = [1, 2].map(() =>
      desk.scheduler(server.url, name).job("job", { everyMs: 100, overlap: "queue", missed: "all" }, async (run) => {
        running += 1;
        most = Math.max(most, running);
        ids.push(run.occurrenceId);
        if (ids.length <= 2) await delay(250);
        running -= 1;
      }),
    );
    await Promise.all(replicas.map((replica) => replica.start()));
    await pollUntil("ten runs", () => ids.length >= 10);
    expect(most).toBe(1);
    const due = ids.map((id) => new Date(id).getTime());
    expect(due).toEqual(due.map((_, index) => (due[0] as number) + index * 100));
  });
});
