/** C5: two definitions during a rolling deployment. */
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { catchUpMax } from "../src/plan.ts";
import { define } from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { Catcher, Desk, freshName, repeated } from "./desk.ts";
import { Fleet } from "./fleet.ts";
import { definitionOf, dueJob, liveView, storeOf } from "./stored.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

describe("C5 versions", () => {
  it("C5 three replicas are replaced one by one while the job runs: no occurrence of either definition is lost or doubled", async () => {
    await using desk = new Desk();
    await using fleet = new Fleet();
    const name = freshName();
    const options = { url: server.url, name, scheduler: { historyMax: 1_000 }, workMs: 5 };
    const old = { version: 1, everyMs: 300, overlap: "queue", missed: "all" } as const;
    const renewed = { version: 2, everyMs: 500, overlap: "queue", missed: "all" } as const;
    const before = await Promise.all([1, 2, 3].map((n) => fleet.start(`old-${n}`, { ...options, job: old })));
    await pollUntil("runs", () => fleet.began.length >= 3);
    for (const [index, pod] of before.entries()) {
      await fleet.start(`new-${index}`, { ...options, job: renewed });
      await pod.request("stop");
      await pod.kill();
    }
    const soFar = fleet.began.length;
    await pollUntil("more runs", () => fleet.began.length >= soFar + 3);
    const { runs } = await desk.scheduler(server.url, name).history("job");
    expect(repeated(fleet.began.map(({ began }) => began ?? ""))).toEqual([]);
    const due = runs.map(({ scheduledForMs, version }) => ({ scheduledForMs, version })).toReversed();
    const versions = due.map(({ version }) => version);
    expect(versions).toEqual(versions.toSorted((a, b) => a - b));
    for (const [version, everyMs] of [
      [1, 300],
      [2, 500],
    ] as const) {
      const times = due.filter((one) => one.version === version).map(({ scheduledForMs }) => scheduledForMs);
      expect(times.length).toBeGreaterThanOrEqual(3);
      expect(times).toEqual(times.map((_, index) => (times[0] as number) + index * everyMs));
    }
    // The new one begins with its first time after the old one's end.
    const lastOld = due.findLast(({ version }) => version === 1)?.scheduledForMs ?? 0;
    const firstNew = due.find(({ version }) => version === 2)?.scheduledForMs ?? 0;
    expect(firstNew - lastOld).toBeLessThanOrEqual(800);
    expect(firstNew).toBeGreaterThan(lastOld);
  });

  it("C5 an older replica runs by the newer definition, and says that its own does not count", async () => {
    await using desk = new Desk();
    const name = freshName();
    const catcher = new Catcher();
    const newer = desk.scheduler(server.url, name).job("job", { version: 3, everyMs: 100 }, catcher.handle);
    await newer.start();
    await newer.stop({ graceMs: 30_000 });
    const older = desk.scheduler(server.url, name).job("job", { version: 2, everyMs: 86_400_000 }, catcher.handle);
    await older.start();
    const { advice, versionStored } = await desk.event("outdated");
    expect(versionStored).toBe(3);
    expect(advice).toContain("rollback");
    const runs = await catcher.caught(3);
    expect(runs.every(({ version }) => version === 3)).toBe(true);
  });

  it("C5 another definition with the same version does not count either, and that is said", async () => {
    await using desk = new Desk();
    const name = freshName();
    const first = desk.scheduler(server.url, name).job("job", { version: 3, cron: "0 18 * * *" }, () => undefined);
    await first.start();
    const second = desk.scheduler(server.url, name).job("job", { version: 3, cron: "0 19 * * *" }, () => undefined);
    await second.start();
    expect((await desk.event("conflict")).advice).toContain("raise the version");
    expect((await liveView(storeOf(desk.redis(server.url), name))).definitionText).toContain("0 18");
  });

  it("C5 what is due by the old definition is decided by it before the new one counts", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    const store = storeOf(redis, freshName());
    const dueMs = Math.floor(Date.now() / 1_000) * 1_000;
    const view = await dueJob(redis, store, definitionOf({ version: 1 }), dueMs);
    expect(await store.define(definitionOf({ version: 2 }), view, dueMs + 3_600_000)).toBe("moved");
    const admission = {
      runs: [{ id: "a", dueMs }],
      cursorMs: dueMs,
      followingMs: dueMs + 86_400_000,
      skipped: "",
      missed: "",
    };
    expect(await store.admit(view, admission)).toBe("admitted");
    const later = await liveView(store);
    expect(await store.define(definitionOf({ version: 2 }), later, dueMs + 3_600_000)).toBe("defined");
    expect(await store.define(definitionOf({ version: 2 }), await liveView(store), dueMs + 7_200_000)).toBe("kept");
    expect(await liveView(store)).toMatchObject({ version: 2, nextMs: dueMs + 3_600_000, head: "a" });
  });

  it("C5 counter-test: a define that does not care about what is due loses it", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    const store = storeOf(redis, freshName());
    const dueMs = Math.floor(Date.now() / 1_000) * 1_000;
    const view = await dueJob(redis, store, definitionOf({ version: 1 }), dueMs);
    await withAlteredLua(define, "tonumber(job.next) * 1000 <= nowUs", "false", async () => {
      expect(await store.define(definitionOf({ version: 2 }), view, dueMs + 3_600_000)).toBe("defined");
    });
    expect(await liveView(store)).toMatchObject({ nextMs: dueMs + 3_600_000, head: "", cursorMs: 0 });
  });

  it("C5 a newer definition counts although too many wait for what is due to be decided; it begins with that, and the job goes on", async () => {
    await using desk = new Desk();
    const name = freshName();
    const redis = desk.redis(server.url);
    const store = storeOf(redis, name);
    const options = { everyMs: 60_000, missed: "all", overlap: "queue" } as const;
    const dueMs = Math.floor(Date.now() / 60_000) * 60_000 - 600_000;
    await dueJob(redis, store, definitionOf({ cron: undefined, ...options }), dueMs);
    const crowd = Array.from({ length: catchUpMax }, (_, index) => [dueMs - catchUpMax + index, `waiting-${index}`]);
    await redis.zadd(store.keys.waiting, ...crowd.flat());
    const catcher = new Catcher();
    await desk
      .scheduler(server.url, name)
      .job("job", { ...options, version: 2 }, catcher.handle)
      .start();
    await desk.event("defined", ({ version }) => version === 2);
    const runs = await catcher.caught(3);
    expect(runs.every(({ version }) => version === 2)).toBe(true);
    const first = new Date(dueMs).toISOString();
    await pollUntil("what was due", async () => (await redis.zscore(store.keys.waiting, first)) !== null);
  });

  it("C5 a lower version never replaces a higher one, whoever asks last", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    const store = storeOf(redis, freshName());
    const view = await dueJob(redis, store, definitionOf({ version: 3 }), 8_000_000_000_000);
    expect(await store.define(definitionOf({ version: 2 }), view, 8_100_000_000_000)).toBe("kept");
    expect(await liveView(store)).toMatchObject({ version: 3, nextMs: 8_000_000_000_000 });
  });

  it("C5 counter-test: without comparing versions the definition of whoever asks last counts", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    const store = storeOf(redis, freshName());
    const view = await dueJob(redis, store, definitionOf({ version: 3 }), 8_000_000_000_000);
    await withAlteredLua(define, "tonumber(job.version) >= tonumber(version)", "false", async () => {
      expect(await store.define(definitionOf({ version: 2 }), view, 8_100_000_000_000)).toBe("defined");
    });
    expect(await liveView(store)).toMatchObject({ version: 2, nextMs: 8_100_000_000_000 });
  });

  it("C5 a definition never begins before what was decided, so that a clock that went back doubles nothing", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    const store = storeOf(redis, freshName());
    await dueJob(redis, store, definitionOf({ version: 1 }), 8_000_000_000_000);
    await redis.hset(store.keys.state, "cursor", 7_000_000_000_000);
    expect(await store.define(definitionOf({ version: 2 }), await liveView(store), 7_000_000_000_000)).toBe("moved");
    expect(await store.define(definitionOf({ version: 2 }), await liveView(store), 7_000_000_000_001)).toBe("defined");
  });
});
