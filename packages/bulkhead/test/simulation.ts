/** A dependency under a clock that is moved by hand: it answers in 80 ms, then in 380, and has room for everybody or for twelve. */
import { ManualClock, SeededRandom } from "@holdfast/testkit";
import { Bulkhead } from "../src/index.ts";
import type { BulkheadOptions } from "../src/index.ts";

/** What became of the calls offered in the slow phase. */
export interface SimulatedRun {
  /** Calls answered within their deadline, as a share of the calls offered. */
  readonly goodput: number;
  readonly opened: number;
  readonly longestMs: number;
  readonly limits: readonly number[];
}

/** What is offered, and how. */
export interface SimulatedLoad {
  readonly slowSeconds?: number;
  readonly callsPerSecond?: number;
  /** Nothing arrives during a pause of this length, once a second on average; it arrives when that is over. */
  readonly pausesMs?: number;
}

const deadlineMs = 500;
const workers = 12;
const slowMs = 380;
const quickMs = 80;

/** Offers calls at fixed times: 5 seconds of warming up, then a slow phase. */
export async function simulate(
  seed: number,
  options: BulkheadOptions,
  dependency: "slower" | "saturated",
  { slowSeconds = 20, callsPerSecond = 100, pausesMs = 0 }: SimulatedLoad = {},
): Promise<SimulatedRun> {
  const clock = new ManualClock();
  const random = new SeededRandom(seed);
  const waiting: (() => void)[] = [];
  let slow = false;
  let busy = 0;
  const pauseStartsMs = Array.from({ length: slowSeconds + 10 }, (_, second) => (second + random.unit()) * 1_000);
  const seenAtMs = (atMs: number): number => {
    const pauseMs = pauseStartsMs.find((startMs) => atMs >= startMs && atMs < startMs + pausesMs);
    return pauseMs === undefined ? atMs : pauseMs + pausesMs;
  };
  const wait = (ms: number): Promise<void> => {
    const nowMs = clock.monotonicMs();
    return new Promise((resolve) => void clock.setTimer(resolve, seenAtMs(nowMs + ms) - nowMs));
  };
  const answer = async (): Promise<void> => {
    const durationMs = (slow ? slowMs : quickMs) * (0.9 + 0.2 * random.unit());
    if (!slow || dependency === "slower") return wait(durationMs);
    if (busy >= workers) await new Promise<void>((resolve) => waiting.push(resolve));
    busy += 1;
    await wait(durationMs);
    busy -= 1;
    waiting.shift()?.();
  };
  let opened = 0;
  const limits: number[] = [];
  const one = new Bulkhead("payments", {
    concurrencyMax: 12,
    timeoutMs: deadlineMs,
    breaker: {},
    clock,
    ...options,
    onEvent: (event) => {
      if (event.type === "breaker" && event.state === "open") opened += 1;
      if (event.type === "limit") limits.push(event.limit);
    },
  });
  let offered = 0;
  let good = 0;
  let longestMs = 0;
  const call = (): void => {
    const counts = slow;
    const startMs = clock.monotonicMs();
    if (counts) offered += 1;
    const ended = (answered: boolean): void => {
      const tookMs = clock.monotonicMs() - startMs;
      if (counts && answered && tookMs <= deadlineMs) good += 1;
      longestMs = Math.max(longestMs, tookMs);
    };
    void one.run(answer).then(
      () => ended(true),
      () => ended(false),
    );
  };
  const offer = async (seconds: number): Promise<void> => {
    for (let index = 0; index < seconds * callsPerSecond; index += 1) {
      call();
      await clock.advance(1_000 / callsPerSecond);
    }
  };
  await offer(5);
  slow = true;
  await offer(slowSeconds);
  await clock.advance(1_000);
  return { goodput: good / offered, opened, longestMs, limits };
}
