/**
 * Percentiles of durations over the last while. Node's own recordable histogram (HdrHistogram) holds them with two digits in a fixed
 * amount of memory; two of them take turns, so that what is read covers one to two periods.
 */
import { createHistogram } from "node:perf_hooks";
import type { RecordableHistogram } from "node:perf_hooks";

/** Percentiles in milliseconds; all 0 without samples. */
export interface Percentiles {
  /** How many durations they stand on: all, or of more than 10,000 a second a part. */
  readonly samples: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

const periodMs = 30_000;
/** More samples tell nothing new, and recording all of a hundred thousand a second would cost as much as the rest of each call. */
const samplesMax = 100;
const samplesMs = 10;
const range = { lowest: 1, highest: 86_400_000_000, figures: 2 };

/** Durations of the last 30 to 60 seconds: all of them up to 10,000 a second, above that the first ones of each hundredth. */
export class RecentDurations {
  #current: RecordableHistogram = createHistogram(range);
  #previous: RecordableHistogram = createHistogram(range);
  #periodEndMs: number;
  #roomUntilMs = -Infinity;
  #room = 0;

  constructor(nowMs: number) {
    this.#periodEndMs = nowMs + periodMs;
  }

  /** Adds a duration in milliseconds. */
  add(durationMs: number, nowMs: number): void {
    if (nowMs >= this.#roomUntilMs) {
      if (nowMs >= this.#periodEndMs) this.#turn(nowMs);
      this.#roomUntilMs = nowMs + samplesMs;
      this.#room = samplesMax;
    }
    if (this.#room === 0) return;
    this.#room -= 1;
    this.#current.record(Math.max(1, Math.round(durationMs * 1_000)));
  }

  /** What the last while looked like. */
  read(nowMs: number): Percentiles {
    if (nowMs >= this.#periodEndMs) this.#turn(nowMs);
    const both = createHistogram(range);
    both.add(this.#previous);
    both.add(this.#current);
    const atMs = (percentile: number): number => (both.count === 0 ? 0 : both.percentile(percentile) / 1_000);
    return { samples: both.count, p50Ms: atMs(50), p90Ms: atMs(90), p99Ms: atMs(99), maxMs: atMs(100) };
  }

  #turn(nowMs: number): void {
    const old = this.#previous;
    old.reset();
    this.#previous = this.#current;
    this.#current = old;
    if (nowMs >= this.#periodEndMs + periodMs) this.#previous.reset();
    this.#periodEndMs = nowMs + periodMs;
  }
}
