/**
 * Who may run: permits, the queue, and the life of each call. The order is admission, waiting, dispatch, end for the caller, end of the
 * work; the permit is held until the last (B1).
 */
import { AsyncResource } from "node:async_hooks";
import { ambientRemainingMs, ClosedError, DeadlineList, deadlineListOf, onAbort } from "@holdfast/core";
import type { Clock, EventSink } from "@holdfast/core";
import type { Accounts } from "./accounts.ts";
import type { AdaptiveLimit } from "./adaptive-limit.ts";
import type { Breaker } from "./breaker.ts";
import { Call, LiveContext, notDispatched } from "./call.ts";
import type { CallFunction, CallOwner, CallRequest } from "./call.ts";
import { BulkheadRejectedError, CallTimeoutError, DrainedError, ReentrantCallError, withoutStack } from "./errors.ts";
import type { RejectionReason } from "./errors.ts";
import type { BulkheadEvent } from "./events.ts";
import { Findings } from "./findings.ts";
import type { ResolvedBulkheadOptions } from "./options.ts";
import type { Outcome } from "./outcome.ts";
import { HeldPermit } from "./reentry.ts";
import { WaitQueue } from "./wait-queue.ts";

/** What the permits of one bulkhead stand on. */
export interface PermitSettings {
  readonly options: ResolvedBulkheadOptions;
  readonly accounts: Accounts;
  readonly events: EventSink<BulkheadEvent>;
  readonly breaker: Breaker;
  readonly adaptive: AdaptiveLimit | undefined;
  /** Called when a call finds no free permit. */
  readonly onDemand?: (() => void) | undefined;
  /** Called when a permit has come back. */
  readonly onReturn?: (() => void) | undefined;
  /** Why no call can wait for a permit although the queue has room; it becomes the cause of the rejection. */
  readonly refusal?: (() => Error | undefined) | undefined;
}

/** Calls kept for use again. */
const sparesMax = 256;

/** The executor of a promise runs at once: what it is handed can be picked up here without a closure for each call. */
let resolveLast: (value: unknown) => void;
let rejectLast: (error: unknown) => void;
const pickUp = (resolve: (value: never) => void, reject: (error: unknown) => void): void => {
  resolveLast = resolve as (value: unknown) => void;
  rejectLast = reject;
};

/** Rejects when the caller has had the time to listen: a promise that is rejected before is followed up by Node at five times the cost. */
function rejectSoon(error: unknown): Promise<never> {
  const promise = new Promise<never>(pickUp);
  const reject = rejectLast;
  queueMicrotask(() => reject(error));
  return promise;
}

/** The permits of one bulkhead. */
export class Permits implements CallOwner {
  readonly clock: Clock;
  readonly #settings: PermitSettings;
  readonly #options: ResolvedBulkheadOptions;
  readonly #accounts: Accounts;
  readonly #breaker: Breaker;
  readonly #findings: Findings;
  readonly #queue = new WaitQueue<Call>();
  readonly #running = new WaitQueue<Call>();
  readonly #timeouts: DeadlineList;
  readonly #spares: Call[] = [];
  #limit: number;
  #inFlight = 0;
  #probes = 0;
  /** The work that is marked as the holder of the last permit. */
  #marked: Call | undefined;
  #handing = false;
  #closed = false;
  #onIdle: (() => void) | undefined;

  constructor(settings: PermitSettings, limit: number) {
    const { options } = settings;
    this.#settings = settings;
    this.#options = options;
    this.clock = options.clock;
    this.#accounts = settings.accounts;
    this.#breaker = settings.breaker;
    this.#findings = new Findings(options, settings.accounts, settings.events, settings.breaker, settings.adaptive);
    // Filled and emptied with every call: its timer stays.
    this.#timeouts = new DeadlineList(options.clock, options.timeoutMs, undefined, true);
    this.#limit = limit;
  }

  /** Work in flight on ordinary permits, zombies included. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Probes in flight, on permits of their own (B4). */
  get probes(): number {
    return this.#probes;
  }

  get queued(): number {
    return this.#queue.length;
  }

  get limit(): number {
    return this.#limit;
  }

  /** Changes the limit; calls above it go on and give their permits back. */
  setLimit(limit: number): void {
    this.#limit = limit;
    this.#handOn(this.clock.monotonicMs());
  }

  /** Makes one attempt. @param timeoutMs the time it has in all */
  run<Value>(fn: CallFunction<Value>, request: CallRequest, timeoutMs: number): Promise<Value> {
    const nowMs = this.clock.monotonicMs();
    const leftMs = Math.min(timeoutMs, ambientRemainingMs());
    const { signal } = request;
    this.#accounts.arrived(nowMs);
    if (this.#closed) return rejectSoon(new ClosedError(`bulkhead ${this.#options.name}`));
    if (signal?.aborted === true) {
      this.#accounts.ended("cancelled", 0, 0);
      return rejectSoon(signal.reason);
    }
    if (leftMs <= 0) return this.#refused("rejected-deadline");
    const admission = this.#breaker.admit(nowMs);
    if (admission === "refuse") return this.#refused("rejected-open");
    const waits = admission === "pass" && (this.#inFlight >= this.#limit || this.#queue.length > 0);
    if (waits) {
      const refusal = this.#refusalToWait(leftMs);
      if (refusal !== undefined) return refusal;
    }
    const promise = new Promise<Value>(pickUp);
    const call = this.#spares.pop() ?? new Call(this);
    call.resolve = resolveLast;
    call.reject = rejectLast;
    call.fn = fn;
    call.classify = request.classify;
    call.submittedMs = nowMs;
    call.timeoutMs = leftMs;
    const list = leftMs === this.#options.timeoutMs ? this.#timeouts : deadlineListOf(this.clock, Math.floor(leftMs));
    call.deadline = list.add(call.onDeadline, nowMs);
    if (signal !== undefined) call.abortRegistration = onAbort(signal, () => this.#cancel(call, signal.reason));
    if (waits) this.#wait(call, nowMs);
    else this.#take(call, admission === "probe", nowMs);
    return promise;
  }

  /** Refuses what comes from now on, and what is still there once `graceMs` are over. Resolves to what was cut off. */
  async drain(graceMs: number): Promise<{ readonly cancelled: number; readonly zombies: number }> {
    this.#closed = true;
    await this.#idleWithin(graceMs);
    let cancelled = 0;
    for (let call = this.#queue.oldest; call !== undefined; call = this.#queue.oldest) {
      cancelled += 1;
      this.#cancel(call, new DrainedError(this.#options.name, "none"));
    }
    for (let call = this.#running.oldest; call !== undefined; call = call.next) {
      if (call.state !== "running") continue;
      cancelled += 1;
      this.#cancel(call, new DrainedError(this.#options.name, "possible"));
    }
    // Work that listens to its signal ends in this turn.
    await this.#idleWithin(0);
    return { cancelled, zombies: this.#accounts.zombies };
  }

  /** Refuses all waiting calls. */
  refuseWaiting(reason: RejectionReason, cause?: Error): void {
    for (let call = this.#queue.oldest; call !== undefined; call = this.#queue.oldest) this.#drop(call, reason, cause);
  }

  /** Called by a call whose work has settled with a value. */
  onValue(call: Call, value: unknown): void {
    const nowMs = this.clock.monotonicMs();
    const durationMs = nowMs - call.dispatchedMs;
    this.#findings.took(durationMs, nowMs);
    if (call.state === "running") {
      call.disarm();
      this.#ended(call, this.#findings.answered(call, value, durationMs, nowMs), nowMs);
      call.resolve(value);
    }
    this.#settled(call, durationMs, nowMs);
  }

  /** Called by a call whose work has failed; a late failure ends here (B8). */
  onError(call: Call, error: unknown): void {
    const nowMs = this.clock.monotonicMs();
    const durationMs = nowMs - call.dispatchedMs;
    if (call.state === "running") {
      call.disarm();
      this.#ended(call, this.#findings.failed(call, error, durationMs, nowMs), nowMs);
      call.reject(error);
    }
    this.#settled(call, durationMs, nowMs);
  }

  /** Called by a call whose time is over: its caller's, or what it may have as a zombie. */
  onDeadline(call: Call): void {
    const nowMs = this.clock.monotonicMs();
    if (call.state === "waiting") {
      this.#drop(call, "queue-timeout");
    } else if (call.state === "running") {
      const { name } = this.#options;
      const waitedMs = call.dispatchedMs - call.submittedMs;
      const error = withoutStack(() => new CallTimeoutError(name, call.timeoutMs, waitedMs));
      this.#findings.timedOut(call, error, nowMs);
      this.#abandon(call, "timed-out", error, nowMs);
    } else if (call.state === "abandoned") {
      this.#leak(call, nowMs);
    }
  }

  /** A rejection when a call cannot wait, or undefined. */
  #refusalToWait(leftMs: number): Promise<never> | undefined {
    this.#settings.adaptive?.sawFull();
    this.#settings.onDemand?.();
    if (HeldPermit.isHeldBy(this)) return rejectSoon(new ReentrantCallError(this.#options.name));
    const unavailable = this.#settings.refusal?.();
    if (unavailable !== undefined) return this.#refused("rejected-full", unavailable);
    if (this.#queue.length >= this.#options.queueMax && !this.#dropOldest()) return this.#refused("rejected-full");
    return this.#missesDeadline(leftMs) ? this.#refused("rejected-deadline") : undefined;
  }

  /** Makes room in a full LIFO queue: its oldest call is the one least likely to be in time. */
  #dropOldest(): boolean {
    const { oldest } = this.#queue;
    if (this.#options.queue !== "lifo" || oldest === undefined) return false;
    this.#drop(oldest, "rejected-full");
    return true;
  }

  /** B5: with so many ahead, would it start too late to finish? */
  #missesDeadline(leftMs: number): boolean {
    const { medianMs } = this.#findings;
    if (medianMs === undefined) return false;
    const ahead = this.#options.queue === "fifo" ? this.#queue.length + 1 : 1;
    const startsInMs = (ahead * medianMs) / Math.max(1, this.#limit);
    return startsInMs + this.#findings.likelyMs > leftMs;
  }

  #wait(call: Call, nowMs: number): void {
    call.state = "waiting";
    call.resource = new AsyncResource("HoldfastCall");
    this.#queue.add(call);
    // A limit from elsewhere may have been raised since.
    if (this.#inFlight < this.#limit) this.#handOn(nowMs);
  }

  #take(call: Call, probe: boolean, nowMs: number): void {
    call.probe = probe;
    if (probe) this.#probes += 1;
    else this.#inFlight += 1;
    call.generation = this.#breaker.generation;
    this.#dispatch(call, nowMs);
  }

  #dispatch(call: Call, nowMs: number): void {
    call.state = "running";
    call.dispatchedMs = nowMs;
    this.#running.add(call);
    this.#settings.adaptive?.dispatched(this.#inFlight);
    const context = new LiveContext(this.clock, call.submittedMs + call.timeoutMs);
    call.context = context;
    const { fn } = call;
    let work: unknown;
    try {
      work = this.#mustMark(call) ? this.#mark(call).run(() => fn(context)) : fn(context);
    } catch (error) {
      this.onError(call, error);
      return;
    }
    if (typeof (work as PromiseLike<unknown> | null | undefined)?.then === "function") {
      // Foreign promises are wrapped: they may call back twice.
      Promise.resolve(work).then(call.onValue, call.onError);
    } else {
      this.onValue(call, work);
    }
  }

  #mustMark(call: Call): boolean {
    return this.#inFlight >= this.#limit && this.#marked === undefined && !call.probe;
  }

  #mark(call: Call): HeldPermit {
    this.#marked = call;
    call.held = new HeldPermit(this);
    return call.held;
  }

  #cancel(call: Call, reason: unknown): void {
    const nowMs = this.clock.monotonicMs();
    if (call.state === "waiting") {
      this.#queue.remove(call);
      call.disarm();
      this.#ended(call, "cancelled", nowMs);
      call.reject(reason);
      call.clear();
    } else if (call.state === "running") {
      this.#findings.cancelled(call, nowMs);
      this.#abandon(call, "cancelled", reason, nowMs);
    }
  }

  /** The caller has its answer; the work goes on and keeps its permit, at most zombieMaxMs. */
  #abandon(call: Call, outcome: Outcome, reason: unknown, nowMs: number): void {
    call.disarm();
    call.state = "abandoned";
    // A zombie may never end: let somebody else be the one who is refused.
    if (call === this.#marked) this.#marked = undefined;
    this.#accounts.zombies += 1;
    this.#ended(call, outcome, nowMs);
    call.reject(reason);
    call.deadline = deadlineListOf(this.clock, this.#options.zombieMaxMs).add(call.onDeadline);
    call.context?.abort(reason);
  }

  #leak(call: Call, nowMs: number): void {
    call.state = "leaked";
    this.#accounts.zombies -= 1;
    this.#accounts.leaked += 1;
    const runMs = nowMs - call.dispatchedMs;
    this.#settings.events.emit(() => ({ type: "leaked", bulkhead: this.#options.name, runMs }));
    this.#giveBack(call, nowMs);
  }

  /** The work has really ended. */
  #settled(call: Call, durationMs: number, nowMs: number): void {
    this.#accounts.ran(durationMs, nowMs);
    const { state } = call;
    const leaked = state === "leaked";
    if (state !== "running") {
      call.deadline?.cancel();
      if (leaked) this.#accounts.leaked -= 1;
      else this.#accounts.zombies -= 1;
      const { name } = this.#options;
      this.#settings.events.emit(() => ({ type: "zombie-ended", bulkhead: name, runMs: durationMs, leaked }));
    }
    if (!leaked) this.#giveBack(call, nowMs);
    call.clear();
    if (this.#spares.length < sparesMax) this.#spares.push(call);
  }

  #giveBack(call: Call, nowMs: number): void {
    this.#running.remove(call);
    if (call === this.#marked) {
      call.held?.end();
      this.#marked = undefined;
    }
    if (call.probe) this.#probes -= 1;
    else this.#inFlight -= 1;
    this.#handOn(nowMs);
    this.#settings.onReturn?.();
    if (this.#inFlight + this.#probes + this.#queue.length === 0) this.#onIdle?.();
  }

  /**
   * B3: a permit goes from one call to the next in one step; nobody who comes later can take it in between. Work that ends at once comes
   * back here while the loop runs, and is left to it.
   */
  #handOn(nowMs: number): void {
    if (this.#handing) return;
    this.#handing = true;
    while (this.#inFlight < this.#limit) {
      const call = this.#options.queue === "fifo" ? this.#queue.oldest : this.#queue.newest;
      if (call === undefined) break;
      const leftMs = call.submittedMs + call.timeoutMs - nowMs;
      if (leftMs <= 0 || leftMs < this.#findings.likelyMs) {
        this.#drop(call, leftMs <= 0 ? "queue-timeout" : "rejected-deadline");
      } else {
        this.#queue.remove(call);
        this.#accounts.waited(nowMs - call.submittedMs, nowMs);
        call.resource?.runInAsyncScope(() => this.#take(call, false, nowMs));
      }
    }
    this.#handing = false;
  }

  /** Takes a waiting call out of the queue and rejects it. */
  #drop(call: Call, reason: RejectionReason, cause?: Error): void {
    this.#queue.remove(call);
    call.disarm();
    this.#ended(call, reason, this.clock.monotonicMs());
    call.reject(this.#rejection(reason, cause));
    call.clear();
  }

  #refused(reason: RejectionReason, cause?: Error): Promise<never> {
    this.#accounts.ended(reason, 0, 0);
    return rejectSoon(this.#rejection(reason, cause));
  }

  #rejection(reason: RejectionReason, cause: Error | undefined): BulkheadRejectedError {
    const { name } = this.#options;
    return withoutStack(() => new BulkheadRejectedError(name, reason, cause === undefined ? undefined : { cause }));
  }

  #ended(call: Call, outcome: Outcome, nowMs: number): void {
    const dispatched = call.dispatchedMs !== notDispatched;
    const waitMs = (dispatched ? call.dispatchedMs : nowMs) - call.submittedMs;
    if (outcome === "queue-timeout") this.#accounts.waited(waitMs, nowMs);
    this.#accounts.ended(outcome, waitMs, dispatched ? nowMs - call.dispatchedMs : 0);
  }

  async #idleWithin(graceMs: number): Promise<void> {
    if (this.#inFlight + this.#probes + this.#queue.length === 0) return;
    await new Promise<void>((resolve) => {
      const entry = deadlineListOf(this.clock, graceMs).add(resolve);
      this.#onIdle = () => {
        entry.cancel();
        resolve();
      };
    });
    this.#onIdle = undefined;
  }
}
