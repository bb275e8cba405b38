/** One test per trap of the hazards list that a timer can fall into: ioredis and the network, Redis, the process, timers themselves. */
import { setTimeout as delay } from "node:timers/promises";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { FaultProxy, Pod, pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NotReplicatedError, OutcomeUnknownError, RedisRefusedError, RedisUnavailableError } from "@holdfast/core";
import { timerChannel } from "@holdfast/timer";
import type { TimerEvent } from "@holdfast/timer";
import { claim, schedule } from "../src/scripts.generated.ts";
import { Catcher, Desk, failure, freshName, Gate } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

function many(count: number, afterMs = 0): { id: string; afterMs: number }[] {
  return Array.from({ length: count }, (_, index) => ({ id: `t${index}`, afterMs }));
}

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
    const { DurableTimer } = await import("@holdfast/timer");
    const redis = desk.redis(proxy.url, { autoResendUnfulfilledCommands: false });
    await using timer = new DurableTimer(redis, freshName(), { commandTimeoutMs: 200 });
    await timer.stats();
    proxy.swallowReply(new RegExp(schedule.sha1, "u"));
    const begin = performance.now();
    const error = await failure(timer.schedule({ id: "a", afterMs: 60_000 }));
    expect(performance.now() - begin).toBeLessThan(1_500);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    const again = await timer.schedule({
      id: "a",
      afterMs: 1,
      operationId: (error as OutcomeUnknownError).operationId,
    });
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
    expect(["scheduled", "unknown"]).toContain(outcome.kind);
    if (outcome.kind === "unknown") expect(outcome.again).toBe("scheduled");
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

describe("Redis fails and comes back", () => {
  it("Redis is down: typed error without effect within the timeout; the worker says so, comes back by itself and fires what AOF kept", async () => {
    await using desk = new Desk();
    await using own = await RedisServer.start({ aof: "always" });
    const timer = desk.timer(own.url, freshName(), { commandTimeoutMs: 300 });
    const catcher = new Catcher();
    const worker = timer.worker({ pollMs: 50 }, catcher.handle);
    await worker.start();
    await timer.scheduleMany(many(20, 400));
    await own.kill();
    const begin = performance.now();
    const error = await failure(timer.schedule({ id: "x", afterMs: 0 }));
    expect(performance.now() - begin).toBeLessThan(1_500);
    expect(error).toBeInstanceOf(RedisUnavailableError);
    expect(error).toMatchObject({ effect: "none", reason: "UNREACHABLE" });
    await pollUntil("the worker says so", () => desk.events.some(({ type }) => type === "trouble"));
    await own.restart();
    await catcher.caught(20);
    await worker.idle();
    expect(new Set(catcher.ids).size).toBe(20);
    expect(desk.events.some(({ type }) => type === "recovered")).toBe(true);
    await worker.stop({ graceMs: 1_000 });
  });

  it("Redis is read-only: typed error; the worker comes back when it is a master again", async () => {
    await using desk = new Desk();
    await using own = await RedisServer.start();
    await using master = await RedisServer.start();
    const timer = desk.timer(own.url, freshName(), { commandTimeoutMs: 500 });
    const catcher = new Catcher();
    await timer.stats();
    const worker = timer.worker({ pollMs: 50 }, catcher.handle);
    await worker.start();
    await worker.idle();
    await own.call("CONFIG", "SET", "replica-serve-stale-data", "yes");
    await own.call("REPLICAOF", master.host, master.port);
    const error = await failure(timer.schedule({ id: "a", afterMs: 0 }));
    expect(error).toBeInstanceOf(RedisUnavailableError);
    expect(error).toMatchObject({ effect: "none" });
    await own.call("REPLICAOF", "NO", "ONE");
    await pollUntil("it takes writes", () => timer.schedule({ id: "b", afterMs: 0 }));
    await pollUntil("b fires", () => catcher.ids.includes("b"));
    await worker.stop({ graceMs: 1_000 });
  });

  it("Redis is out of memory: schedules are refused with nothing written, what is due still fires and is acknowledged (K3)", async () => {
    await using desk = new Desk();
    await using own = await RedisServer.start();
    const timer = desk.timer<string>(own.url, freshName());
    await timer.scheduleMany(many(50, 100).map((one) => ({ ...one, payload: "x".repeat(100) })));
    await own.call("CONFIG", "SET", "maxmemory", "1mb");
    const error = await failure(timer.schedule({ id: "new", afterMs: 0, payload: "y" }));
    expect(error).toBeInstanceOf(RedisUnavailableError);
    expect(error).toMatchObject({ reason: "OOM", effect: "none" });
    expect(await timer.get("new")).toBeNull();
    const catcher = new Catcher<string>();
    let failed = false;
    const worker = timer.worker({ pollMs: 50, backoff: { baseMs: 1, delayMaxMs: 1 } }, (firing) => {
      if (firing.id === "t7" && !failed) {
        failed = true;
        throw new Error("once");
      }
      catcher.handle(firing);
    });
    await worker.start();
    await catcher.caught(50);
    await worker.idle();
    expect((await timer.stats()).pending).toBe(0);
    expect(worker.counts()).toMatchObject({ fired: 50, retried: 1, stale: 0 });
    await own.call("CONFIG", "SET", "maxmemory", "0");
    await worker.stop({ graceMs: 1_000 });
  });

  it("Redis was flushed: the worker goes on, and says that the shard was founded anew", async () => {
    await using desk = new Desk();
    await using own = await RedisServer.start();
    const timer = desk.timer(own.url, freshName());
    const catcher = new Catcher();
    const worker = timer.worker({ pollMs: 50 }, catcher.handle);
    await worker.start();
    await timer.schedule({ id: "lost", afterMs: 60_000 });
    await own.call("FLUSHALL");
    await timer.schedule({ id: "kept", afterMs: 10 });
    await catcher.caught(1);
    expect(catcher.ids).toEqual(["kept"]);
    expect(desk.events.filter(({ type }) => type === "founded")).toHaveLength(2);
    await worker.stop({ graceMs: 1_000 });
  });

  it("Redis hangs: handlers are told before their lease ends, nothing is lost", async () => {
    await using desk = new Desk();
    await using own = await RedisServer.start();
    const timer = desk.timer(own.url, freshName(), { commandTimeoutMs: 200 });
    await timer.schedule({ id: "a", afterMs: 0 });
    const started = Promise.withResolvers<AbortSignal>();
    let runs = 0;
    const worker = timer.worker({ leaseMs: 400, pollMs: 50 }, async ({ signal }) => {
      runs += 1;
      if (runs > 1) return;
      started.resolve(signal);
      await new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error));
      });
    });
    await worker.start();
    const signal = await started.promise;
    own.pause();
    const begin = performance.now();
    await pollUntil("it is told", () => signal.aborted);
    expect(performance.now() - begin).toBeLessThan(1_400);
    own.resume();
    await pollUntil("it ran again", () => runs === 2);
    await worker.idle();
    expect((await timer.stats()).pending).toBe(0);
    await worker.stop({ graceMs: 1_000 });
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
    const { DurableTimer } = await import("@holdfast/timer");
    const redis = desk.redis(server.url, { username: "holdfast", password: "change-me" });
    await using timer = new DurableTimer<undefined>(redis, name, { onEvent: (event) => desk.events.push(event) });
    const catcher = new Catcher();
    const worker = timer.worker(
      { backoff: { baseMs: 1, delayMaxMs: 1 }, attemptsMax: 2, pollMs: 5_000, leaseMs: 150 },
      async (firing) => {
        if (firing.id === "bad") throw new Error("no");
        if (firing.id === "long") await delay(250);
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
    const { DurableTimer } = await import("@holdfast/timer");
    const redis = desk.redis(server.url, { username: "mute", password: "pw" });
    await using timer = new DurableTimer(redis, freshName());
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
    const { DurableTimer } = await import("@holdfast/timer");
    const redis = desk.redis(server.url, { username: "nobody", password: "pw" });
    await using timer = new DurableTimer(redis, freshName());
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

describe("the process", () => {
  it("a worker killed by SIGKILL in a handler: its timer fires elsewhere within the lease plus one poll (T2)", async () => {
    const name = freshName();
    await using desk = new Desk();
    const timer = desk.timer<{ hang?: boolean }>(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0, payload: { hang: true } });
    await using pod = await Pod.start(new URL("pods/replica.ts", import.meta.url), {
      env: { REDIS_URL: server.url, TIMER_NAME: name, LEASE_MS: "400" },
    });
    await pod.ready();
    await pod.request("start");
    await pollUntil("it runs there", async () => (await timer.get("a"))?.state === "firing");
    await pod.kill();
    const begin = performance.now();
    const catcher = new Catcher<{ hang?: boolean }>();
    const worker = timer.worker({ pollMs: 50, leaseMs: 400 }, catcher.handle);
    await worker.start();
    await catcher.caught(1);
    expect(performance.now() - begin).toBeLessThan(400 + 50 + 1_000);
    await worker.idle();
    await worker.stop({ graceMs: 1_000 });
  });

  it("a poison payload that kills its process is dead-lettered in the end, and others still fire (T6)", async () => {
    const name = freshName();
    await using desk = new Desk();
    const timer = desk.timer<{ crash?: boolean }>(server.url, name);
    await timer.schedule({ id: "poison", afterMs: 0, payload: { crash: true } });
    let crashes = 0;
    while ((await timer.stats()).dead === 0) {
      await using pod = await Pod.start(new URL("pods/replica.ts", import.meta.url), {
        env: { REDIS_URL: server.url, TIMER_NAME: name, LEASE_MS: "150" },
      });
      await pod.ready();
      await pod.request("start").catch(() => undefined);
      const ended = await Promise.race([
        pod.exited.then(() => true),
        pollUntil("it is dead", async () => (await timer.stats()).dead === 1).then(() => false),
      ]);
      if (ended) crashes += 1;
      expect(crashes).toBeLessThanOrEqual(4);
    }
    // The first crash leaves no trace; attemptsMax of 3 are on record.
    expect(crashes).toBe(4);
    expect((await timer.dead.list())[0]).toMatchObject({ id: "poison", attempts: 3 });
  });

  it("a SIGSTOP longer than the lease: the paused worker's late acknowledgement is refused and counted (T3)", async () => {
    const name = freshName();
    await using desk = new Desk();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const gate = new Gate();
    const started = new Gate();
    const paused = timer.worker({ leaseMs: 200, concurrencyMax: 1 }, async () => {
      started.open();
      await gate.opened;
    });
    await paused.start();
    await started.opened;
    const pod = await Pod.start(new URL("pods/replica.ts", import.meta.url), {
      env: { REDIS_URL: server.url, TIMER_NAME: name, LEASE_MS: "5000" },
    });
    await using _ = pod;
    await pod.ready();
    await pod.request("start");
    // This process stands still, as under SIGSTOP or a long garbage collection.
    const until = performance.now() + 1_000;
    while (performance.now() < until);
    const heard = (await pod.waitForMessage()) as { id: string };
    expect(heard.id).toBe("a");
    gate.open();
    await paused.idle();
    expect(paused.counts()).toMatchObject({ lost: expect.any(Number) as number, stale: 1 });
    await paused.stop({ graceMs: 0 });
  });

  it("setTimeout beyond 2^31 ms fires at once: a timer due in 100 days lets the worker sleep", async () => {
    await using desk = new Desk();
    const timer = desk.timer(server.url, freshName());
    await timer.schedule({ id: "far", afterMs: 100 * 86_400_000 });
    const worker = timer.worker({ pollMs: 60_000 }, () => undefined);
    await worker.start();
    await worker.idle();
    const before = (await server.call("INFO", "commandstats")) as string;
    await delay(200);
    const calls = (text: string): number => Number(/cmdstat_evalsha:calls=(\d+)/u.exec(text)?.[1] ?? 0);
    expect(calls((await server.call("INFO", "commandstats")) as string) - calls(before)).toBeLessThan(5);
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
