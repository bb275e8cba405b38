import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { Pod } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { Bulkhead } from "../src/index.ts";
import type { BulkheadOptions } from "../src/index.ts";
import { simulate } from "./simulation.ts";
import { epochMs, type StandStill, StandStills, stoodStillMs } from "./stand-stills.ts";

const adaptive: BulkheadOptions = { adaptive: { concurrencyMin: 4, concurrencyMax: 64 } };
const seeds = [1, 2, 3, 4, 5];

describe("80 → 380 ms at 100 calls per second and 12 permits, simulated", () => {
  it.each(["fifo", "lifo"] as const)(
    "%s: a merely slower dependency is followed, with three of four calls in time and the breaker closed",
    async (queue) => {
      for (const seed of seeds) {
        const run = await simulate(seed, { ...adaptive, queue }, "slower");
        expect(run.goodput, `seed ${seed}`).toBeGreaterThanOrEqual(0.75);
        expect(run.opened).toBe(0);
        expect(run.longestMs).toBeLessThanOrEqual(500);
      }
    },
  );

  it("a third of the load on a third of the permits is followed within seconds, also when the process pauses every second", async () => {
    const offered = { slowSeconds: 6, callsPerSecond: 33 };
    const options: BulkheadOptions = {
      concurrencyMax: 4,
      adaptive: { concurrencyMin: 2, concurrencyMax: 64 },
      queue: "lifo",
    };
    const paused: number[] = [];
    for (let seed = 1; seed <= 15; seed += 1) {
      const run = await simulate(seed, options, "slower", offered);
      expect(run.goodput, `seed ${seed}`).toBeGreaterThanOrEqual(0.65);
      const withPauses = await simulate(seed, options, "slower", { ...offered, pausesMs: 100 });
      expect(withPauses.goodput, `seed ${seed} with pauses`).toBeGreaterThanOrEqual(0.5);
      expect(withPauses.opened).toBe(0);
      paused.push(withPauses.goodput);
    }
    expect(paused.toSorted((a, b) => a - b)[7], "median").toBeGreaterThanOrEqual(0.65);
  });

  it("counter-test: with a fixed limit two of three calls are refused, though the breaker stays closed", async () => {
    const run = await simulate(1, {}, "slower");
    expect(run.goodput).toBeLessThan(0.35);
    expect(run.opened).toBe(0);
  });

  it.each(["fifo", "lifo"] as const)(
    "%s: a saturated dependency is not pushed further, and is used about as well as by the best fixed limit",
    async (queue) => {
      const shares: number[] = [];
      for (const seed of seeds) {
        const fixed = await Promise.all(
          [8, 12, 16].map((concurrencyMax) => simulate(seed, { concurrencyMax, queue }, "saturated")),
        );
        const run = await simulate(seed, { ...adaptive, queue }, "saturated");
        shares.push(run.goodput / Math.max(...fixed.map(({ goodput }) => goodput)));
        expect(run.opened).toBe(0);
      }
      // Each trial of a higher limit costs a moment, and now and then chance lets one pass.
      const ordered = shares.toSorted((a, b) => a - b);
      expect(ordered[0]).toBeGreaterThanOrEqual(0.85);
      expect(ordered[2]).toBeGreaterThanOrEqual(0.92);
    },
  );

  it("counter-test: sixteen permits for a dependency with twelve places are worse than twelve", async () => {
    const [twelve, sixteen] = await Promise.all(
      [12, 16].map((concurrencyMax) => simulate(1, { concurrencyMax }, "saturated")),
    );
    expect(sixteen?.goodput).toBeLessThan((twelve?.goodput ?? 0) * 0.7);
  });
});

interface Load {
  /** Calls that no stand-still has touched. */
  readonly offered: number;
  readonly goodput: number;
  readonly opened: number;
  readonly longestMs: number;
}

const deadlineMs = 500;

/** Calls the dependency over one connection; like most clients it does not stop what it has begun. */
async function connectTo(port: number): Promise<{ call(name: string): Promise<void>; close(): void }> {
  const socket = connect(port, "127.0.0.1");
  const open = new Map<string, () => void>();
  createInterface({ input: socket }).on("line", (id) => {
    open.get(id)?.();
    open.delete(id);
  });
  await once(socket, "connect");
  let last = 0;
  return {
    call: (name) =>
      new Promise((resolve) => {
        last += 1;
        open.set(String(last), resolve);
        socket.write(`${last} ${name}\n`);
      }),
    close: () => socket.destroy(),
  };
}

/** For so long before and after a stand-still a call says nothing about the bulkhead: the time of others is in it. */
const shadowMs = { before: 1_000, after: 3_000 };
const quickCalls = 300;
const slowCalls = 2_000;
const offeringMaxMs = 100_000;

/** 100 calls per second: 3 seconds at 80 ms, then 20 at 380, or as many more as the machine's stand-stills take. */
async function offer(dependency: Pod, port: number, name: string, options: BulkheadOptions): Promise<Load> {
  const client = await connectTo(port);
  using own = new StandStills();
  const openedAtMs: number[] = [];
  const calls: Promise<{ readonly startMs: number; readonly tookMs: number; readonly answered: boolean }>[] = [];
  const one = new Bulkhead(name, {
    concurrencyMax: 12,
    timeoutMs: deadlineMs,
    queue: "lifo",
    breaker: {},
    ...options,
    onEvent: (event) => {
      if (event.type === "breaker" && event.state === "open") openedAtMs.push(epochMs());
    },
  });
  const call = async (startMs: number) => {
    const answered = await one
      .run(() => client.call(name))
      .then(
        () => true,
        () => false,
      );
    return { startMs, tookMs: epochMs() - startMs, answered };
  };
  const beganMs = epochMs();
  let nextMs = beganMs;
  for (let index = 0; index < quickCalls + slowCalls && epochMs() - beganMs < offeringMaxMs;) {
    if (index === quickCalls) await dependency.request("slow", name);
    nextMs += 10;
    const leftMs = nextMs - epochMs();
    // Late ones are made up for; nobody calls while the machine stands still.
    if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs));
    else if (leftMs < -stoodStillMs) nextMs = epochMs();
    const running = call(epochMs());
    if (index >= quickCalls) calls.push(running);
    if (index < quickCalls || epochMs() - own.endedMs > shadowMs.after) index += 1;
  }
  const ended = await Promise.all(calls);
  client.close();
  const spans = [...own.spans, ...(await dependency.request<readonly StandStill[]>("stoodStill"))];
  const isDark = (atMs: number): boolean =>
    spans.some(({ fromMs, untilMs }) => atMs > fromMs - shadowMs.before && atMs < untilMs + shadowMs.after);
  const seen = ended.filter(({ startMs }) => !isDark(startMs));
  return {
    offered: seen.length,
    goodput: seen.filter(({ answered, tookMs }) => answered && tookMs <= deadlineMs).length / seen.length,
    opened: openedAtMs.filter((atMs) => !isDark(atMs)).length,
    longestMs: Math.max(...seen.map(({ tookMs }) => tookMs)),
  };
}

describe("80 → 380 ms, a dependency in a process of its own", () => {
  it("three of four calls are in time when it is merely slower, and hardly fewer than with the best fixed limit when it is saturated", async () => {
    await using dependency = await Pod.start(new URL("./dependency.pod.ts", import.meta.url));
    const { port } = await dependency.ready<{ port: number }>();
    const [slower, ample, saturated, fixed] = await Promise.all([
      offer(dependency, port, "slower", adaptive),
      offer(dependency, port, "slower-ample", { concurrencyMax: 64 }),
      offer(dependency, port, "saturated-adaptive", adaptive),
      offer(dependency, port, "saturated-fixed", {}),
    ]);
    for (const { offered } of [slower, ample, saturated, fixed]) expect(offered).toBeGreaterThan(slowCalls / 4);
    // What the machine can do at all shows in the load whose limit was right from the start: all calls in time, on an idle one.
    const possible = ample.goodput > 0.95 ? 1 : 0.8 * ample.goodput;
    expect(slower.goodput).toBeGreaterThanOrEqual(0.75 * possible);
    expect(slower.opened).toBe(0);
    // The timers of a busy machine are late.
    expect(slower.longestMs).toBeLessThan(1_000);
    expect(saturated.goodput).toBeGreaterThanOrEqual(0.7 * fixed.goodput);
  });
});
