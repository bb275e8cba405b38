/** Options of the transactions, complete and checked at the call. */
import {
  integerOr,
  oneOf,
  optionsObject,
  resolveBackoff,
  resolveCommonOptions,
  signal,
  systemClock,
  systemRandom,
} from "@holdfast/core";
import type { Backoff, Clock, EventSink, Random } from "@holdfast/core";
import { sinkFor } from "./events.ts";
import type { PostgresEvent } from "./events.ts";

/** How isolated a transaction is. */
export type Isolation = "read-committed" | "repeatable-read" | "serializable";

/** What every call that talks to PostgreSQL takes. */
export interface PostgresOptions {
  /** Local time. Default the system's. */
  readonly clock?: Clock | undefined;
  /** Ids and jitter. Default the system's. */
  readonly random?: Random | undefined;
  /** Called with each event of this call. */
  readonly onEvent?: ((event: PostgresEvent) => void) | undefined;
}

/** Options of the fence. */
export interface FenceOptions {
  /**
   * Longest silence of the client between two statements of the transaction in milliseconds, 50 to 86,400,000; then PostgreSQL ends it, and
   * a successor that waits goes on (P2). A lower limit of the session stays in force. Default 5,000.
   */
  readonly idleMs?: number | undefined;
}

/** Options of a transaction that is run as a whole. */
export interface TransactionOptions extends PostgresOptions, FenceOptions {
  /** Default: that of the session. */
  readonly isolation?: Isolation | undefined;
  /** How often it is tried when it meets another transaction (40001, 40P01), 1 to 100. Default 5. */
  readonly attemptsMax?: number | undefined;
  /**
   * Longest wait in milliseconds for the answer of COMMIT, after which its outcome is unknown, and for that of storing a key's result before
   * it, after which nothing was committed. 10 to 600,000, default 30,000.
   */
  readonly commitTimeoutMs?: number | undefined;
  /** For how long the outcome of a COMMIT without answer is asked for, in milliseconds, 0 to 600,000. Default 10,000. */
  readonly resolveMs?: number | undefined;
  /** Ends the waiting for a connection, for the fence or the claim of a key, and between attempts. A body that runs is not interrupted. */
  readonly signal?: AbortSignal | undefined;
}

/** Complete options of a call. */
export interface ResolvedPostgresOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly events: EventSink<PostgresEvent>;
}

/** Complete options of a transaction. */
export interface ResolvedTransactionOptions extends ResolvedPostgresOptions {
  /** For messages and events: `withFence lock:invoice:42`. */
  readonly operation: string;
  readonly isolation: Isolation | undefined;
  readonly idleMs: number;
  readonly attemptsMax: number;
  readonly backoff: Backoff;
  readonly commitTimeoutMs: number;
  readonly resolveMs: number;
  readonly signal: AbortSignal | undefined;
}

const dayMs = 86_400_000;
/** Two transactions that met are apart again after a few milliseconds; the jitter keeps them from meeting again. */
const conflictBackoff = resolveBackoff({ baseMs: 10, delayMaxMs: 500, jitter: 0.9 });

/** Of a call that says nothing: most do, and have nothing to be checked. */
const usual: ResolvedPostgresOptions = { clock: systemClock, random: systemRandom, events: sinkFor(undefined) };

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolvePostgresOptions(options: PostgresOptions): ResolvedPostgresOptions {
  optionsObject("options", options);
  if (options.clock === undefined && options.random === undefined && options.onEvent === undefined) return usual;
  const { clock, random } = resolveCommonOptions<PostgresEvent>({
    clock: options.clock,
    random: options.random,
    onEvent: options.onEvent,
  });
  return { clock, random, events: sinkFor(options.onEvent) };
}

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveIdleMs(options: FenceOptions): number {
  optionsObject("options", options);
  return integerOr(5_000, "idleMs", options.idleMs, { min: 50, max: dayMs });
}

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveTransactionOptions(operation: string, options: TransactionOptions): ResolvedTransactionOptions {
  const base = resolvePostgresOptions(options);
  signal("signal", options.signal);
  const { isolation } = options;
  return {
    ...base,
    operation,
    isolation:
      isolation === undefined
        ? undefined
        : oneOf("isolation", isolation, ["read-committed", "repeatable-read", "serializable"]),
    idleMs: resolveIdleMs(options),
    attemptsMax: integerOr(5, "attemptsMax", options.attemptsMax, { min: 1, max: 100 }),
    backoff: conflictBackoff,
    commitTimeoutMs: integerOr(30_000, "commitTimeoutMs", options.commitTimeoutMs, { min: 10, max: 600_000 }),
    resolveMs: integerOr(10_000, "resolveMs", options.resolveMs, { min: 0, max: 600_000 }),
    signal: options.signal,
  };
}
