/** Options of a bulkhead, complete and checked; the caller's objects are never changed. */
import {
  callback,
  integer,
  integerOr,
  oneOf,
  optionsObject,
  resolveBackoff,
  systemClock,
  systemRandom,
  text,
} from "@holdfast/core";
import type { Backoff, BackoffOptions, Clock, Random } from "@holdfast/core";
import type { BulkheadEvent } from "./events.ts";
import type { Classify } from "./outcome.ts";
import type { SharedBreaker } from "./shared-breaker.ts";
import type { RetryWhen } from "./worth-retrying.ts";

/** The circuit breaker of a bulkhead. */
export interface BreakerOptions {
  /** Opens at this share of failures in the window; 1 to 100. Default 50. */
  readonly failurePercent?: number | undefined;
  /** An answer that takes this long is slow, in milliseconds. Default: no answer is. */
  readonly slowCallMs?: number | undefined;
  /** Opens at this share of slow answers; 1 to 100. Default: never for slowness. */
  readonly slowPercent?: number | undefined;
  /** Fewer results in the window than this decide nothing. Default 20. */
  readonly callsMin?: number | undefined;
  /** Length of the window in milliseconds. Default 10,000. */
  readonly windowMs?: number | undefined;
  /** How long it stays open, in milliseconds. Default 5,000. */
  readonly openMs?: number | undefined;
  /** Calls that are let through half-open, and must all succeed. Default 1. */
  readonly probes?: number | undefined;
  /**
   * A timeout speaks against the dependency when the call had run for so long, in milliseconds. Default: the lower of twice the
   * median and nine tenths of `timeoutMs`, since a call that waited for an instant has less than all of it.
   */
  readonly conclusiveAfterMs?: number | undefined;
  /** Shares the state with other processes. */
  readonly shared?: SharedBreaker | undefined;
}

/** Retries within the deadline of the call, each with a permit of its own. */
export interface RetryOptions {
  /** Attempts in all, 2 to 100. Default 3. */
  readonly attemptsMax?: number | undefined;
  /** The wait before each further attempt. Default: 50 ms doubling up to 2,000 ms, half of it left to chance. */
  readonly backoff?: BackoffOptions | undefined;
  /** Retries may be this share of the calls; 1 to 100. Default 10. */
  readonly budgetPercent?: number | undefined;
  /**
   * Takes the place of the rule that decides what is worth another attempt. Default `worthRetrying`: what is known to have had no effect,
   * and answers that may be repeated; never an unknown outcome, nor an error that says nothing of its effect. What it throws becomes a
   * warning of the process, and nothing is repeated then.
   */
  readonly when?: RetryWhen | undefined;
}

/** Options of a bulkhead. */
export interface BulkheadOptions {
  /** Calls in flight, 1 to 1,000,000. Default 10. With `adaptive` where it starts. */
  readonly concurrencyMax?: number | undefined;
  /** Waiting calls, 0 to 10,000,000. Default 100. */
  readonly queueMax?: number | undefined;
  /** Who is next: the call that has waited longest, or shortest. Default `"fifo"`. A full LIFO queue refuses its oldest call. */
  readonly queue?: "fifo" | "lifo" | undefined;
  /** Time for a call, waiting and retries included, in milliseconds, 1 to 86,400,000. Default 10,000. */
  readonly timeoutMs?: number | undefined;
  /** Lets the limit follow the dependency. Default: it is fixed. */
  readonly adaptive?:
    | { readonly concurrencyMin?: number | undefined; readonly concurrencyMax?: number | undefined }
    | undefined;
  /** Default: no breaker. */
  readonly breaker?: BreakerOptions | undefined;
  /** Default: no retries. */
  readonly retry?: RetryOptions | undefined;
  /** What a result says about the dependency. Default: an error is a failure, a value a success. */
  readonly classify?: Classify | undefined;
  /** How long work may keep its permit after its caller has given up, in milliseconds, 1 to 86,400,000. Default 60,000. */
  readonly zombieMaxMs?: number | undefined;
  /** Local time. Default the system's. */
  readonly clock?: Clock | undefined;
  /** Jitter. Default the system's. */
  readonly random?: Random | undefined;
  /** Called with each event of this instance. */
  readonly onEvent?: ((event: BulkheadEvent) => void) | undefined;
}

/** Breaker options, complete and checked. */
export interface ResolvedBreakerOptions {
  readonly failurePercent: number;
  /** Infinity when no answer is slow. */
  readonly slowCallMs: number;
  readonly slowPercent: number | undefined;
  readonly callsMin: number;
  readonly windowMs: number;
  readonly openMs: number;
  readonly probes: number;
  readonly conclusiveAfterMs: number | undefined;
  readonly shared: SharedBreaker | undefined;
}

/** Retry options, complete and checked. */
export interface ResolvedRetryOptions {
  readonly attemptsMax: number;
  readonly backoff: Backoff;
  readonly budgetPercent: number;
  readonly when: RetryWhen | undefined;
}

/** Bulkhead options, complete and checked. */
export interface ResolvedBulkheadOptions {
  readonly name: string;
  readonly concurrencyMax: number;
  readonly queueMax: number;
  readonly queue: "fifo" | "lifo";
  readonly timeoutMs: number;
  readonly adaptive: { readonly concurrencyMin: number; readonly concurrencyMax: number } | undefined;
  readonly breaker: ResolvedBreakerOptions | undefined;
  readonly retry: ResolvedRetryOptions | undefined;
  readonly classify: Classify | undefined;
  readonly zombieMaxMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly onEvent: ((event: BulkheadEvent) => void) | undefined;
}

const durationRangeMs = { min: 1, max: 86_400_000 };
const percentRange = { min: 1, max: 100 };
const concurrencyRange = { min: 1, max: 1_000_000 };

/** Milliseconds. @throws TypeError, RangeError */
export function durationMs(field: string, value: unknown): number {
  return integer(field, value, durationRangeMs);
}

function optionalDurationMs(field: string, value: unknown): number | undefined {
  return value === undefined ? undefined : durationMs(field, value);
}

/**
 * For what processes share: no call waits for what they tell Redis, so nobody could hear that too few replicas have it (decision 094).
 * @throws TypeError for whoever passes it by a cast or in an object of more options
 */
export function noDurability(options: object): void {
  const { durability } = options as { readonly durability?: unknown };
  if (durability === undefined) return;
  throw new TypeError(`durability must be left out: no call waits for what processes share, got ${typeof durability}`);
}

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveBulkheadOptions(name: string, options: BulkheadOptions): ResolvedBulkheadOptions {
  optionsObject("options", options);
  if (options.classify !== undefined) callback("classify", options.classify);
  if (options.onEvent !== undefined) callback("onEvent", options.onEvent);
  const concurrencyMax = integerOr(10, "concurrencyMax", options.concurrencyMax, concurrencyRange);
  return {
    name: text("name", name),
    concurrencyMax,
    queueMax: integerOr(100, "queueMax", options.queueMax, { min: 0, max: 10_000_000 }),
    queue: options.queue === undefined ? "fifo" : oneOf("queue", options.queue, ["fifo", "lifo"]),
    timeoutMs: integerOr(10_000, "timeoutMs", options.timeoutMs, durationRangeMs),
    adaptive: resolveAdaptive(options.adaptive, concurrencyMax),
    breaker: options.breaker === undefined ? undefined : resolveBreakerOptions(options.breaker),
    retry: options.retry === undefined ? undefined : resolveRetryOptions(options.retry),
    classify: options.classify,
    zombieMaxMs: integerOr(60_000, "zombieMaxMs", options.zombieMaxMs, durationRangeMs),
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    onEvent: options.onEvent,
  };
}

function resolveAdaptive(adaptive: BulkheadOptions["adaptive"], start: number): ResolvedBulkheadOptions["adaptive"] {
  if (adaptive === undefined) return undefined;
  optionsObject("adaptive", adaptive);
  const concurrencyMin = integerOr(1, "adaptive.concurrencyMin", adaptive.concurrencyMin, concurrencyRange);
  const concurrencyMax = integerOr(start * 10, "adaptive.concurrencyMax", adaptive.concurrencyMax, concurrencyRange);
  if (concurrencyMin > start || concurrencyMax < start) {
    throw new RangeError(
      `adaptive must allow the concurrencyMax ${start} that it starts with, got ${concurrencyMin} to ${concurrencyMax}`,
    );
  }
  return { concurrencyMin, concurrencyMax };
}

function resolveBreakerOptions(breaker: BreakerOptions): ResolvedBreakerOptions {
  optionsObject("breaker", breaker);
  const slowCallMs = optionalDurationMs("breaker.slowCallMs", breaker.slowCallMs);
  const { slowPercent } = breaker;
  if (slowPercent !== undefined) {
    integer("breaker.slowPercent", slowPercent, percentRange);
    if (slowCallMs === undefined) throw new RangeError("breaker.slowPercent needs breaker.slowCallMs, got undefined");
  }
  return {
    failurePercent: integerOr(50, "breaker.failurePercent", breaker.failurePercent, percentRange),
    slowCallMs: slowCallMs ?? Infinity,
    slowPercent,
    callsMin: integerOr(20, "breaker.callsMin", breaker.callsMin, { min: 1, max: 1_000_000 }),
    windowMs: integerOr(10_000, "breaker.windowMs", breaker.windowMs, { min: 10, max: 3_600_000 }),
    openMs: integerOr(5_000, "breaker.openMs", breaker.openMs, durationRangeMs),
    probes: integerOr(1, "breaker.probes", breaker.probes, { min: 1, max: 1_000 }),
    conclusiveAfterMs: optionalDurationMs("breaker.conclusiveAfterMs", breaker.conclusiveAfterMs),
    shared: breaker.shared,
  };
}

function resolveRetryOptions(retry: RetryOptions): ResolvedRetryOptions {
  optionsObject("retry", retry);
  if (retry.when !== undefined) callback("retry.when", retry.when);
  return {
    attemptsMax: integerOr(3, "retry.attemptsMax", retry.attemptsMax, { min: 2, max: 100 }),
    backoff: resolveBackoff(retry.backoff, { baseMs: 50, delayMaxMs: 2_000 }),
    budgetPercent: integerOr(10, "retry.budgetPercent", retry.budgetPercent, percentRange),
    when: retry.when,
  };
}
