/**
 * Another attempt: outside the permit, which is given back in between; within the deadline of the call; within a budget, since retries
 * are load on a dependency that has just failed. What may have had an effect is not repeated unless the caller says so.
 */
import { backoffMs, ClosedError, HoldfastError, OutcomeUnknownError, sleep } from "@holdfast/core";
import type { Clock, EventSink, Random } from "@holdfast/core";
import type { BulkheadEvent } from "./events.ts";
import { BulkheadRejectedError, CallTimeoutError, DrainedError, ReentrantCallError } from "./errors.ts";
import type { ResolvedRetryOptions } from "./options.ts";
import type { Classify, Verdict } from "./outcome.ts";
import { retryAfterMs } from "./retry-after.ts";

/** A failed attempt. */
export interface FailedAttempt {
  /** 1 for the first. */
  readonly attempt: number;
  /** What it rejected with; undefined when a value was classified as a failure. */
  readonly error: unknown;
  /** The value that was classified as a failure. */
  readonly value: unknown;
}

/** Decides whether an attempt is worth another one. */
export type RetryWhen = (failed: FailedAttempt) => boolean;

/** Errors of a connection that broke, or of a wait that ended, after the request may have been carried out. */
const ambiguousCodes = new Set(["ECONNRESET", "EPIPE", "ETIMEDOUT", "ABORT_ERR", "UND_ERR_SOCKET", "UND_ERR_ABORTED"]);
const ambiguousNames = new Set(["AbortError", "TimeoutError"]);

/** The default rule: repeats what failed without an effect, or with an answer; never a timeout, a broken connection or a rejection. */
export function worthRetrying({ error }: FailedAttempt): boolean {
  if (error === undefined) return true;
  if (error instanceof BulkheadRejectedError || error instanceof ReentrantCallError) return false;
  if (error instanceof ClosedError || error instanceof DrainedError) return false;
  if (error instanceof CallTimeoutError || error instanceof OutcomeUnknownError) return false;
  if (error instanceof HoldfastError) return error.effect === "none";
  const { code, name, cause } = (error ?? {}) as { code?: unknown; name?: unknown; cause?: unknown };
  const ambiguous = ambiguousCodes.has(String(code)) || ambiguousNames.has(String(name));
  return (
    !ambiguous &&
    (cause === undefined || cause === error || worthRetrying({ attempt: 1, error: cause, value: undefined }))
  );
}

/** Most retries saved up. */
const savedMax = 10;

/** How many retries there may be: a share of the calls, with a few to begin with. */
export class RetryBudget {
  readonly #perCall: number;
  #saved: number = savedMax;

  /** @param percent retries per hundred calls */
  constructor(percent: number) {
    this.#perCall = percent / 100;
  }

  /** A call was made. */
  earn(): void {
    this.#saved = Math.min(savedMax, this.#saved + this.#perCall);
  }

  /** Takes one retry; false when there is none. */
  spend(): boolean {
    if (this.#saved < 1) return false;
    this.#saved -= 1;
    return true;
  }
}

/** What repeated attempts stand on. */
export interface RetrySettings {
  readonly bulkhead: string;
  readonly options: ResolvedRetryOptions;
  readonly budget: RetryBudget;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: EventSink<BulkheadEvent>;
}

/** One call with its attempts. */
export interface RetriedCall<Value> {
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  readonly classify: Classify | undefined;
  /** Makes one attempt. */
  readonly attempt: (timeoutMs: number, classify: Classify | undefined) => Promise<Value>;
}

/** Attempts until one succeeds, or another is not worth it, not possible in time or not in the budget. */
export async function withRetries<Value>(settings: RetrySettings, call: RetriedCall<Value>): Promise<Value> {
  const { options, clock, budget } = settings;
  budget.earn();
  for (let attempt = 1; ; attempt += 1) {
    let verdict: Verdict | undefined;
    const rule = call.classify;
    // Keeps what the rule said, so that a value that is a failure is seen here too.
    const classify: Classify | undefined =
      rule === undefined
        ? undefined
        : (result) => {
            verdict = rule(result);
            return verdict;
          };
    let failed: FailedAttempt;
    let finish: () => Value;
    try {
      const value = await call.attempt(call.deadlineMs - clock.monotonicMs(), classify);
      if (verdict !== "failure") return value;
      failed = { attempt, error: undefined, value };
      finish = () => value;
    } catch (error) {
      failed = { attempt, error, value: undefined };
      finish = () => {
        throw error;
      };
    }
    const worth =
      attempt < options.attemptsMax && call.signal?.aborted !== true && (options.when ?? worthRetrying)(failed);
    if (!worth) return finish();
    const askedMs = retryAfterMs(failed.error ?? failed.value, clock.wallMs());
    const delayMs = Math.max(askedMs, backoffMs(options.backoff, attempt, settings.random));
    if (clock.monotonicMs() + delayMs >= call.deadlineMs || !budget.spend()) return finish();
    settings.events.emit(() => ({ type: "retry", bulkhead: settings.bulkhead, attempt: attempt + 1, delayMs }));
    discard(failed.value);
    await sleep(clock, delayMs, call.signal);
  }
}

/** A response whose body nobody will read holds its connection. */
function discard(value: unknown): void {
  if (value instanceof Response) value.body?.cancel().catch(() => undefined);
}
