/** Redis is down, read-only, out of memory, flushed, hung; processes die or stand still. */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Pod, pollUntil, RedisServer, Stopwatch } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RedisRefusedError, RedisUnavailableError } from "@holdfast/core";
import { settle } from "../src/scripts.generated.ts";
import { Catcher, Desk, failure, freshName, Gate, many } from "./client.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

describe("Redis fails and comes back", () => {
  it("Redis is down: typed error without effect within the timeout; the worker says so, comes back by itself and fires what AOF kept", async () => {
    await using desk = new Desk();
    await using own = await RedisServer.start({ aof: "always" });
    const name = freshName();
    const patient = desk.timer(own.url, name);
    await patient.stats();
    const timer = desk.timer(own.url, name, { commandTimeoutMs: 300 });
    const catcher = new Catcher();
    const worker = timer.worker({ pollMs: 50 }, catcher.handle);
    await worker.start();
    await pollUntil("it is opened in time", () => timer.stats());
    await patient.scheduleMany(many(20, 400));
    await own.kill();
    using watch = Stopwatch.start();
    const error = await failure(timer.schedule({ id: "x", afterMs: 0 }));
    expect(watch.ranMs).toBeLessThan(1_500);
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

  it(
    "T2 the success of a handler that ran for more than two leases is told for as long as its lease stands, however often it is refused",
    { timeout: 30_000 },
    async () => {
      await using desk = new Desk();
      const redis = desk.redis(server.url);
      const call = redis.call.bind(redis) as (command: string, args: unknown[]) => Promise<unknown>;
      let refusals = 0;
      const refusing = async (command: string, args: unknown[]): Promise<unknown> => {
        if (args[0] !== settle.sha1 || refusals === 6) return call(command, args);
        refusals += 1;
        const refusal = new Error("READONLY You can't write against a read only replica.");
        throw Object.assign(refusal, { name: "ReplyError" });
      };
      const timer = desk.timerOn(Object.assign(redis, { call: refusing }), freshName());
      let runs = 0;
      const leaseMs = 3_000;
      const worker = timer.worker({ leaseMs, attemptsMax: 1, pollMs: 50 }, async () => {
        runs += 1;
        await delay(leaseMs * 2 + 50);
      });
      await worker.start();
      await timer.schedule({ id: "a", afterMs: 0 });
      await pollUntil("it has ended", async () => worker.counts().fired === 1 && (await timer.get("a")) === null, {
        timeoutMs: 20_000,
      });
      expect([runs, refusals]).toEqual([1, 6]);
      expect(await timer.stats()).toMatchObject({ pending: 0, dead: 0 });
      expect(worker.counts()).toMatchObject({ lost: 0, lapsed: 0, dead: 0 });
      await worker.stop({ graceMs: 1_000 });
    },
  );

  it("Redis is read-only: typed error; the worker comes back when it is a master again", async () => {
    await using desk = new Desk();
    await using own = await RedisServer.start();
    await using master = await RedisServer.start();
    const timer = desk.timer(own.url, freshName());
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

  it("Redis is too old, a command is missing: typed error, nothing half-written; the worker comes back when it was upgraded", async () => {
    await using desk = new Desk();
    // ZRANGE is what a Redis before 6.2 has in a form that the scripts do not know.
    const missing = { "rename-command": 'ZRANGE ""' };
    await using own = await RedisServer.start({ aof: "always", config: missing });
    const name = freshName();
    const timer = desk.timer(own.url, name);
    const catcher = new Catcher();
    const worker = timer.worker({ pollMs: 50 }, catcher.handle);
    await worker.start();
    using watch = Stopwatch.start();
    const error = await failure(timer.schedule({ id: "a", afterMs: 0 }));
    expect(watch.ranMs).toBeLessThan(1_500);
    expect(error).toBeInstanceOf(RedisRefusedError);
    expect(error).toMatchObject({ reason: "ERR", effect: "possible" });
    expect(await own.call("KEYS", "*")).toEqual([`holdfast:{timer:${name}}:state`]);
    await pollUntil("the worker says so", () => desk.events.some(({ type }) => type === "trouble"));
    const configuration = join(own.directory, "redis.conf");
    const lines = (await readFile(configuration, "utf8")).split("\n");
    await writeFile(configuration, lines.filter((line) => !line.startsWith("rename-command")).join("\n"));
    await own.restart();
    await pollUntil("it takes timers", () => timer.schedule({ id: "b", afterMs: 0 }).catch(() => undefined));
    await catcher.caught(1);
    await worker.idle();
    expect(catcher.ids).toEqual(["b"]);
    expect(desk.events.some(({ type }) => type === "recovered")).toBe(true);
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

  it("Redis refuses writes since it could not save: typed error, nothing half-written; the worker says so and goes on by itself", async () => {
    await using desk = new Desk();
    await using own = await RedisServer.start({ config: { save: "3600 1000000" } });
    const name = freshName();
    const timer = desk.timer(own.url, name);
    const catcher = new Catcher();
    const worker = timer.worker({ pollMs: 50 }, catcher.handle);
    await worker.start();
    await timer.schedule({ id: "due meanwhile", afterMs: 10_000 });
    const [, directory = ""] = (await own.call("CONFIG", "GET", "dir")) as string[];
    const [, file = ""] = (await own.call("CONFIG", "GET", "dbfilename")) as string[];
    const save = (status: "ok" | "err"): Promise<unknown> =>
      pollUntil(`the last save was ${status}`, async () => {
        await own.call("BGSAVE").catch(() => undefined);
        return new RegExp(`rdb_last_bgsave_status:${status}`).test(String(await own.call("INFO", "persistence")));
      });
    // A directory in the place of the dump, which it cannot replace.
    await mkdir(join(directory, file, "in the way"), { recursive: true });
    await save("err");
    const before = await own.call("DEBUG", "DIGEST").catch(() => own.call("DBSIZE"));
    const error = await failure(timer.schedule({ id: "new", afterMs: 0 }));
    expect(error).toBeInstanceOf(RedisUnavailableError);
    expect(error).toMatchObject({ reason: "MISCONF", effect: "none" });
    await pollUntil("the worker says so", () => desk.events.some(({ type }) => type === "trouble"));
    expect(await own.call("DEBUG", "DIGEST").catch(() => own.call("DBSIZE"))).toBe(before);
    expect(catcher.firings).toHaveLength(0);
    await rm(join(directory, file), { recursive: true });
    await save("ok");
    await catcher.caught(1);
    expect(catcher.ids).toEqual(["due meanwhile"]);
    await pollUntil("it says that it is over", () => desk.events.some(({ type }) => type === "recovered"));
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
    await pollUntil("it is scheduled in time", () => timer.schedule({ id: "a", afterMs: 0 }));
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
    using watch = Stopwatch.start();
    await pollUntil("it is told", () => signal.aborted);
    expect(watch.ranMs).toBeLessThan(1_400);
    own.resume();
    await pollUntil("it ran again", () => runs >= 2);
    await worker.idle();
    expect((await pollUntil("an answer is in time", () => timer.stats())).pending).toBe(0);
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
    using watch = Stopwatch.start();
    const catcher = new Catcher<{ hang?: boolean }>();
    const worker = timer.worker({ pollMs: 50, leaseMs: 400 }, catcher.handle);
    await worker.start();
    await catcher.caught(1);
    expect(watch.ranMs).toBeLessThan(400 + 50 + 1_000);
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
