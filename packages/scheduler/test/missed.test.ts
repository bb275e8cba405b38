/** C2: what becomes of occurrences that passed while nobody ran. */
import { setTimeout as delay } from "node:timers/promises";
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RunRecord } from "../src/index.ts";
import { catchUpMax, planOf } from "../src/plan.ts";
import { recurrenceOf } from "../src/recurrence.ts";
import { Catcher, Desk, freshName, gaps, missedAmong, repeated } from "./desk.ts";
import { definitionOf, dueJob, liveView, storeOf } from "./stored.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

const everyMs = 200;

/** Runs a job, lets everybody be down for five occurrences, runs it again; what ran, and the history. */
async function throughOutage(
  missed: "skip" | "once" | "all",
): Promise<{ ids: string[]; records: readonly RunRecord[] }> {
  await using desk = new Desk();
  const name = freshName();
  const catcher = new Catcher();
  const options = { everyMs, missed, missedAfterMs: 50, overlap: "queue" } as const;
  const before = desk.scheduler(server.url, name).job("job", options, catcher.handle);
  await before.start();
  await catcher.caught(2);
  await before.stop({ graceMs: 30_000 });
  const count = catcher.ids.length;
  await delay(everyMs * 6);
  const after = desk.scheduler(server.url, name).job("job", options, catcher.handle);
  await after.start();
  await catcher.caught(count + 8);
  await after.stop({ graceMs: 30_000 });
  return { ids: catcher.ids, records: (await after.history("job")).runs.toReversed() };
}

describe("C2 missed occurrences", () => {
  it("C2 all: each one is caught up, once and in order", async () => {
    const { ids, records } = await throughOutage("all");
    expect(repeated(ids)).toEqual([]);
    expect(gaps(ids, everyMs)).toEqual([]);
    expect(ids).toEqual(ids.toSorted());
    expect(records.every(({ outcome }) => outcome === "completed")).toBe(true);
  });

  it("C2 once: the latest one is run, and those before it are on record as missed", async () => {
    const { ids, records } = await throughOutage("once");
    expect(repeated(ids)).toEqual([]);
    const missing = gaps(ids, everyMs);
    expect(missing.length).toBeGreaterThanOrEqual(4);
    expect(missedAmong(records, ids, everyMs)).toEqual(missing);
    expect(records.find(({ scheduledForMs }) => scheduledForMs === missing[0])).toMatchObject({
      occurrenceId: new Date(missing[0] as number).toISOString(),
    });
  });

  it("C2 skip: none of them is run, and the record says so", async () => {
    const { ids, records } = await throughOutage("skip");
    const missing = gaps(ids, everyMs);
    expect(missing.length).toBeGreaterThanOrEqual(4);
    expect(missedAmong(records, ids, everyMs)).toEqual(missing);
  });

  it.each(["once", "all"] as const)(
    "C2 %s: what is caught up waits behind a run whose runner died while nobody was there, and is not skipped for overlap",
    async (missed) => {
      await using desk = new Desk();
      const name = freshName();
      const redis = desk.redis(server.url);
      const store = storeOf(redis, name);
      const options = { everyMs: 366 * 86_400_000, missed, missedAfterMs: 1_000, overlap: "skip" } as const;
      const definition = definitionOf({ cron: undefined, ...options });
      const dueMs = Date.now() - 5_000;
      await dueJob(redis, store, definition, 8_000_000_000_000);
      await store.enqueue("op", "now-op", "queue");
      expect(await store.begin("now-op", 10, definition)).toMatchObject({ kind: "run" });
      await redis.hset(store.keys.state, "next", dueMs);
      const catcher = new Catcher();
      const scheduler = desk.scheduler(server.url, name).job("job", options, catcher.handle);
      await scheduler.start();
      await catcher.caught(2);
      expect(catcher.ids).toEqual(["now-op", new Date(dueMs).toISOString()]);
      await pollUntil("both records", async () => (await scheduler.history("job")).runs.length === 2);
      expect((await scheduler.history("job")).runs.map(({ outcome }) => outcome)).toEqual(["completed", "completed"]);
    },
  );

  it("C2 counter-test: replicas whose record is lost know nothing of what passed while nobody ran", async () => {
    await using desk = new Desk();
    const name = freshName();
    const catcher = new Catcher();
    const options = { everyMs, missed: "all", missedAfterMs: 50, overlap: "queue" } as const;
    const before = desk.scheduler(server.url, name).job("job", options, catcher.handle);
    await before.start();
    await catcher.caught(2);
    await before.stop({ graceMs: 30_000 });
    const count = catcher.ids.length;
    const redis = desk.redis(server.url);
    await redis.del(...(await redis.keys(`holdfast:{scheduler:${name}/job}:*`)));
    await delay(everyMs * 6);
    const after = desk.scheduler(server.url, name).job("job", options, catcher.handle);
    await after.start();
    await catcher.caught(count + 3);
    await after.stop({ graceMs: 30_000 });
    expect(gaps(catcher.ids, everyMs).length).toBeGreaterThanOrEqual(4);
    expect((await after.history("job")).runs.every(({ outcome }) => outcome === "completed")).toBe(true);
  });

  it("C2 an occurrence that comes within missedAfterMs has not been missed", () => {
    const definition = definitionOf({ cron: undefined, everyMs: 1_000, missed: "skip", missedAfterMs: 300 });
    const recurrence = recurrenceOf(definition.rule);
    expect(planOf(definition, recurrence, 5_000, 5_300, 1_000)).toEqual({
      runs: [5_000],
      missed: null,
      cursorMs: 5_000,
      followingMs: 6_000,
    });
    expect(planOf(definition, recurrence, 5_000, 5_301, 1_000)).toMatchObject({ runs: [], missed: { count: 1 } });
  });

  it("C2 years of occurrences every second are decided at once, and one is run", () => {
    const definition = definitionOf({ cron: "* * * * * *", missed: "once" });
    const recurrence = recurrenceOf(definition.rule);
    const nowMs = Date.UTC(2026, 5, 1);
    expect(planOf(definition, recurrence, Date.UTC(2020, 0, 1), nowMs, 1_000)).toEqual({
      runs: [nowMs],
      missed: { firstMs: Date.UTC(2020, 0, 1), lastMs: expect.any(Number) as number, count: catchUpMax },
      cursorMs: nowMs,
      followingMs: nowMs + 1_000,
    });
  });

  it("C2 no more than 1,000 are caught up in one pass; the others follow when there is room", async () => {
    await using desk = new Desk();
    const name = freshName();
    const redis = desk.redis(server.url);
    const store = storeOf(redis, name);
    const options = { everyMs: 1_000, missed: "all", overlap: "queue" } as const;
    const now = Math.floor(Date.now() / 1_000) * 1_000;
    await dueJob(redis, store, definitionOf({ cron: undefined, ...options }), now - 1_200_000);
    // Attempts are held up, so nothing leaves the queue but the one under way.
    const blocked = Promise.withResolvers<void>();
    const ids: string[] = [];
    const scheduler = desk.scheduler(server.url, name).job("job", options, async ({ occurrenceId }) => {
      ids.push(occurrenceId);
      if (ids.length === 1) await blocked.promise;
    });
    await scheduler.start();
    await pollUntil("a run", () => ids.length === 1);
    const { waitingCount, nextMs } = await pollUntil("the pass is over", async () => {
      const view = await liveView(store);
      return view.waitingCount >= catchUpMax && view;
    });
    expect(waitingCount).toBe(catchUpMax);
    expect(nextMs).toBeLessThanOrEqual(now - 1_200_000 + 1_001_000);
    blocked.resolve();
    await pollUntil("the present is reached", () => ids.includes(new Date(now).toISOString()), { timeoutMs: 300_000 });
    expect(repeated(ids)).toEqual([]);
    expect(ids.slice(0, 1_201)).toEqual(
      Array.from({ length: 1_201 }, (_, index) => new Date(now - 1_200_000 + index * 1_000).toISOString()),
    );
  }, 400_000);

  it("C2 counter-test: without the limit one pass queues everything", () => {
    const definition = definitionOf({ cron: undefined, everyMs: 1_000, missed: "all" });
    const recurrence = recurrenceOf(definition.rule);
    expect(planOf(definition, recurrence, 0, 5_000_000, catchUpMax).runs).toHaveLength(catchUpMax);
    const unlimited: number[] = [];
    for (let atMs = 0; atMs <= 5_000_000; atMs = recurrence.after(atMs) as number) unlimited.push(atMs);
    expect(unlimited).toHaveLength(5_001);
  });
});
