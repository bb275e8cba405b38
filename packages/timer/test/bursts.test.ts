/** T10: more timers at once than there are places. */
import { setTimeout as delay } from "node:timers/promises";
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { shardOf } from "../src/keys.ts";
import { claim } from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { Catcher, Desk, freshName, Gate, many } from "./client.ts";
import { clockWithout } from "./clock-without.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

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

  it("T10 counter-test: a claim without its limit leases all that is due", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    await timer.scheduleMany(Array.from({ length: 1_000 }, (_, index) => ({ id: `t${index}`, afterMs: 0 })));
    await withAlteredLua(claim, `"LIMIT", 0, limit, "WITHSCORES"`, `"LIMIT", 0, 1000, "WITHSCORES"`, async () => {
      const gate = new Gate();
      const worker = timer.worker({ concurrencyMax: 10 }, () => gate.opened);
      await worker.start();
      await pollUntil("it has claimed", () => worker.counts().claimed > 0);
      expect(worker.counts().claimed).toBeGreaterThan(10 + 100);
      gate.open();
      await worker.stop({ graceMs: 5_000 });
    });
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

  it("T10 counter-test: without the timer of their wait, they stay with the worker that has no place for them", async () => {
    await using desk = new Desk();
    const name = freshName();
    const gate = new Gate();
    const timer = desk.timer(server.url, name, { clock: clockWithout(100) });
    await timer.scheduleMany(Array.from({ length: 400 }, (_, index) => ({ id: `t${index}`, at: 1_000 + index })));
    const blocked = timer.worker({ concurrencyMax: 2 }, async (firing) => {
      if (Number(firing.id.slice(1)) >= 100) await gate.opened;
    });
    await blocked.start();
    await pollUntil("some wait", () => blocked.counts().running === 2 && blocked.counts().waiting > 0);
    // The other lane's claim may still be under way; by the second answer on the same connection it has brought what it brings.
    for (let answers = 0; answers < 2; answers += 1) await timer.stats();
    const { waiting } = blocked.counts();
    const other = desk.timer(server.url, name).worker(() => undefined);
    await other.start();
    await other.idle();
    await delay(300);
    expect(blocked.counts().waiting).toBe(waiting);
    gate.open();
    await Promise.all([blocked.stop({ graceMs: 5_000 }), other.stop({ graceMs: 1_000 })]);
  });

  it("a burst costs at most 0.2 commands per firing: what was claimed together is acknowledged together", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    await timer.scheduleMany(many(20_000));
    const worker = timer.worker(() => undefined);
    await server.call("CONFIG", "RESETSTAT");
    await worker.start();
    await worker.idle();
    const stats = (await server.call("INFO", "commandstats")) as string;
    let commands = 0;
    for (const [, calls] of stats.matchAll(/^cmdstat_[^:]+:calls=(\d+)/gmu)) commands += Number(calls);
    expect(worker.counts().fired).toBe(20_000);
    expect(commands / 20_000).toBeLessThanOrEqual(0.2);
    await worker.stop({ graceMs: 1_000 });
  });

  it("T3 leases that are due in the same tick are prolonged by one request", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    await timer.scheduleMany(many(50));
    const gate = new Gate();
    const worker = timer.worker({ concurrencyMax: 50, leaseMs: 900 }, () => gate.opened);
    await worker.start();
    await pollUntil("all run", () => worker.counts().running === 50);
    await server.call("CONFIG", "RESETSTAT");
    // Nothing else writes a deadline meanwhile.
    const prolonged = async (): Promise<number> => {
      const stats = (await server.call("INFO", "commandstats")) as string;
      return Number(/^cmdstat_zadd:calls=(\d+)/mu.exec(stats)?.[1] ?? 0);
    };
    await pollUntil("they were prolonged more than once", async () => (await prolonged()) >= 2);
    expect(await prolonged()).toBeLessThan(25);
    gate.open();
    await worker.stop({ graceMs: 5_000 });
  });

  it("a burst on one shard makes the timers of the others wait no longer than its own", async () => {
    await using desk = new Desk();
    const shards = 4;
    const timer = desk.timer(server.url, freshName(), { shards });
    await timer.scheduleMany(many(8_000));
    const order: number[] = [];
    const worker = timer.worker({ concurrencyMax: 16 }, ({ id }) => {
      order.push(shardOf(id, shards));
    });
    await worker.start();
    await worker.idle();
    expect(order).toHaveLength(8_000);
    // In turn, the last shard begins after a few batches of the others; one after the other, after all of their 6,000.
    for (let shard = 0; shard < shards; shard += 1) expect(order.indexOf(shard)).toBeLessThan(1_000);
    await worker.stop({ graceMs: 1_000 });
  });
});
