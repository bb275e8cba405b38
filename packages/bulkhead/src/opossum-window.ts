/**
 * opossum's own statistics sum and sort all samples of the window for each failure, and run two intervals. This status takes their
 * place: it counts in constant time and by the injected clock. opossum decides by it, and exporters read it.
 */
import CircuitBreaker from "opossum";
import { EventEmitter } from "node:events";
import type { Clock } from "@holdfast/core";
import { RollingCounts } from "./rolling-counts.ts";

const fires = 0;
const successes = 1;
const failures = 2;
const rejects = 3;
const slow = 4;
/** Calls that opossum has not heard of, each a fire and a success. */
const answers = 5;
const kinds = 6;

/** opossum's names for what it counts here; everything else does not happen. */
const numbers: Readonly<Record<string, number>> = { fires, successes, failures, rejects };

/** Rotation is ours, so opossum gets a source of rotations that never fires. */
const noRotation = new EventEmitter().setMaxListeners(0);

const settings = {
  rollingCountBuckets: 1,
  rollingCountTimeout: 10_000,
  rollingPercentilesEnabled: false,
  enableSnapshots: false,
  rotateBucketController: noRotation,
};

type StatusClass = new (options: object) => object;

/** opossum exports the class of its statistics only through an instance. */
const first = (
  CircuitBreaker as unknown as { newStatus(options: object): { constructor: unknown; shutdown(): void } }
).newStatus(settings);
first.shutdown();
const Status = first.constructor as StatusClass;

/** The statistics of one breaker. */
export class OpossumWindow extends Status {
  readonly #clock: Clock;
  readonly #counts: RollingCounts;

  constructor(clock: Clock, windowMs: number) {
    super(settings);
    this.#clock = clock;
    this.#counts = new RollingCounts(kinds, windowMs, clock.monotonicMs());
  }

  /** Called by opossum for its events. */
  increment(property: string): void {
    const number = numbers[property];
    if (number !== undefined) this.#counts.add(number, this.#clock.monotonicMs());
  }

  /** Counts an answer of the dependency without going through opossum. */
  succeeded(nowMs: number): void {
    this.#counts.add(answers, nowMs);
  }

  /** Counts that an answer was slow. */
  wasSlow(nowMs: number): void {
    this.#counts.add(slow, nowMs);
  }

  /** Counts a call that was refused. */
  refused(nowMs: number): void {
    this.#counts.add(rejects, nowMs);
  }

  /** Results in the window, and how many of them were slow. */
  slowness(nowMs: number): { readonly results: number; readonly slow: number } {
    const results = this.#counts.sum(fires, nowMs) + this.#counts.sum(answers, nowMs);
    return { results, slow: this.#counts.sum(slow, nowMs) };
  }

  /** Forgets what came before: a closed breaker starts afresh. */
  reset(nowMs: number): void {
    this.#counts.reset(nowMs);
  }

  /** What opossum and its exporters read. */
  get stats(): object {
    const nowMs = this.#clock.monotonicMs();
    const unheard = this.#counts.sum(answers, nowMs);
    return {
      fires: this.#counts.sum(fires, nowMs) + unheard,
      successes: this.#counts.sum(successes, nowMs) + unheard,
      failures: this.#counts.sum(failures, nowMs),
      rejects: this.#counts.sum(rejects, nowMs),
      fallbacks: 0,
      timeouts: 0,
      cacheHits: 0,
      cacheMisses: 0,
      coalesceCacheHits: 0,
      coalesceCacheMisses: 0,
      semaphoreRejections: 0,
      percentiles: {},
      latencyTimes: [],
      latencyMean: -1,
    };
  }
}
