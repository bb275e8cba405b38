/** T6: failures, attempts and dead letters. */
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DeadLetterError, RetryInError } from "../src/index.ts";
import type { DurableTimer, Firing } from "../src/index.ts";
import { reap, settle } from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { Catcher, Desk, freshName, Gate } from "./client.ts";
import { lapse } from "./holders.ts";

const noBackoff = { baseMs: 0, delayMaxMs: 0, jitter: 0 };

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

/** Runs a worker whose process vanishes in its handler; resolves to what it was running when its lease has ended. */
async function crash(desk: Desk, timer: DurableTimer): Promise<Firing<undefined>> {
  const started = Promise.withResolvers<Firing<undefined>>();
  // So long that it ends when the test says so, and not while the machine stands still.
  const doomed = timer.worker({ leaseMs: 60_000, pollMs: 20, attemptsMax: 3 }, async (firing) => {
    started.resolve(firing);
    await new Promise(() => undefined);
  });
  await doomed.start();
  const firing = await started.promise;
  await doomed.stop({ graceMs: 0 });
  await lapse(desk, server.url, timer.name);
  return firing;
}

/** What `await` takes for a promise. */
function thenableWith(property: PropertyDescriptor): object {
  // oxlint-disable-next-line unicorn/no-thenable
  return Object.defineProperty({}, "then", property);
}

describe("T6 attempts and dead letters", () => {
  it("T6 a handler whose result throws when it is looked at, or when it is waited for, has failed and delays nobody", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    const results: Record<string, unknown> = {
      looked: thenableWith({
        get() {
          throw new RangeError("do not look");
        },
      }),
      waited: thenableWith({
        value() {
          throw new RangeError("do not wait");
        },
      }),
      fine: { value: 1 },
    };
    await timer.scheduleMany(Object.keys(results).map((id) => ({ id, afterMs: 0 })));
    const worker = timer.worker({ attemptsMax: 2, backoff: noBackoff }, ({ id }) => results[id]);
    await worker.start();
    await pollUntil("two are dead", async () => (await timer.stats()).dead === 2);
    await worker.idle();
    const letters = await timer.dead.list();
    expect(Object.fromEntries(letters.map(({ id, error }) => [id, error]))).toEqual({
      looked: "RangeError: do not look",
      waited: "RangeError: do not wait",
    });
    expect(worker.counts()).toMatchObject({ retried: 2, dead: 2, fired: 1, running: 0 });
    await worker.stop({ graceMs: 1_000 });
  });

  for (const how of ["throws", "rejects with"] as const) {
    it(`T6 a handler that ${how} a value without text has failed, and delays nobody of its batch`, async () => {
      await using desk = new Desk();
      const timer = desk.timer(server.url, freshName());
      const ids = ["textless", ...Array.from({ length: 20 }, (_, index) => `t${index}`)];
      await timer.scheduleMany(ids.map((id) => ({ id, afterMs: 0 })));
      const worker = timer.worker({ attemptsMax: 1, leaseMs: 60_000 }, ({ id }) => {
        if (id !== "textless") return undefined;
        if (how === "throws") throw Object.create(null);
        return Promise.reject(Object.create(null) as Error);
      });
      await worker.start();
      await pollUntil("all have ended", () => worker.counts().fired + worker.counts().dead === ids.length);
      await worker.idle();
      expect((await timer.dead.list()).map(({ id, error }) => [id, error])).toEqual([
        ["textless", "a thrown object that has no text"],
      ]);
      expect(await timer.stats()).toMatchObject({ leased: 0, pending: 0 });
      expect(desk.events.filter(({ type }) => type === "trouble")).toEqual([]);
      await worker.stop({ graceMs: 1_000 });
    });
  }

  it("T6 a handler that keeps throwing is dead-lettered after attemptsMax with its error", async () => {
    await using desk = new Desk();
    const timer = desk.timer<{ n: number }>(server.url, freshName());
    await timer.schedule({ id: "bad", afterMs: 0, payload: { n: 7 } });
    const attempts: number[] = [];
    const worker = timer.worker({ attemptsMax: 3, backoff: noBackoff }, ({ attempt }) => {
      attempts.push(attempt);
      throw new RangeError(`boom ${attempt}`);
    });
    await worker.start();
    await pollUntil("it is dead", async () => (await timer.stats()).dead === 1);
    await worker.idle();
    expect(attempts).toEqual([1, 2, 3]);
    const [letter] = await timer.dead.list();
    expect(letter).toMatchObject({ id: "bad", payload: { n: 7 }, attempts: 3, error: "RangeError: boom 3" });
    expect(worker.counts()).toMatchObject({ retried: 2, dead: 1, fired: 0 });
    expect(await timer.get("bad")).toBeNull();
    await worker.stop({ graceMs: 1_000 });
  });

  it("T6 counter-test: when nothing is buried, a handler that keeps throwing runs for ever", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    await timer.schedule({ id: "bad", afterMs: 0 });
    await withAlteredLua(settle, `elseif verb == "dead" then`, "elseif false then", async () => {
      let runs = 0;
      const worker = timer.worker({ attemptsMax: 3, backoff: noBackoff }, () => {
        runs += 1;
        throw new RangeError("boom");
      });
      await worker.start();
      await pollUntil("it has run far too often", () => runs > 10);
      expect(await timer.stats()).toMatchObject({ dead: 0 });
      await worker.stop({ graceMs: 1_000 });
    });
  });

  it("T6 a dead letter can be redriven with all its attempts, or dropped", async () => {
    await using desk = new Desk();
    const timer = desk.timer<{ n: number }>(server.url, freshName());
    await timer.scheduleMany(["x", "y"].map((id) => ({ id, afterMs: 0, payload: { n: 1 } })));
    let healthy = false;
    const catcher = new Catcher();
    const worker = timer.worker((firing) => {
      if (!healthy) throw new DeadLetterError("not today");
      catcher.handle(firing);
    });
    await worker.start();
    await pollUntil("both are dead", async () => (await timer.stats()).dead === 2);
    healthy = true;
    expect(await timer.dead.redrive("x")).toEqual({ kind: "redriven" });
    expect(await timer.dead.redrive("nobody")).toEqual({ kind: "absent" });
    const [firing] = await catcher.caught(1);
    expect(firing).toMatchObject({ id: "x", attempt: 1, payload: { n: 1 } });
    await worker.idle();
    await timer.schedule({ id: "y", afterMs: 60_000, payload: { n: 2 } });
    expect(await timer.dead.redrive("y")).toEqual({ kind: "exists" });
    expect(await timer.dead.drop("y")).toEqual({ kind: "dropped" });
    expect(await timer.dead.drop("y")).toEqual({ kind: "absent" });
    expect(await timer.dead.list()).toEqual([]);
    await worker.stop({ graceMs: 1_000 });
  });

  it("T6 RetryInError chooses the delay, DeadLetterError gives up now", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    await timer.scheduleMany([
      { id: "later", afterMs: 0 },
      { id: "never", afterMs: 0 },
    ]);
    const seen: string[] = [];
    const worker = timer.worker((firing) => {
      seen.push(`${firing.id} ${firing.attempt}`);
      if (firing.id === "never") throw new DeadLetterError("hopeless");
      if (firing.attempt === 1) throw new RetryInError(60_000);
    });
    await worker.start();
    await pollUntil("one is dead, one waits", async () => {
      const { dead, pending } = await timer.stats();
      return dead === 1 && pending === 1;
    });
    expect(seen.toSorted()).toEqual(["later 1", "never 1"]);
    expect(await timer.get("later")).toMatchObject({ state: "pending", attempts: 1 });
    expect((await timer.dead.list())[0]?.error).toBe("DeadLetterError: hopeless");
    await worker.stop({ graceMs: 1_000 });
  });

  it("T6 a payload that does not decode is dead-lettered with its error and delays nobody", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer<{ n: number }>(server.url, name);
    await timer.scheduleMany(["bad", "good"].map((id) => ({ id, afterMs: 0, payload: { n: 1 } })));
    const redis = desk.redis(server.url);
    const data = `holdfast:{timer:${name}}:data`;
    const record = (await redis.hget(data, "bad")) ?? "";
    await redis.hset(data, "bad", record.slice(0, -1));
    const catcher = new Catcher<{ n: number }>();
    const worker = timer.worker({ attemptsMax: 2, backoff: noBackoff }, catcher.handle);
    await worker.start();
    await pollUntil("it is dead", async () => (await timer.stats()).dead === 1);
    await worker.idle();
    expect(catcher.ids).toEqual(["good"]);
    const [letter] = await timer.dead.list();
    expect(letter).toMatchObject({ id: "bad", attempts: 2, payload: undefined, payloadText: '{"n":1' });
    expect(letter?.error).toContain("undecodable");
    await worker.stop({ graceMs: 1_000 });
  });

  it("T6 one slow handler delays nobody else", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    const gate = new Gate();
    const catcher = new Catcher();
    const worker = timer.worker({ concurrencyMax: 2 }, async (firing) => {
      if (firing.id === "slow") await gate.opened;
      else catcher.handle(firing);
    });
    await timer.schedule({ id: "slow", afterMs: 0 });
    await worker.start();
    await timer.scheduleMany(Array.from({ length: 300 }, (_, index) => ({ id: `quick-${index}`, afterMs: 0 })));
    await catcher.caught(300);
    expect(worker.counts()).toMatchObject({ running: 1 });
    gate.open();
    await worker.idle();
    await worker.stop({ graceMs: 1_000 });
  });

  it("T6 a claim whose handler never started spends no attempt; one that was seen running does", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    // The first crash leaves no trace of a start. From then on each start is on record before the handler runs.
    expect((await crash(desk, timer)).attempt).toBe(1);
    expect((await crash(desk, timer)).attempt).toBe(1);
    expect((await crash(desk, timer)).attempt).toBe(2);
    expect((await crash(desk, timer)).attempt).toBe(3);
    const worker = timer.worker({ leaseMs: 400, pollMs: 20, attemptsMax: 3 }, () => undefined);
    await worker.start();
    await pollUntil("it is dead", async () => (await timer.stats()).dead === 1);
    expect((await timer.dead.list())[0]).toMatchObject({ id: "a", attempts: 3 });
    expect((await timer.dead.list())[0]?.error).toContain("ended without an answer");
    expect(worker.counts()).toMatchObject({ fired: 0, dead: 1 });
    await worker.stop({ graceMs: 1_000 });
  });

  it("T6 counter-test: an attempt that counts when the lease lapses is spent although its handler may never have started", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    await timer.schedule({ id: "a", afterMs: 0 });
    await withAlteredLua(reap, "makeNote(attempts, true,", "makeNote(attempts + 1, true,", async () => {
      expect((await crash(desk, timer)).attempt).toBe(1);
      expect((await crash(desk, timer)).attempt).toBeGreaterThan(1);
    });
  });

  it("T6 counter-test: without the limit in reap, a timer that kills its process is delivered for ever", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    await timer.schedule({ id: "a", afterMs: 0 });
    await withAlteredLua(reap, "elseif attempts >= attemptsMax then", "elseif false then", async () => {
      const attempts: number[] = [];
      for (let crashes = 0; crashes < 5; crashes += 1) attempts.push((await crash(desk, timer)).attempt);
      expect(attempts.at(-1)).toBe(4);
      expect(await timer.stats()).toMatchObject({ dead: 0 });
    });
  });

  it("T6 a heartbeat puts the start on record, so a crash of a handler that ran for a while counts at once", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    await timer.schedule({ id: "a", afterMs: 0 });
    const started = new Gate();
    // The heartbeat comes after a third of it, also when the machine stands still meanwhile.
    const doomed = timer.worker({ leaseMs: 6_000 }, async () => {
      started.open();
      await new Promise(() => undefined);
    });
    await doomed.start();
    await started.opened;
    await pollUntil("the start is on record", async () => (await timer.get("a"))?.attempts === 1);
    await doomed.stop({ graceMs: 0 });
    await lapse(desk, server.url, timer.name);
    const catcher = new Catcher();
    const worker = timer.worker({ pollMs: 20 }, catcher.handle);
    await worker.start();
    expect((await catcher.caught(1))[0]?.attempt).toBe(2);
    await worker.stop({ graceMs: 1_000 });
  });
});
