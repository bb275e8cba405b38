/**
 * Traps of ioredis, the network, Redis and timers that shipped software fell into, each by name. Outages and the process are in
 * outages.test.ts, clocks in reconcile.test.ts, Sentinel and Cluster in cluster.test.ts.
 */
import { setTimeout as delay } from "node:timers/promises";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { FaultProxy, Pod, pollUntil, RedisServer, Stopwatch } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NotReplicatedError, OutcomeUnknownError, RedisRefusedError } from "@holdfast/core";
import { DurableTimer, timerChannel } from "../src/index.ts";
import type { TimerEvent } from "../src/index.ts";
import { claim, schedule } from "../src/scripts.generated.ts";
import { Catcher, Desk, failure, freshName, many, patientMs } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

describe("ioredis and the network", () => {
  it("a schedule whose reply is lost is resent by ioredis and applied once (T9)", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const timer = desk.timer(proxy.url, freshName());
    await timer.stats();
    const lost = proxy.swallowReply(new RegExp(schedule.sha1, "u"));
    expect(await timer.schedule({ id: "a", afterMs: 60_000 })).toMatchObject({ kind: "scheduled" });
    expect(lost.hits).toBe(1);
    expect((await timer.stats()).pending).toBe(1);
  });

  it("a schedule that was applied, whose reply is lost, is not revived when ioredis resends it after another pod has cancelled (T5)", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const timer = desk.timer(proxy.url, name);
    const other = desk.timer(server.url, name);
    await Promise.all([timer.stats(), other.stats()]);
    await proxy.refuse();
    await proxy.accept();
    const lost = proxy.swallowReply(new RegExp(schedule.sha1, "u"));
    const resent = proxy.hold("request", (command) => lost.hits > 0 && command.join(" ").includes(schedule.sha1));
    const result = timer.schedule({ id: "a", afterMs: 0 }).catch((error: unknown) => error);
    await lost.hit;
    expect(await other.cancel("a")).toEqual({ kind: "cancelled" });
    resent.release();
    await result;
    expect(await other.get("a")).toBeNull();
  });

  it("a claim fused with acknowledgements whose reply is lost does not strand a batch (K7)", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.scheduleMany(many(100));
    const catcher = new Catcher();
    const worker = desk.timer(proxy.url, name).worker({ leaseMs: 60_000, concurrencyMax: 10 }, catcher.handle);
    const lost = proxy.swallowReply(new RegExp(claim.sha1, "u"), { times: 2 });
    await worker.start();
    await catcher.caught(100);
    await worker.idle();
    expect(lost.hits).toBe(2);
    expect(catcher.firings).toHaveLength(100);
    await worker.stop({ graceMs: 1_000 });
  });

  it("a call gets its typed error within commandTimeoutMs although the client would never answer (autoResendUnfulfilledCommands: false)", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const redis = desk.redis(proxy.url, { autoResendUnfulfilledCommands: false });
    await using timer = new DurableTimer(redis, freshName(), { commandTimeoutMs: 200 });
    await pollUntil("it is opened in time", () => timer.stats());
    proxy.swallowReply(new RegExp(schedule.sha1, "u"));
    using watch = Stopwatch.start();
    const error = await failure(timer.schedule({ id: "a", afterMs: 60_000 }));
    expect(watch.ranMs).toBeLessThan(1_500);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    const { operationId } = error as OutcomeUnknownError;
    const again = await pollUntil("the repeat is in time", () => timer.schedule({ id: "a", afterMs: 1, operationId }));
    expect(again.kind).toBe("scheduled");
  });

  it("after a pause longer than the timeout the outcome is known, or unknown and learned by operation id, never wrong", async () => {
    const name = freshName();
    await using pod = await Pod.start(new URL("pods/replica.ts", import.meta.url), {
      env: { REDIS_URL: server.url, TIMER_NAME: name, LEASE_MS: "500" },
    });
    await pod.ready();
    await using desk = new Desk();
    expect(await pod.request("schedule", "warm-up")).toEqual({ kind: "scheduled" });
    server.pause();
    const answer = pod.request("schedule", "a");
    await delay(50);
    pod.pause();
    server.resume();
    await delay(2_500);
    pod.resume();
    const outcome = (await answer) as { kind: string; again?: string };
    expect(["scheduled", "unknown", "none"]).toContain(outcome.kind);
    if (outcome.kind !== "scheduled") expect(outcome.again).toBe("scheduled");
    expect(await desk.timer<object>(server.url, name).get("a")).toMatchObject({ state: "pending" });
  });

  it("SCRIPT FLUSH between two calls, or under a working worker, costs nothing", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    const catcher = new Catcher();
    const worker = timer.worker(catcher.handle);
    await worker.start();
    for (let round = 1; round <= 5; round += 1) {
      await server.call("SCRIPT", "FLUSH");
      await timer.schedule({ id: `a${round}`, afterMs: 0 });
      await catcher.caught(round);
    }
    await worker.idle();
    expect(catcher.firings).toHaveLength(5);
    expect(desk.events.filter(({ type }) => type === "trouble")).toEqual([]);
    await worker.stop({ graceMs: 1_000 });
  });

  it("a write that no replica confirms says so", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName(), { durability: { replicas: 1, timeoutMs: 50 } });
    const error = await failure(timer.schedule({ id: "a", afterMs: 60_000 }));
    expect(error).toBeInstanceOf(NotReplicatedError);
    expect(await timer.get("a")).toMatchObject({ state: "pending" });
  });
});

describe("Redis", () => {
  it("ACLs apply inside scripts: the line of the README is enough, for calls, workers and hints", async () => {
    await using desk = new Desk();
    const { readFile } = await import("node:fs/promises");
    const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
    const line = /^ACL SETUSER (.+)$/mu.exec(readme)?.[1] ?? "";
    await server.call("ACL", "SETUSER", ...line.split(" "));
    const name = freshName();
    const redis = desk.redis(server.url, { username: "holdfast", password: "change-me" });
    await using timer = new DurableTimer<undefined>(redis, name, {
      commandTimeoutMs: patientMs,
      onEvent: (event) => desk.events.push(event),
    });
    const catcher = new Catcher();
    const worker = timer.worker(
      { backoff: { baseMs: 1, delayMaxMs: 1 }, attemptsMax: 2, pollMs: 5_000, leaseMs: 6_000 },
      async (firing) => {
        if (firing.id === "bad") throw new Error("no");
        if (firing.id === "long") await delay(2_500);
        catcher.handle(firing);
      },
    );
    await worker.start();
    await worker.idle();
    await pollUntil(
      "hints arrive",
      async () => ((await server.call("PUBSUB", "CHANNELS", `*${name}*`)) as string[]).length === 1,
    );
    await timer.scheduleMany(["good", "bad", "long"].map((id) => ({ id, afterMs: 20 })));
    await catcher.caught(2);
    await pollUntil("one is dead", async () => (await timer.stats()).dead === 1);
    // So many that whole batches are acknowledged at once.
    await timer.scheduleMany(Array.from({ length: 300 }, (_, index) => ({ id: `many-${index}`, afterMs: 0 })));
    await catcher.caught(302);
    await worker.idle();
    await timer.dead.list();
    await timer.dead.redrive("bad");
    await pollUntil("it is dead again", async () => (await timer.stats()).dead === 1);
    await timer.dead.drop("bad");
    await timer.schedule({ id: "x", afterMs: 60_000 });
    await timer.fireNow("x");
    await timer.cancel("x");
    await timer.get("x");
    await timer.reconcile([], { asOfMs: Date.now() });
    expect(desk.events.filter(({ type }) => type === "trouble")).toEqual([]);
    await worker.stop({ graceMs: 1_000 });
  });

  it("PUBLISH without channel permission raises after the write: the hint is lost, the schedule is not", async () => {
    await using desk = new Desk();
    await server.call("ACL", "SETUSER", "mute", "on", ">pw", "~*", "resetchannels", "+@all");
    const redis = desk.redis(server.url, { username: "mute", password: "pw" });
    await using timer = new DurableTimer(redis, freshName(), { commandTimeoutMs: patientMs });
    expect(await timer.schedule({ id: "a", afterMs: 0 })).toMatchObject({ kind: "scheduled" });
    const catcher = new Catcher();
    const worker = timer.worker({ pollMs: 50 }, catcher.handle);
    await worker.start();
    await catcher.caught(1);
    await worker.idle();
    await worker.stop({ graceMs: 1_000 });
  });

  it("a user without permission gets a typed error", async () => {
    await using desk = new Desk();
    await server.call("ACL", "SETUSER", "nobody", "on", ">pw", "~other:*", "+@all");
    const redis = desk.redis(server.url, { username: "nobody", password: "pw" });
    await using timer = new DurableTimer(redis, freshName(), { commandTimeoutMs: patientMs });
    const error = await failure(timer.schedule({ id: "a", afterMs: 0 }));
    expect(error).toBeInstanceOf(RedisRefusedError);
    expect(error).toMatchObject({ reason: "NOPERM" });
  });

  it("Lua keeps 14 digits where nobody watches: tokens and generations stay exact over consecutive claims", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    const catcher = new Catcher();
    const worker = timer.worker(catcher.handle);
    await worker.start();
    const generations: number[] = [];
    for (let round = 1; round <= 100; round += 1) {
      generations.push((await timer.schedule({ id: "a", afterMs: 0 })).generation);
      await catcher.caught(round);
      await worker.idle();
    }
    const tokens = catcher.firings.map(({ token }) => token);
    expect(new Set(tokens).size).toBe(100);
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    expect(new Set(generations).size).toBe(100);
    expect(Math.min(...tokens)).toBeGreaterThan(10 ** 15);
    await worker.stop({ graceMs: 1_000 });
  });

  it("unpack fails beyond 8,000 values: 20,000 timers at once go through in bounded scripts", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    const results = await timer.scheduleMany(many(20_000));
    expect(results).toHaveLength(20_000);
    const worker = timer.worker(() => undefined);
    await worker.start();
    await worker.idle();
    expect(worker.counts().fired).toBe(20_000);
    expect(desk.events.filter(({ type }) => type === "trouble")).toEqual([]);
    await worker.stop({ graceMs: 1_000 });
  });
});

describe("timers", () => {
  it("four workers without any fault run each of 2,000 timers once", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    const catcher = new Catcher();
    const workers = Array.from({ length: 4 }, () =>
      desk.timer(server.url, name).worker({ pollMs: 30 }, catcher.handle),
    );
    for (const worker of workers) await worker.start();
    await timer.scheduleMany(many(2_000, 50));
    await catcher.caught(2_000);
    await Promise.all(workers.map((worker) => worker.idle()));
    expect(catcher.firings).toHaveLength(2_000);
    expect(new Set(catcher.ids).size).toBe(2_000);
    await Promise.all(workers.map((worker) => worker.stop({ graceMs: 1_000 })));
  });

  it("counter-test: the usual design (look, SETNX per item, remove after the handler) runs a timer twice without any fault", async () => {
    await using desk = new Desk();
    const redis = desk.redis(server.url);
    const name = freshName();
    await redis.zadd(name, 1, "order-1");
    const ran: string[] = [];
    const look = (): Promise<string[]> => redis.zrangebyscore(name, "-inf", Date.now());
    const run = async (poller: string, ids: readonly string[]): Promise<void> => {
      for (const id of ids) {
        if ((await redis.set(`${name}:lock:${id}`, poller, "PX", 60_000, "NX")) === null) continue;
        ran.push(`${id} by ${poller}`);
        await redis.zrem(name, id);
        await redis.del(`${name}:lock:${id}`);
      }
    };
    // Both have looked before either is done.
    const [first, second] = [await look(), await look()];
    await run("a", first);
    await run("b", second);
    expect(ran).toEqual(["order-1 by a", "order-1 by b"]);
  });

  it("an idle worker that stands still, or is killed, takes no wake-up with it: the other one fires at once, not at its next poll", async () => {
    await using desk = new Desk();
    const name = freshName();
    const env = { REDIS_URL: server.url, TIMER_NAME: name, LEASE_MS: "60000" };
    const pod = await Pod.start(new URL("pods/replica.ts", import.meta.url), { env });
    await pod.ready();
    await pod.request("start");
    const timer = desk.timer<object>(server.url, name);
    const catcher = new Catcher<object>();
    const worker = timer.worker({ pollMs: 60_000 }, catcher.handle);
    await worker.start();
    const fires = async (id: string): Promise<unknown> => {
      await timer.schedule({ id, afterMs: 0, payload: {} });
      return pollUntil(`${id} has fired`, async () => (await timer.get(id)) === null);
    };
    await pollUntil("both listen", async () => {
      const channel = `holdfast:{timer:${name}}:wake`;
      return ((await server.call("PUBSUB", "NUMSUB", channel)) as [string, number])[1] === 2;
    });
    await fires("while both live");
    await worker.idle();
    // Its socket takes the hint, and nobody reads it.
    pod.pause();
    await fires("while one stands still");
    await pod.kill();
    await fires("after it was killed");
    const fired = catcher.firings.filter(({ id }) => id !== "while both live");
    expect(fired.map(({ id }) => id)).toEqual(["while one stands still", "after it was killed"]);
    for (const { latenessMs } of fired) expect(latenessMs).toBeLessThan(30_000);
    await worker.stop({ graceMs: 1_000 });
  });

  it("what happens is told on the channel, with lateness per firing, and a subscriber that throws disturbs nobody", async () => {
    await using desk = new Desk();
    const events: TimerEvent[] = [];
    const listener = (event: unknown): void => {
      events.push(event as TimerEvent);
    };
    subscribe(timerChannel, listener);
    const name = freshName();
    const timer = desk.timer(server.url, name, {
      onEvent: () => {
        throw new Error("an observer's own problem");
      },
    });
    const warnings: unknown[] = [];
    const onWarning = (warning: unknown): void => {
      warnings.push(warning);
    };
    process.on("warning", onWarning);
    await timer.schedule({ id: "a", afterMs: 0 });
    const worker = timer.worker(() => undefined);
    await worker.start();
    await pollUntil("it fired", () => worker.counts().fired === 1);
    await worker.idle();
    unsubscribe(timerChannel, listener);
    const fired = events.find((event) => event.type === "fired" && event.timer === name);
    expect(fired).toMatchObject({ id: "a", attempt: 1, latenessMs: expect.any(Number) as number });
    await pollUntil("the observer's problem is a warning", () => warnings.length > 0);
    process.off("warning", onWarning);
    await worker.stop({ graceMs: 1_000 });
  });
});
