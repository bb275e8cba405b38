/** The state of a bulkhead at one moment, and the sentence that an outage's engineers need. */
import type { Accounts } from "./accounts.ts";
import type { BreakerState } from "./breaker.ts";
import type { OutcomeCounts } from "./outcome.ts";
import type { Percentiles } from "./percentiles.ts";
import type { Permits } from "./permits.ts";

/** How many permits the present load needs. */
export interface PermitAdvice {
  readonly neededPermits: number;
  /** The 99th percentile of the time a call takes. */
  readonly becauseMs: number;
  /** Calls offered per second. */
  readonly perSecond: number;
  /** `at 100 calls/s and p99 380 ms you need 38 permits, you have 12` */
  readonly message: string;
}

/** The state of a bulkhead. */
export interface BulkheadSnapshot {
  readonly name: string;
  /** Work that holds a permit, zombies and probes included. */
  readonly inFlight: number;
  /** Work that goes on although its caller has given up; it keeps its permit. */
  readonly zombies: number;
  /** Work that goes on after its permit was taken from it. */
  readonly leaked: number;
  readonly queued: number;
  readonly limit: number;
  readonly state: BreakerState;
  /** Permits in use as a share of the limit, 0 to 1, or more while a lowered limit is not reached. */
  readonly utilisation: number;
  /** Calls so far, by outcome. */
  readonly outcomes: OutcomeCounts;
  /** Waiting times of the calls that had to wait. */
  readonly queueWait: Percentiles;
  /** Times from the dispatch to the real end of the work. */
  readonly latency: Percentiles;
  /** Null before the first answer. */
  readonly advice: PermitAdvice | null;
}

/** Reads the state. */
export function takeSnapshot(
  name: string,
  permits: Permits,
  accounts: Accounts,
  state: BreakerState,
): BulkheadSnapshot {
  const nowMs = permits.clock.monotonicMs();
  const latency = accounts.latencies(nowMs);
  const { inFlight, limit } = permits;
  return {
    name,
    inFlight: inFlight + permits.probes,
    zombies: accounts.zombies,
    leaked: accounts.leaked,
    queued: permits.queued,
    limit,
    state,
    utilisation: limit === 0 ? 0 : inFlight / limit,
    outcomes: { ...accounts.outcomes },
    queueWait: accounts.waits(nowMs),
    latency,
    advice: latency.samples === 0 ? null : adviceOf(accounts.perSecond(nowMs), latency.p99Ms, limit),
  };
}

/** Little's law: calls in flight = rate x time. */
function adviceOf(perSecond: number, becauseMs: number, limit: number): PermitAdvice {
  const neededPermits = Math.max(1, Math.ceil((perSecond * becauseMs) / 1_000));
  const rate = perSecond >= 10 ? Math.round(perSecond) : Number(perSecond.toFixed(1));
  const message = `at ${rate} calls/s and p99 ${Math.round(becauseMs)} ms you need ${neededPermits} permits, you have ${limit}`;
  return { neededPermits, becauseMs, perSecond, message };
}
