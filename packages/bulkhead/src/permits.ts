/** Who may run: admission, the queue, and the order in which permits are handed on (B3). What has begun belongs to in-flight.ts. */
import { AsyncResource } from "node:async_hooks";
import { ambientRemainingMs, ClosedError, DeadlineList, deadlineListOf, onAbort } from "@holdfast/core";
import type { Clock } from "@holdfast/core";
import type { Accounts } from "./accounts.ts";
import type { Breaker } from "./breaker.ts";
import { CallPool } from "./call-pool.ts";
import type { Call, CallFunction, CallOwner, CallRequest } from "./call.ts";
import { Drains } from "./drains.ts";
import { BulkheadRejectedError, DrainedError, ReentrantCallError, withoutStack } from "./errors.ts";
import type { RejectionReason } from "./errors.ts";
import { InFlight } from "./in-flight.ts";
import type { ReturnedPermits } from "./in-flight.ts";
import type { ResolvedBulkheadOptions } from "./options.ts";
import type { PermitSettings } from "./permit-settings.ts";
import { HeldPermit } from "./reentry.ts";
import { RetriedCalls } from "./retried-calls.ts";
import { WaitQueue } from "./wait-queue.ts";

/** Whoever makes a promise: its executor runs at once, and hands over what settles it without a closure for each call. */
let settler: Pick<Call, "resolve" | "reject">;
const pickUp = (resolve: (value: never) => void, reject: (error: unknown) => void): void => {
  settler.resolve = resolve as (value: unknown) => void;
  settler.reject = reject;
};

/** Rejects when the caller has had the time to listen: a promise that is rejected before is followed up by Node at five times the cost. */
function rejectSoon(error: unknown): Promise<never> {
  return new Promise((_resolve, reject) => queueMicrotask(() => reject(error)));
}

/** The permits of one bulkhead. */
export class Permits implements CallOwner, ReturnedPermits {
  readonly clock: Clock;
  /** Inside also between their attempts. */
  readonly retried: RetriedCalls;
  readonly #settings: PermitSettings;
  readonly #options: ResolvedBulkheadOptions;
  readonly #accounts: Accounts;
  readonly #breaker: Breaker;
  readonly #inFlight: InFlight;
  readonly #queue = new WaitQueue<Call>();
  readonly #timeouts: DeadlineList;
  readonly #calls: CallPool;
  #limit: number;
  #handing = false;
  #closed = false;
  readonly #drains: Drains;

  constructor(settings: PermitSettings, limit: number) {
    const { options } = settings;
    this.#settings = settings;
    this.#options = options;
    this.clock = options.clock;
    this.#accounts = settings.accounts;
    this.#breaker = settings.breaker;
    this.#inFlight = new InFlight(settings, this);
    this.#calls = new CallPool(this, this.#inFlight);
    // Filled and emptied with every call: its timer stays.
    this.#timeouts = new DeadlineList(options.clock, options.timeoutMs, undefined, true);
    this.#limit = limit;
    this.retried = new RetriedCalls(this.clock, () => this.#drains.look());
    this.#drains = new Drains(this.clock, () => this.#isIdle());
  }

  /** Work in flight on ordinary permits, zombies included. */
  get inFlight(): number {
    return this.#inFlight.ordinary;
  }

  /** Probes in flight, on permits of their own (B4). */
  get probes(): number {
    return this.#inFlight.probes;
  }

  get queued(): number {
    return this.#queue.length;
  }

  get limit(): number {
    return this.#limit;
  }

  /** Whether newcomers are refused. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Changes the limit; calls above it go on and give their permits back. */
  setLimit(limit: number): void {
    this.#limit = limit;
    this.#handOn();
  }

  /** Makes one attempt. @param timeoutMs the time it has in all */
  run<Value>(fn: CallFunction<Value>, request: CallRequest, timeoutMs: number): Promise<Value> {
    const nowMs = this.clock.monotonicMs();
    const leftMs = Math.min(timeoutMs, ambientRemainingMs());
    const { signal } = request;
    this.#accounts.arrived(nowMs);
    if (this.#closed && (!request.again || this.retried.isOver))
      return rejectSoon(new ClosedError(`bulkhead ${this.#options.name}`));
    if (signal?.aborted === true) {
      this.#accounts.ended("cancelled", 0, 0);
      return rejectSoon(signal.reason);
    }
    if (leftMs <= 0) return this.#refused("rejected-deadline");
    const admission = this.#breaker.admit(nowMs);
    if (admission === "refuse") return this.#refused("rejected-open");
    this.#settings.beforeGrant?.();
    const waits = admission === "pass" && (this.#inFlight.ordinary >= this.#limit || this.#queue.length > 0);
    if (waits) {
      const refusal = this.#refusalToWait(leftMs);
      if (refusal !== undefined) return refusal;
    }
    const call = this.#calls.take();
    settler = call;
    const promise = new Promise<Value>(pickUp);
    call.fn = fn;
    call.classify = request.classify;
    call.submittedMs = nowMs;
    call.timeoutMs = leftMs;
    const list = leftMs === this.#options.timeoutMs ? this.#timeouts : deadlineListOf(this.clock, Math.floor(leftMs));
    list.start(call, nowMs);
    if (signal !== undefined) call.abortRegistration = onAbort(signal, () => this.#cancel(call, signal.reason));
    if (waits) this.#wait(call);
    else this.#begin(call, admission === "probe", nowMs);
    return promise;
  }

  /** Refuses what comes from now on, and what is still there once `graceMs` are over. Resolves to what was cut off. */
  async drain(graceMs: number): Promise<{ readonly cancelled: number; readonly zombies: number }> {
    this.#closed = true;
    await this.#drains.idleWithin(graceMs);
    let cancelled = this.retried.end(new DrainedError(this.#options.name, "possible"));
    for (let call = this.#queue.oldest; call !== undefined; call = this.#queue.oldest) {
      cancelled += 1;
      this.#cancel(call, new DrainedError(this.#options.name, "none"));
    }
    for (const call of this.#calls.running()) {
      if (call.state !== "running") continue;
      cancelled += 1;
      this.#inFlight.cancel(call, new DrainedError(this.#options.name, "possible"));
    }
    // Another drain has nobody left to wait for.
    this.#drains.end();
    // Work that listens to its signal ends in this turn.
    await this.#drains.idleWithin(0);
    return { cancelled, zombies: this.#accounts.zombies };
  }

  /** Refuses all waiting calls. */
  refuseWaiting(reason: RejectionReason, cause?: Error): void {
    for (let call = this.#queue.oldest; call !== undefined; call = this.#queue.oldest) this.#drop(call, reason, cause);
  }

  /** Called by a call whose time is over. */
  onDeadline(call: Call): void {
    if (call.state === "waiting") this.#drop(call, "queue-timeout");
    else this.#inFlight.onDeadline(call);
  }

  /** Called when a permit is free. */
  onFree(): void {
    if (this.#queue.length > 0) this.#handOn();
    this.#settings.onReturn?.();
    if (this.#closed) this.#drains.look();
  }

  /** Called when nothing refers to a call any more. */
  onSettled(call: Call): void {
    this.#calls.giveBack(call);
  }

  /** A rejection when a call cannot wait, or undefined. */
  #refusalToWait(leftMs: number): Promise<never> | undefined {
    this.#settings.adaptive?.sawFull(this.clock.monotonicMs());
    this.#settings.onDemand?.();
    if (HeldPermit.isHeldBy(this.#inFlight)) return rejectSoon(new ReentrantCallError(this.#options.name));
    const unavailable = this.#settings.refusal?.();
    if (unavailable !== undefined) return this.#refused("rejected-full", unavailable);
    const full = this.#queue.length >= this.#options.queueMax;
    // A full LIFO queue refuses its oldest call, the one least likely to be in time; for one that will not be in time it refuses nobody.
    const oldest = this.#options.queue === "lifo" ? this.#queue.oldest : undefined;
    if (full && oldest === undefined) return this.#refused("rejected-full");
    if (this.#missesDeadline(leftMs)) return this.#refused("rejected-deadline");
    if (full && oldest !== undefined) this.#drop(oldest, "rejected-full");
    return undefined;
  }

  /** B5: with so many ahead, would it start too late to finish? Who could start on a permit that is being asked for has nobody ahead. */
  #missesDeadline(leftMs: number): boolean {
    const { medianMs, heldMs, likelyMs } = this.#inFlight.findings;
    if (medianMs === undefined) return false;
    const limit = Math.max(1, this.#limit, this.#settings.limitSoon?.() ?? 0);
    const free = Math.max(0, limit - this.#inFlight.ordinary);
    const ahead = Math.max(0, (this.#options.queue === "fifo" ? this.#queue.length + 1 : 1) - free);
    return (ahead * heldMs) / limit + likelyMs > leftMs;
  }

  #begin(call: Call, probe: boolean, nowMs: number): void {
    call.probe = probe;
    this.#inFlight.begin(call, nowMs, this.#limit);
  }

  #wait(call: Call): void {
    call.state = "waiting";
    call.resource = new AsyncResource("HoldfastCall");
    this.#queue.add(call);
    // A limit from elsewhere may have been raised since.
    if (this.#inFlight.ordinary < this.#limit) this.#handOn();
  }

  #cancel(call: Call, reason: unknown): void {
    if (call.state === "running") {
      this.#inFlight.cancel(call, reason);
    } else if (call.state === "waiting") {
      this.#queue.remove(call);
      call.disarm();
      this.#inFlight.ended(call, "cancelled", this.clock.monotonicMs());
      call.reject(reason);
      this.#calls.giveBack(call);
      if (this.#closed) this.#drains.look();
    }
  }

  #isIdle(): boolean {
    return this.#inFlight.ordinary + this.#inFlight.probes + this.#queue.length + this.retried.inside === 0;
  }

  /**
   * B3: a permit goes from one call to the next in one step; nobody who comes later can take it in between. Work that ends at once comes
   * back here while the loop runs, and is left to it.
   */
  #handOn(): void {
    if (this.#handing) return;
    this.#handing = true;
    try {
      this.#handAll();
    } finally {
      this.#handing = false;
    }
  }

  #handAll(): void {
    while (this.#hasFree()) {
      const call = this.#options.queue === "fifo" ? this.#queue.oldest : this.#queue.newest;
      if (call === undefined) break;
      // Read for each: the function of the one before may have blocked the loop before it returned its promise.
      const nowMs = this.clock.monotonicMs();
      const leftMs = call.submittedMs + call.timeoutMs - nowMs;
      if (leftMs <= 0 || leftMs < this.#inFlight.findings.likelyMs) {
        this.#drop(call, leftMs <= 0 ? "queue-timeout" : "rejected-deadline");
      } else {
        this.#queue.remove(call);
        this.#accounts.waited(nowMs - call.submittedMs, nowMs);
        call.resource?.runInAsyncScope(() => this.#begin(call, false, nowMs));
      }
    }
  }

  #hasFree(): boolean {
    this.#settings.beforeGrant?.();
    return this.#inFlight.ordinary < this.#limit;
  }

  /** Takes a waiting call out of the queue and rejects it. */
  #drop(call: Call, reason: RejectionReason, cause?: Error): void {
    this.#queue.remove(call);
    call.disarm();
    this.#inFlight.ended(call, reason, this.clock.monotonicMs());
    call.reject(this.#rejection(reason, cause));
    this.#calls.giveBack(call);
    if (this.#closed) this.#drains.look();
  }

  #refused(reason: RejectionReason, cause?: Error): Promise<never> {
    this.#accounts.ended(reason, 0, 0);
    return rejectSoon(this.#rejection(reason, cause));
  }

  #rejection(reason: RejectionReason, cause: Error | undefined): BulkheadRejectedError {
    const { name } = this.#options;
    return withoutStack(() => new BulkheadRejectedError(name, reason, cause === undefined ? undefined : { cause }));
  }
}
