/**
 * Two hundred keys under concurrent duplicates, pauses, kills and lost replies, on real processes. A resource outside keeps every entry.
 * Chance comes from a seed, which is printed: `HOLDFAST_SEED=… pnpm exec vitest run packages/idempotency/test/random.test.ts` repeats the plan
 * (processes still race as they like).
 */
import { setTimeout as delay } from "node:timers/promises";
import { FaultProxy, Pod, pollUntil, RedisServer, SeededRandom, Stopwatch } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { Idempotency } from "../src/index.ts";
import { all } from "./fixture.ts";
import type { RunOrder, RunReport } from "./worker.pod.ts";

const runsPlanned = 200;
const poolSize = 3;
const rivals = 4;
const file = new URL("worker.pod.ts", import.meta.url);

/** `mute`: every reply is lost for a while, so that no repetition helps. */
type Fault = "none" | "lost claim" | "lost complete" | "pause" | "kill" | "cut" | "mute";
/** More than half of all runs have a fault. */
const faults: readonly Fault[] = [
  "none",
  "none",
  "none",
  "none",
  "none",
  "lost claim",
  "lost complete",
  "lost complete",
  "pause",
  "kill",
  "cut",
  "mute",
];

interface Worker {
  readonly pod: Pod;
  readonly proxy: FaultProxy;
}

/** Whoever stands still for longer may lose a lease, or take an answer for lost, without a fault of ours. */
const stoodStillMaxMs = 40;

class Fleet {
  readonly workers: Worker[] = [];
  readonly #server: RedisServer;
  readonly #env: Readonly<Record<string, string>>;
  readonly #stoodStillMs = new Map<Pod, number>();
  readonly #watch = Stopwatch.start();
  #ownMs = 0;
  #spare: Promise<Worker> | undefined;

  constructor(server: RedisServer, env: Readonly<Record<string, string>>) {
    this.#server = server;
    this.#env = env;
  }

  async add(): Promise<void> {
    this.workers.push(await (this.#spare ?? this.#start()));
    // The next one starts meanwhile, so that a kill costs no time.
    this.#spare = this.#start();
    this.#spare.catch(() => undefined);
  }

  async replace(worker: Worker): Promise<void> {
    await worker.pod.kill();
    await worker.proxy.close();
    this.workers.splice(this.workers.indexOf(worker), 1);
    await this.add();
  }

  /** Whether this process, or one of the workers, stood still since the last question, apart from one that was told to. */
  async stoodStill(paused: Worker | undefined): Promise<boolean> {
    const ownMs = this.#watch.elapsedMs - this.#watch.ranMs;
    let longestMs = ownMs - this.#ownMs;
    this.#ownMs = ownMs;
    for (const worker of this.workers) {
      const { pod } = worker;
      const nowMs = await pod.request<number>("stoodStillMs");
      if (worker !== paused) longestMs = Math.max(longestMs, nowMs - (this.#stoodStillMs.get(pod) ?? nowMs));
      this.#stoodStillMs.set(pod, nowMs);
    }
    return longestMs > stoodStillMaxMs;
  }

  async close(): Promise<void> {
    this.#watch[Symbol.dispose]();
    const spare = await this.#spare;
    for (const { pod, proxy } of spare === undefined ? this.workers : [...this.workers, spare]) {
      await pod.kill();
      await proxy.close();
    }
  }

  async #start(): Promise<Worker> {
    const proxy = await FaultProxy.start(this.#server);
    const pod = await Pod.start(file, { env: { ...this.#env, REDIS_PORT: String(proxy.port) } });
    await pod.ready({ timeoutMs: 30_000 });
    return { pod, proxy };
  }
}

describe("random faults on real processes", () => {
  it("I1 I2 I8 I9 200 runs: at most one fenced effect per key, equal answers, and no more unknown outcomes than faults", async () => {
    const seed = process.env["HOLDFAST_SEED"] ?? String(Date.now());
    console.log(`seed ${seed}`);
    const random = new SeededRandom(seed);
    await using server = await RedisServer.start();
    await using resource = await RedisServer.start();
    const name = "random";
    const fleet = new Fleet(server, { NAME: name, RESOURCE_PORT: String(resource.port) });
    const accounts = new Redis(resource.url);
    const redis = new Redis(server.url);
    // It asks for all keys at once, which on a slow machine takes longer than the workers' lease.
    const judge = new Idempotency(redis, name, { leaseMs: 60_000, commandTimeoutMs: 60_000 });
    const reports: RunReport[] = [];
    const done: Record<Fault, number> = {
      none: 0,
      "lost claim": 0,
      "lost complete": 0,
      pause: 0,
      kill: 0,
      cut: 0,
      mute: 0,
    };
    /** Of the runs in which nobody stood still by himself. */
    const unknowns: { key: string; fault: Fault; count: number }[] = [];
    try {
      for (let index = 0; index < poolSize; index += 1) await fleet.add();

      const oneRun = async (run: number, victim: Worker, others: readonly Worker[]): Promise<void> => {
        const fault = random.pick(faults);
        const key = `k${run}`;
        const order = (call: number): RunOrder => ({
          call: `${run}.${call}`,
          key,
          workMs: random.int(0, 40),
          waitMs: random.int(0, 1) * 1_500,
          fails: random.chance(0.1),
        });
        const ask = (worker: Worker, call: number): Promise<RunReport | undefined> =>
          // A killed pod answers nothing, and its caller hears nothing.
          worker.pod.request<RunReport>("run", order(call), 20_000).catch(() => undefined);
        const rule =
          fault === "lost claim" || fault === "lost complete"
            ? victim.proxy.swallowReply((words) => words.includes(fault === "lost claim" ? "recover" : "completed"))
            : undefined;
        const calls = [ask(victim, 0)];
        // The victim is mostly the first, or its fault would seldom meet an attempt.
        await delay(random.int(0, 8));
        for (let call = 1; call <= rivals; call += 1) calls.push(ask(random.pick(others), call));
        await delay(random.int(0, 30));
        if (fault === "pause") {
          victim.pod.pause();
          await delay(random.int(350, 500));
          victim.pod.resume();
        } else if (fault === "mute") {
          victim.proxy.blackhole("down");
          await delay(750);
          await victim.proxy.heal({ held: "drop" });
        } else if (fault === "cut") {
          victim.proxy.reset();
        } else if (fault === "kill") {
          await fleet.replace(victim);
        }
        const answers = (await Promise.all(calls)).filter((report) => report !== undefined);
        rule?.cancel();
        const hit = fault === "none" || rule === undefined || rule.hits > 0;
        done[hit ? fault : "none"] += 1;
        reports.push(...answers);
        const count = answers.filter(({ outcome }) => outcome === "unknown").length;
        if (!(await fleet.stoodStill(fault === "pause" ? victim : undefined))) unknowns.push({ key, fault, count });
      };

      for (let run = 0; run < runsPlanned; run += 1) {
        const victim = random.pick(fleet.workers);
        await oneRun(
          run,
          victim,
          fleet.workers.filter((worker) => worker !== victim),
        );
      }

      // Every key comes to an answer in the end, by a caller that retries.
      const keys = Array.from({ length: runsPlanned }, (_, run) => `k${run}`);
      const finals = await Promise.all(
        keys.map(async (key) => {
          const { value } = await judge.run<string>(key, { waitMs: 120_000, fingerprint: { key } }, (attempt) => {
            // An attempt that ended without an outcome: what it may have booked has this name.
            return `effect of ${attempt.downstreamKey}`;
          });
          return { key, value };
        }),
      );

      const entries = await Promise.all(keys.map((key) => accounts.lrange(`entries:${key}`, 0, -1)));
      const answered = reports.filter(({ outcome }) => outcome === "answered");
      for (const [index, { key, value }] of finals.entries()) {
        expect(entries[index]?.length, `entries of ${key}`).toBeLessThanOrEqual(1);
        const values = answered.filter((report) => report.key === key).map((report) => report.value);
        expect(new Set([...values, ...(entries[index] ?? []), value]).size, `answers of ${key}`).toBe(1);
        // Whoever heard an answer can rely on its effect.
        if (values.length > 0) expect(entries[index], `entries of ${key}`).toHaveLength(1);
      }
      const accepted = entries.flat();

      // No unknown outcome without a fault, at most one with one.
      expect(unknowns.length).toBeGreaterThanOrEqual(20);
      for (const { key, fault, count } of unknowns)
        expect({ key, fault, count }).toSatisfy((seen: { count: number }) => seen.count <= (fault === "none" ? 0 : 1));
      expect(await all(judge.stuck({ olderThanMs: 0 }))).toEqual([]);

      // Neither an idle nor an all-unknown run passes.
      const count = (outcome: RunReport["outcome"]): number =>
        reports.filter((report) => report.outcome === outcome).length;
      console.log(
        JSON.stringify({
          done,
          answered: answered.length,
          replayed: answered.filter(({ replayed }) => replayed === true).length,
          unknown: count("unknown"),
          superseded: count("superseded"),
          busy: count("busy"),
          failed: count("failed"),
          unreachable: count("unreachable"),
          entries: accepted.length,
        }),
      );
      expect(answered.length).toBeGreaterThanOrEqual(400);
      expect(answered.filter(({ replayed }) => replayed === true).length).toBeGreaterThanOrEqual(150);
      expect(accepted.length).toBeGreaterThanOrEqual(150);
      for (const fault of ["lost claim", "lost complete", "pause", "kill", "cut", "mute"] as const)
        expect({ fault, times: done[fault] }).toSatisfy(({ times }: { times: number }) => times >= 3);
      expect(count("failed")).toBeGreaterThanOrEqual(10);
      expect(count("unknown")).toBeGreaterThanOrEqual(1);
      const clear = unknowns.reduce((sum, each) => sum + each.count, 0);
      expect(clear).toBeLessThanOrEqual(runsPlanned - done.none);
    } finally {
      await judge.close();
      redis.disconnect();
      accounts.disconnect();
      await fleet.close();
    }
  }, 600_000);

  it("counter-test: with SET NX and a time limit the same pause lets two effects through, and the results differ", async () => {
    await using server = await RedisServer.start();
    const redis = new Redis(server.url);
    const effects: string[] = [];
    const claimed = Promise.withResolvers<void>();
    const pause = Promise.withResolvers<void>();
    const naive = async (worker: string, work: () => Promise<void>): Promise<void> => {
      if ((await redis.set("k", worker, "PX", 100, "NX")) === null) return;
      await work();
      effects.push(worker);
      await redis.set("result", worker);
    };
    const paused = naive("paused", async () => {
      claimed.resolve();
      await pause.promise;
    });
    await claimed.promise;
    await pollUntil("its time is over", async () => (await redis.exists("k")) === 0);
    await naive("second", async () => undefined);
    expect(await redis.get("result")).toBe("second");
    pause.resolve();
    await paused;
    expect(effects).toEqual(["second", "paused"]);
    expect(await redis.get("result")).toBe("paused");
    redis.disconnect();
  });
});
