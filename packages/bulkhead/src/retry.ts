/**
 * Another attempt: outside the permit, which is given back in between; within the deadline of the call; within a budget, since retries
 * are load on a dependency that has just failed. What may have had an effect is not repeated unless the caller says so.
 */
import { Readable } from "node:stream";
import { backoffMs, propertyOf, saysNoEffect, warn } from "@holdfast/core";
import type { Clock, EventSink, Random } from "@holdfast/core";
import { AttemptsFailedError } from "./errors.ts";
import type { BulkheadEvent } from "./events.ts";
import type { ResolvedRetryOptions } from "./options.ts";
import type { Classify, Verdict } from "./outcome.ts";
import type { RetriedCalls } from "./retried-calls.ts";
import { retryAfterMs } from "./retry-after.ts";
import { worthRetrying } from "./worth-retrying.ts";
import type { FailedAttempt, RetryWhen } from "./worth-retrying.ts";

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
  readonly calls: RetriedCalls;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: EventSink<BulkheadEvent>;
}

/** One call with its attempts. */
export interface RetriedCall<Value> {
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  readonly classify: Classify | undefined;
  readonly idempotent: boolean | undefined;
  /** Makes one attempt. @param again whether it is another one than the first */
  readonly attempt: (timeoutMs: number, classify: Classify | undefined, again: boolean) => Promise<Value>;
}

/** How an attempt has ended. */
interface Ended<Value> extends FailedAttempt {
  readonly value: Value | undefined;
  readonly kind: "answered" | "failed-answer" | "rejected";
}

/** Attempts until one succeeds, or another is not worth it, not possible in time or not in the budget. */
export async function withRetries<Value>(settings: RetrySettings, call: RetriedCall<Value>): Promise<Value> {
  settings.budget.earn();
  settings.calls.enter();
  try {
    return await attempts(settings, call);
  } finally {
    settings.calls.leave();
  }
}

async function attempts<Value>(settings: RetrySettings, call: RetriedCall<Value>): Promise<Value> {
  const { bulkhead, calls, events } = settings;
  /** The last attempt that may have had an effect. */
  let effective: FailedAttempt | undefined;
  for (let attempt = 1; ; attempt += 1) {
    const ended = await once(settings.clock, call, attempt);
    const delayMs = ended.kind === "answered" ? undefined : delayBeforeNext(settings, call, ended);
    if (delayMs === undefined) {
      if (ended.kind === "rejected") throw failure(bulkhead, attempt, effective, ended.error);
      return ended.value as Value;
    }
    if (!saysNoEffect(ended.error)) effective = ended;
    events.emit(() => ({ type: "retry", bulkhead, attempt: attempt + 1, delayMs }));
    discard(ended.value);
    try {
      await calls.pause(delayMs, call.signal);
    } catch (error) {
      throw failure(bulkhead, attempt, effective, error);
    }
  }
}

/** Makes one attempt. */
async function once<Value>(clock: Clock, call: RetriedCall<Value>, attempt: number): Promise<Ended<Value>> {
  const { idempotent, classify: rule } = call;
  let verdict: Verdict | undefined;
  // Keeps what the rule said, so that a value that is a failure is seen here too.
  const classify: Classify | undefined =
    rule === undefined
      ? undefined
      : (result) => {
          verdict = rule(result);
          return verdict;
        };
  try {
    const value = await call.attempt(call.deadlineMs - clock.monotonicMs(), classify, attempt > 1);
    const kind = verdict === "failure" ? "failed-answer" : "answered";
    return { kind, attempt, error: undefined, value, idempotent };
  } catch (error) {
    return { kind: "rejected", attempt, error, value: undefined, idempotent };
  }
}

/** How long to wait for the next attempt, undefined when there is none. */
function delayBeforeNext(
  { options, budget, calls, clock, random }: RetrySettings,
  { signal, deadlineMs }: RetriedCall<unknown>,
  ended: FailedAttempt,
): number | undefined {
  if (ended.attempt >= options.attemptsMax || calls.isOver || signal?.aborted === true) return undefined;
  if (!isWorthAnother(options.when ?? worthRetrying, ended)) return undefined;
  const askedMs = retryAfterMs(ended.error ?? ended.value, clock.wallMs());
  const delayMs = Math.max(askedMs, backoffMs(options.backoff, ended.attempt, random));
  return clock.monotonicMs() + delayMs >= deadlineMs || !budget.spend() ? undefined : delayMs;
}

/** A rule that throws, or answers with a promise, allows nothing; its error does not take the place of what the attempt ended with. */
function isWorthAnother(when: RetryWhen, ended: FailedAttempt): boolean {
  try {
    const answer: unknown = when(ended);
    return answer === true;
  } catch (error) {
    warn(error);
    return false;
  }
}

/** What the caller gets: an error that says that there was no effect speaks for its own attempt, and not for those before it. */
function failure(bulkhead: string, made: number, effective: FailedAttempt | undefined, last: unknown): unknown {
  if (effective === undefined || !saysNoEffect(last)) return last;
  return new AttemptsFailedError(bulkhead, made, last, effective.error);
}

/**
 * A response whose body nobody will read holds its connection. `fetch` has a web stream as `body`, whosever it is; Node's http answers with a
 * stream of its own, undici's request with one as `body`.
 */
function discard(value: unknown): void {
  for (const stream of [value, propertyOf(value, "body")]) {
    // What it says of its end is for nobody.
    if (stream instanceof ReadableStream) stream.cancel().catch(() => undefined);
    if (stream instanceof Readable) stream.on("error", () => undefined).destroy();
  }
}
