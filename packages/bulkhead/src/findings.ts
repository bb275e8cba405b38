/**
 * What the end of a call tells: to the breaker, to the limit, to the estimate of the service time, and to the books. B2 lives here: the
 * breaker hears of answers, errors and conclusive timeouts, and of nothing else.
 */
import type { EventSink } from "@holdfast/core";
import type { Accounts } from "./accounts.ts";
import type { AdaptiveLimit } from "./adaptive-limit.ts";
import type { Breaker } from "./breaker.ts";
import type { Call } from "./call.ts";
import type { BulkheadEvent } from "./events.ts";
import { HeldTimes } from "./held-times.ts";
import type { ResolvedBulkheadOptions } from "./options.ts";
import type { Classify, Outcome, Result, Verdict } from "./outcome.ts";
import type { PermitSettings } from "./permit-settings.ts";
import { ServiceTimes } from "./service-times.ts";

/** A call that timed out after this part of the bulkhead's timeout was not dispatched late. */
const wholeTime = 0.9;

/** At the median every other call would miss its deadline. */
const likely = 1.1;

/** Draws the conclusions of one bulkhead. */
export class Findings {
  readonly #options: ResolvedBulkheadOptions;
  readonly #accounts: Accounts;
  readonly #events: EventSink<BulkheadEvent>;
  readonly #breaker: Breaker;
  readonly #adaptive: AdaptiveLimit | undefined;
  readonly #service = new ServiceTimes();
  readonly #held = new HeldTimes();

  constructor({ options, accounts, events, breaker, adaptive }: PermitSettings) {
    this.#options = options;
    this.#accounts = accounts;
    this.#events = events;
    this.#breaker = breaker;
    this.#adaptive = adaptive;
  }

  /** The median time of recent answers in milliseconds, undefined before there are enough. */
  get medianMs(): number | undefined {
    return this.#service.medianMs;
  }

  /** The mean time that recent calls have held their permits, in milliseconds. */
  get heldMs(): number {
    return this.#held.meanMs;
  }

  /** The time within which a call is likely to be answered, in milliseconds; 0 before there are enough answers. */
  get likelyMs(): number {
    return likely * (this.medianMs ?? 0);
  }

  /** Work has settled with a value, whether anybody waits for it or not. */
  took(durationMs: number, nowMs: number): void {
    this.#service.add(durationMs, nowMs);
  }

  /**
   * Work has settled in whatever way, zombies included: its permit is free for the next. It counts for no more than the time of its caller:
   * one process that stood still for a minute would make the next 32 calls look slow.
   */
  held(call: Call, durationMs: number): void {
    this.#held.add(Math.min(durationMs, call.timeoutMs));
  }

  /** A value that the caller gets. */
  answered(call: Call, value: unknown, durationMs: number, nowMs: number): Outcome {
    const classify = call.classify ?? this.#options.classify;
    const verdict =
      classify === undefined ? "success" : this.#ask(classify, { value, error: undefined, durationMs }, "success");
    if (verdict === "success") this.#breaker.succeeded(call.generation, durationMs, nowMs);
    else this.#tellBreaker(call, verdict, value, nowMs);
    if (this.#adaptive !== undefined) {
      this.#adaptive.answered(call.dispatchedMs, durationMs, nowMs, this.#accounts.perSecond(nowMs));
    }
    if (verdict === "failure") return "failed";
    return this.#breaker.isSlow(durationMs) ? "slow" : "success";
  }

  /** An error that the caller gets. */
  failed(call: Call, error: unknown, durationMs: number, nowMs: number): Outcome {
    const classify = call.classify ?? this.#options.classify;
    const verdict =
      classify === undefined ? "failure" : this.#ask(classify, { value: undefined, error, durationMs }, "failure");
    if (verdict === "success") this.#breaker.succeeded(call.generation, durationMs, nowMs);
    else this.#tellBreaker(call, verdict, error, nowMs);
    return "failed";
  }

  /** The caller got no answer in time. */
  timedOut(call: Call, error: Error, nowMs: number): void {
    const ranMs = nowMs - call.dispatchedMs;
    if (ranMs >= this.#conclusiveAfterMs()) this.#breaker.failed(call.generation, error, nowMs);
    else this.#breaker.inconclusive(call.generation, nowMs);
    // A call that was dispatched late says nothing about the limit.
    if (this.#adaptive === undefined || ranMs < wholeTime * this.#options.timeoutMs) return;
    this.#adaptive.timedOut(call.dispatchedMs, ranMs, nowMs, this.#accounts.perSecond(nowMs));
  }

  /** The caller has given up. */
  cancelled(call: Call, nowMs: number): void {
    this.#breaker.inconclusive(call.generation, nowMs);
  }

  /** The work of a probe whose caller has given up has ended. */
  cancelledEnded(call: Call): void {
    this.#breaker.ended(call.generation);
  }

  /** How long a call must have run for its timeout to speak against the dependency. */
  #conclusiveAfterMs(): number {
    const { breaker, timeoutMs } = this.#options;
    if (breaker?.conclusiveAfterMs !== undefined) return breaker.conclusiveAfterMs;
    // A call that waited for an instant has a little less than its whole time.
    return Math.min(wholeTime * timeoutMs, 2 * (this.#service.medianMs ?? Infinity));
  }

  #tellBreaker(call: Call, verdict: Exclude<Verdict, "success">, result: unknown, nowMs: number): void {
    if (verdict === "failure") this.#breaker.failed(call.generation, result, nowMs);
    else this.#breaker.inconclusive(call.generation, nowMs);
  }

  #ask(classify: Classify, result: Result, plain: Verdict): Verdict {
    try {
      return classify(result);
    } catch (error) {
      this.#events.emit(() => ({ type: "classify-failed", bulkhead: this.#options.name, error }));
      return plain;
    }
  }
}
