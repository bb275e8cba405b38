/** How long to wait before the next attempt: exponential below a cap, a part of it left to chance, so that many failures do not come back together. */
import type { Random } from "./random.ts";
import { integerOr, optionsObject } from "./validate.ts";

/** Options of a backoff. */
export interface BackoffOptions {
  /** Wait after the first failure, in milliseconds; doubles with each further one. Default 1,000. */
  readonly baseMs?: number | undefined;
  /** Longest wait in milliseconds. Default 300,000. */
  readonly delayMaxMs?: number | undefined;
  /** The part of the wait that is left to chance, 0 to 1. Default 0.5. */
  readonly jitter?: number | undefined;
}

/** A complete backoff. */
export interface Backoff {
  readonly baseMs: number;
  readonly delayMaxMs: number;
  readonly jitter: number;
}

const dayMs = 86_400_000;

/**
 * @param defaults what stands for a field that is left out or undefined, in place of the defaults of `BackoffOptions`
 * @throws TypeError, RangeError naming the field
 */
export function resolveBackoff(options: BackoffOptions = {}, defaults: Omit<Partial<Backoff>, "jitter"> = {}): Backoff {
  optionsObject("backoff", options);
  const { baseMs = 1_000, delayMaxMs = 300_000 } = defaults;
  const { jitter = 0.5 } = options;
  const allowed = "backoff.jitter must be a number from 0 to 1";
  if (typeof jitter !== "number") throw new TypeError(`${allowed}, got ${String(jitter)}`);
  if (!(jitter >= 0 && jitter <= 1)) throw new RangeError(`${allowed}, got ${jitter}`);
  return {
    baseMs: integerOr(baseMs, "backoff.baseMs", options.baseMs, { min: 0, max: dayMs }),
    delayMaxMs: integerOr(delayMaxMs, "backoff.delayMaxMs", options.delayMaxMs, { min: 0, max: dayMs }),
    jitter,
  };
}

/**
 * Milliseconds to wait after a failed attempt.
 * @param attempt 1 for the first
 */
export function backoffMs(backoff: Backoff, attempt: number, random: Random): number {
  const fullMs = Math.min(backoff.delayMaxMs, backoff.baseMs * 2 ** Math.min(attempt - 1, 52));
  return Math.round(fullMs * (1 - backoff.jitter * random.unit()));
}
