/**
 * A bulkhead around one dependency: what a user constructs and calls. Permits decide who runs, the breaker whether anybody does, retries
 * what is tried again; here they are put together. Bulkheads share nothing (B6).
 */
import { ambientRemainingMs, callback, EventSink, integer, optionsObject, signal as checkSignal } from "@holdfast/core";
import { Accounts } from "./accounts.ts";
import { AdaptiveLimit } from "./adaptive-limit.ts";
import { noBreaker } from "./breaker.ts";
import type { Breaker, BreakerState } from "./breaker.ts";
import type { CallFunction, CallRequest } from "./call.ts";
import { bulkheadChannel } from "./events.ts";
import type { BulkheadEvent } from "./events.ts";
import { OpossumBreaker } from "./opossum-breaker.ts";
import { durationMs, resolveBulkheadOptions } from "./options.ts";
import type { BulkheadOptions, ResolvedBulkheadOptions } from "./options.ts";
import type { Classify } from "./outcome.ts";
import { Permits } from "./permits.ts";
import type { PermitSettings } from "./permit-settings.ts";
import { RetryBudget, withRetries } from "./retry.ts";
import type { RetrySettings } from "./retry.ts";
import { takeSnapshot } from "./snapshot.ts";
import type { BulkheadSnapshot } from "./snapshot.ts";

/** Options of one call. */
export interface RunOptions {
  /** Cancels the call: it leaves the queue at once, and its work is told by its own signal. */
  readonly signal?: AbortSignal | undefined;
  /** Time for this call, waiting and retries included, in milliseconds. Default: the bulkhead's. The ambient deadline counts as well. */
  readonly timeoutMs?: number | undefined;
  /** What this call's result says about the dependency. Default: the bulkhead's rule. */
  readonly classify?: Classify | undefined;
  /** False for a call that must not be repeated. Default: as the bulkhead is configured. */
  readonly retry?: boolean | undefined;
  /**
   * True when repeating the call does no harm: then an HTTP response that is classified as a failure is worth another attempt, and so is
   * an error from before a request was sent.
   */
  readonly idempotent?: boolean | undefined;
}

/** What `drain` left behind. */
export interface DrainReport {
  /** Calls that were waiting or running when the grace was over. */
  readonly cancelled: number;
  /** Work that goes on although it was told to stop. */
  readonly zombies: number;
}

const plainRequest: CallRequest = { signal: undefined, classify: undefined, again: false };
const limitRange = { min: 0, max: 10_000_000 };
const drainRangeMs = { min: 0, max: 86_400_000 };

/** What a distributed bulkhead adds. */
export type LimitSource = Pick<PermitSettings, "beforeGrant" | "onDemand" | "onReturn" | "limitSoon" | "refusal">;

/** A bulkhead in this process. */
export class Bulkhead {
  readonly name: string;
  readonly #options: ResolvedBulkheadOptions;
  readonly #events: EventSink<BulkheadEvent>;
  readonly #accounts: Accounts;
  readonly #breaker: Breaker;
  readonly #circuit: OpossumBreaker | undefined;
  readonly #permits: Permits;
  readonly #retries: RetrySettings | undefined;

  /**
   * @param name names the dependency in errors, events and snapshots
   * @param source for `DistributedBulkhead`: where the limit comes from
   * @throws TypeError, RangeError naming the field, the allowed range and the value got
   */
  constructor(name: string, options: BulkheadOptions = {}, source: LimitSource & { readonly limit?: number } = {}) {
    const resolved = resolveBulkheadOptions(name, options);
    const { clock, random, breaker, adaptive, retry } = resolved;
    this.name = resolved.name;
    this.#options = resolved;
    this.#events = new EventSink(bulkheadChannel, resolved.onEvent);
    this.#accounts = new Accounts(this.name, this.#events, clock.monotonicMs());
    this.#circuit =
      breaker === undefined
        ? undefined
        : new OpossumBreaker(this.name, breaker, resolved.timeoutMs, clock, (state, because) =>
            this.#onBreakerState(state, because),
          );
    this.#breaker = this.#circuit ?? noBreaker;
    const limit = source.limit ?? resolved.concurrencyMax;
    this.#permits = new Permits(
      {
        ...source,
        options: resolved,
        accounts: this.#accounts,
        events: this.#events,
        breaker: this.#breaker,
        adaptive:
          adaptive === undefined
            ? undefined
            : new AdaptiveLimit(adaptive, limit, (raised, because) => this.setLimit(raised, because)),
      },
      limit,
    );
    this.#retries =
      retry === undefined
        ? undefined
        : {
            bulkhead: this.name,
            options: retry,
            budget: new RetryBudget(retry.budgetPercent),
            calls: this.#permits.retried,
            clock,
            random,
            events: this.#events,
          };
    if (this.#circuit !== undefined) breaker?.shared?.attach(this.#circuit);
  }

  /** The opossum circuit that keeps the breaker's window, for its exporters; undefined without a breaker. */
  get circuit(): OpossumBreaker["circuit"] | undefined {
    return this.#circuit?.circuit;
  }

  /**
   * Calls the dependency.
   * @returns the function's value
   * @throws BulkheadRejectedError (not dispatched), CallTimeoutError (dispatched, no answer in time), AttemptsFailedError (an attempt before
   *   the last may have had an effect), ReentrantCallError, ClosedError, the signal's reason, or what the function throws
   */
  run<Value>(fn: CallFunction<Value>): Promise<Value>;
  run<Value>(options: RunOptions | undefined, fn: CallFunction<Value>): Promise<Value>;
  run<Value>(first: RunOptions | undefined | CallFunction<Value>, second?: CallFunction<Value>): Promise<Value> {
    if (typeof first === "function") return this.#run(first, undefined);
    callback("fn", second);
    if (first === undefined) return this.#run(second as CallFunction<Value>, undefined);
    optionsObject("options", first);
    checkSignal("signal", first.signal);
    if (first.classify !== undefined) callback("classify", first.classify);
    if (first.timeoutMs !== undefined) durationMs("timeoutMs", first.timeoutMs);
    return this.#run(second as CallFunction<Value>, first);
  }

  /** The state at this moment. */
  snapshot(): BulkheadSnapshot {
    return takeSnapshot(this.name, this.#permits, this.#accounts, this.#breaker.state);
  }

  /**
   * Refuses new calls with ClosedError, lets those inside end for `graceMs`, then cancels them. Final.
   * @returns what was cut off
   */
  drain(options: { readonly graceMs: number }): Promise<DrainReport> {
    optionsObject("options", options);
    return this.#permits.drain(integer("graceMs", options.graceMs, drainRangeMs));
  }

  /** Work that holds an ordinary permit and waiting calls; for `DistributedBulkhead`. */
  snapshotOfLoad(): { readonly inFlight: number; readonly queued: number } {
    return this.#permits;
  }

  /** Reports whether Redis answers; for `DistributedBulkhead`. */
  tellRedis(state: "reached" | "unreachable", error?: Error): void {
    this.#events.emit(() => ({ type: "redis", bulkhead: this.name, state, error }));
  }

  /** Sets the limit from outside; for `DistributedBulkhead`. */
  setLimit(limit: number, because: string): void {
    // Compared with what is no number, every call would find a permit.
    this.#permits.setLimit(integer("limit", limit, limitRange));
    this.#events.emit(() => ({ type: "limit", bulkhead: this.name, limit, because }));
  }

  /** Refuses all waiting calls as if the queue were full; for `DistributedBulkhead`. */
  refuseWaiting(cause: Error): void {
    this.#permits.refuseWaiting("rejected-full", cause);
  }

  #run<Value>(fn: CallFunction<Value>, options: RunOptions | undefined): Promise<Value> {
    const timeoutMs = options?.timeoutMs ?? this.#options.timeoutMs;
    const request =
      options === undefined ? plainRequest : { signal: options.signal, classify: options.classify, again: false };
    const once = this.#retries === undefined || options?.retry === false || this.#permits.isClosed;
    if (once) return this.#permits.run(fn, request, timeoutMs);
    const { signal } = request;
    return withRetries(this.#retries, {
      deadlineMs: this.#options.clock.monotonicMs() + Math.min(timeoutMs, ambientRemainingMs()),
      signal,
      classify: request.classify ?? this.#options.classify,
      idempotent: options?.idempotent,
      attempt: (leftMs, classify, again) => this.#permits.run(fn, { signal, classify, again }, leftMs),
    });
  }

  #onBreakerState(state: BreakerState, because: string): void {
    this.#events.emit(() => ({ type: "breaker", bulkhead: this.name, state, because }));
    // Who waits would be refused when it is his turn; he learns it now.
    if (state === "open") this.#permits.refuseWaiting("rejected-open");
  }
}
