/** T2 after a loss, and clocks that are wrong (K8, T1). */
import { setTimeout as delay } from "node:timers/promises";
import { ClockSkew, pollUntil, RedisServer, Stopwatch } from "@holdfast/testkit";
import { systemClock } from "@holdfast/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ReconcileWindowError } from "../src/index.ts";
import type { ScheduleRequest } from "../src/index.ts";
import { restore } from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { Catcher, Desk, failure, freshName, Gate, requests, serverTimeMs } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

describe("reconcile", () => {
  it("T2 brings back what is missing, and never what fired, was cancelled or died after asOfMs", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer<{ n: number }>(server.url, name);
    const pending = requests(4, 60_000);
    await timer.scheduleMany(pending);
    const asOfMs = await serverTimeMs(server);
    await delay(2);
    await timer.cancel("t0");
    const worker = timer.worker({ attemptsMax: 1 }, ({ id }) => {
      if (id === "t2") throw new Error("no");
    });
    await worker.start();
    await timer.fireNow("t1");
    await timer.fireNow("t2");
    await pollUntil("one fired, one died", () => worker.counts().fired === 1 && worker.counts().dead === 1);
    await worker.idle();
    async function* records(): AsyncGenerator<ScheduleRequest<{ n: number }>> {
      yield* pending;
      yield { id: "lost", at: asOfMs + 60_000, payload: { n: 9 } };
    }
    expect(await timer.reconcile(records(), { asOfMs })).toEqual({ restored: 1, present: 1, ended: 2, dead: 1 });
    expect(await timer.get("lost")).toMatchObject({ payload: { n: 9 }, dueAtMs: asOfMs + 60_000 });
    expect(await timer.get("t0")).toBeNull();
    expect(await timer.reconcile(records(), { asOfMs })).toMatchObject({ restored: 0, present: 2 });
    await worker.stop({ graceMs: 1_000 });
  });

  it("T2 brings back what was scheduled again after an earlier one of its id had died, and is missing", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    const worker = timer.worker({ attemptsMax: 1 }, () => {
      throw new Error("no");
    });
    await worker.start();
    await timer.schedule({ id: "a", afterMs: 0 });
    await pollUntil("it died", () => worker.counts().dead === 1);
    await worker.stop({ graceMs: 1_000 });
    await delay(2);
    await timer.schedule({ id: "a", afterMs: 60_000 });
    const asOfMs = await serverTimeMs(server);
    await delay(2);
    // A failover takes the schedule back.
    const redis = desk.redis(server.url);
    await redis.zrem(`holdfast:{timer:${name}}:due`, "a");
    await redis.hdel(`holdfast:{timer:${name}}:data`, "a");
    const report = await timer.reconcile([{ id: "a", afterMs: 60_000 }], { asOfMs });
    expect(report).toEqual({ restored: 1, present: 0, ended: 0, dead: 0 });
    expect(await timer.get("a")).toMatchObject({ state: "pending" });
  });

  it("T2 counter-test: a reconcile that does not ask what has ended revives it", async () => {
    await using desk = new Desk();
    const timer = desk.timer<{ n: number }>(server.url, freshName());
    const pending = requests(1, 60_000);
    await timer.scheduleMany(pending);
    const asOfMs = await serverTimeMs(server);
    await delay(2);
    await timer.cancel("t0");
    await withAlteredLua(
      restore,
      "elseif cancelledUs > asOfUs or endedUs > asOfUs then",
      "elseif false then",
      async () => {
        expect(await timer.reconcile(pending, { asOfMs })).toMatchObject({ restored: 1 });
      },
    );
  });

  it("T2 refuses a time of which the server has forgotten too much, and one that has not come", async () => {
    await using desk = new Desk();
    const timer = desk.timer<{ n: number }>(server.url, freshName());
    await timer.stats();
    const now = await serverTimeMs(server);
    const old = await failure(timer.reconcile(requests(1, 0), { asOfMs: now - 600_000 }));
    expect(old).toBeInstanceOf(ReconcileWindowError);
    expect((old as ReconcileWindowError).earliestMs).toBeGreaterThan(now - 130_000);
    expect(await failure(timer.reconcile(requests(1, 0), { asOfMs: now + 60_000 }))).toBeInstanceOf(
      ReconcileWindowError,
    );
  });

  it("T2 refuses a time before the timers were moved to other shards, since what had ended by then was not carried over", async () => {
    await using desk = new Desk();
    const name = freshName();
    const one = desk.timer<{ n: number }>(server.url, name);
    const pending = requests(1, 60_000);
    await one.scheduleMany(pending);
    const asOfMs = await serverTimeMs(server);
    await delay(2);
    await one.cancel("t0");
    const three = desk.timer<{ n: number }>(server.url, name, { shards: 3 });
    await three.migrateShards();
    expect(await failure(three.reconcile(pending, { asOfMs }))).toBeInstanceOf(ReconcileWindowError);
    expect(await three.get("t0")).toBeNull();
  });

  it("T2 after the server has lost everything, the records of the caller bring all timers back", async () => {
    await using desk = new Desk();
    await using own = await RedisServer.start();
    const timer = desk.timer<{ n: number }>(own.url, freshName());
    const catcher = new Catcher<{ n: number }>();
    const worker = timer.worker({ pollMs: 50 }, catcher.handle);
    await worker.start();
    await timer.scheduleMany(requests(500, 60_000));
    const asOfMs = await serverTimeMs(own);
    await own.call("FLUSHALL");
    const report = await timer.reconcile(requests(500, 20), { asOfMs });
    expect(report).toEqual({ restored: 500, present: 0, ended: 0, dead: 0 });
    await catcher.caught(500);
    await worker.idle();
    expect(desk.events.filter(({ type }) => type === "founded").length).toBeGreaterThanOrEqual(2);
    await worker.stop({ graceMs: 1_000 });
  });
});

describe("K8 clocks", () => {
  it("K8 a lease that a clock set back leaves standing for an hour ends one lease after that was first seen", async () => {
    await using skew = await ClockSkew.create();
    await using own = await RedisServer.start({ env: { ...skew.env } });
    await using desk = new Desk();
    const name = freshName();
    await skew.set(3_600_000);
    const timer = desk.timer(own.url, name);
    await timer.scheduleMany(["dead", "alive"].map((id) => ({ id, afterMs: 0 })));
    const held = async (
      id: string,
      leaseMs: number,
    ): Promise<{
      stop(options: { graceMs: number }): Promise<unknown>;
      counts(): { fired: number; lost: number };
      gate: Gate;
    }> => {
      const gate = new Gate();
      const started = new Gate();
      const worker = timer.worker({ leaseMs, concurrencyMax: 1 }, async () => {
        started.open();
        await gate.opened;
      });
      await worker.start();
      await started.opened;
      void id;
      return { stop: (options) => worker.stop(options), counts: () => worker.counts(), gate };
    };
    // The live one extends its lease in time, also when the machine stands still.
    const dead = await held("dead", 6_000);
    const alive = await held("alive", 6_000);
    await dead.stop({ graceMs: 0 });
    await skew.set(0);
    const catcher = new Catcher();
    const heir = timer.worker({ leaseMs: 6_000, pollMs: 20 }, catcher.handle);
    await heir.start();
    using watch = Stopwatch.start();
    await catcher.caught(1);
    expect(watch.ranMs).toBeLessThan(20_000);
    await delay(500);
    // The live holder has extended its lease by the new clock and keeps its timer.
    expect(catcher.firings).toHaveLength(1);
    alive.gate.open();
    await pollUntil("it is acknowledged", async () => (await timer.stats()).leased === 0);
    expect(alive.counts()).toMatchObject({ fired: 1, lost: 0 });
    await heir.stop({ graceMs: 1_000 });
    await alive.stop({ graceMs: 1_000 });
  });

  it("T1 the clock of the client decides nothing: an hour of skew in the process changes no deadline", async () => {
    await using desk = new Desk();
    const name = freshName();
    const wall = Date.now() + 3_600_000;
    const timer = desk.timer(server.url, name, { clock: { ...systemClock, wallMs: () => wall } });
    const { dueAtMs } = await timer.schedule({ id: "a", afterMs: 50 });
    expect(Math.abs(dueAtMs - (await serverTimeMs(server)))).toBeLessThan(30_000);
    const catcher = new Catcher();
    const worker = timer.worker(catcher.handle);
    await worker.start();
    const [firing] = await catcher.caught(1);
    expect(firing?.latenessMs).toBeGreaterThanOrEqual(0);
    expect(firing?.latenessMs).toBeLessThan(30_000);
    await worker.stop({ graceMs: 1_000 });
  });
});
