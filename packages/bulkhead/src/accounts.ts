/** What a bulkhead has seen: outcomes, times, the offered rate. Counting only; nothing here decides. */
import type { EventSink } from "@holdfast/core";
import type { BulkheadEvent } from "./events.ts";
import { noOutcomes } from "./outcome.ts";
import type { Outcome } from "./outcome.ts";
import { RecentDurations } from "./percentiles.ts";
import type { Percentiles } from "./percentiles.ts";
import { RollingCounts } from "./rolling-counts.ts";

const rateWindowMs = 10_000;
/** The only counter of the arrivals. */
const calls = 0;

/** The books of one bulkhead. */
export class Accounts {
  readonly outcomes: Record<Outcome, number> = noOutcomes();
  zombies = 0;
  leaked = 0;
  readonly #name: string;
  readonly #events: EventSink<BulkheadEvent>;
  readonly #arrivals: RollingCounts;
  readonly #waits: RecentDurations;
  readonly #latencies: RecentDurations;

  constructor(name: string, events: EventSink<BulkheadEvent>, nowMs: number) {
    this.#name = name;
    this.#events = events;
    this.#arrivals = new RollingCounts(1, rateWindowMs, nowMs);
    this.#waits = new RecentDurations(nowMs);
    this.#latencies = new RecentDurations(nowMs);
  }

  /** A call was offered. */
  arrived(nowMs: number): void {
    this.#arrivals.add(calls, nowMs);
  }

  /** Calls offered per second lately. */
  perSecond(nowMs: number): number {
    return (this.#arrivals.sum(calls, nowMs) * 1_000) / this.#arrivals.coveredMs(nowMs);
  }

  /** A call got its permit after so many milliseconds. */
  waited(waitMs: number, nowMs: number): void {
    this.#waits.add(waitMs, nowMs);
  }

  /** Work has settled after so many milliseconds. */
  ran(durationMs: number, nowMs: number): void {
    this.#latencies.add(durationMs, nowMs);
  }

  /** A call has ended for its caller. */
  ended(outcome: Outcome, waitMs: number, runMs: number): void {
    this.outcomes[outcome] += 1;
    if (this.#events.active) this.#tell(outcome, waitMs, runMs);
  }

  /** Waiting times of calls that were dispatched. */
  waits(nowMs: number): Percentiles {
    return this.#waits.read(nowMs);
  }

  /** Times from dispatch to the real end of the work. */
  latencies(nowMs: number): Percentiles {
    return this.#latencies.read(nowMs);
  }

  #tell(outcome: Outcome, waitMs: number, runMs: number): void {
    this.#events.emit(() => ({ type: "call", bulkhead: this.#name, outcome, waitMs, runMs }));
  }
}
