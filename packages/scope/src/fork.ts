/**
 * One fork: its work, its promise and its outcome. The promise rejects as soon as the fork is cancelled, so that nobody waits for work
 * that ignores its signal; the work itself is followed until it settles, and is a zombie when the scope has returned before.
 */
import { ambientDeadline, deadlineListOf, follow, withinAmbientDeadline } from "@holdfast/core";
import type { DeadlineEntry, WorkOwner } from "@holdfast/core";
import { Cancellable } from "./cancellable.ts";
import { ScopeTimeoutError } from "./errors.ts";
import type { CancelReason } from "./errors.ts";
import { noteEntry } from "./running-now.ts";
import type { Scope } from "./scope.ts";
import { traced } from "./trace.ts";

/** What a fork's function gets. */
export interface ForkContext {
  /** Aborts when the fork is cancelled; its reason is a `CancelReason`. */
  readonly signal: AbortSignal;
  /** Milliseconds until the deadline, Infinity when there is none. */
  readonly remainingMs: () => number;
}

/** How a fork's work ended, as its scope counts it. */
export type ForkEnd = "success" | "failed" | "timed-out" | "cancelled";

/** A fork as its scope sees it, whatever its value is. */
export interface RunningFork {
  /** The links belong to the list of running forks. */
  earlier: RunningFork | undefined;
  later: RunningFork | undefined;
  readonly name: string;
  readonly ageMs: number;
  readonly cancelReason: CancelReason | undefined;
  cancel(reason: CancelReason): void;
  outlive(): void;
}

const ignore = (): void => undefined;

/** The executor of a promise runs at once: what it is handed can be picked up here without a closure for each fork. */
let resolveLast: (value: unknown) => void;
let rejectLast: (error: unknown) => void;
const pickUp = (resolve: (value: never) => void, reject: (error: unknown) => void): void => {
  resolveLast = resolve as (value: unknown) => void;
  rejectLast = reject;
};

/** One subtask. Its class is its context: the function sees `ForkContext` alone. */
export class Fork<Value> extends Cancellable implements ForkContext, RunningFork, WorkOwner {
  earlier: RunningFork | undefined = undefined;
  later: RunningFork | undefined = undefined;
  readonly name: string;
  readonly promise: Promise<Value>;
  readonly #scope: Scope;
  readonly #startMs: number;
  readonly #timeoutMs: number;
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: unknown) => void;
  #deadline: DeadlineEntry | undefined;
  #started = false;
  #zombie = false;

  /** @param timeoutMs its own, Infinity for none */
  constructor(scope: Scope, name: string, timeoutMs: number, startMs: number) {
    super(scope.clock, Math.min(scope.atMs, startMs + timeoutMs), scope);
    this.name = name;
    this.#scope = scope;
    this.#startMs = startMs;
    this.#timeoutMs = timeoutMs;
    this.promise = new Promise(pickUp);
    this.#resolve = resolveLast;
    this.#reject = rejectLast;
  }

  get path(): string {
    return `${this.#scope.name}/${this.name}`;
  }

  get graceMs(): number {
    return this.#scope.graceMs;
  }

  /** Milliseconds since it was started. */
  get ageMs(): number {
    return this.clock.monotonicMs() - this.#startMs;
  }

  /** Starts the work. */
  start(fn: (context: ForkContext) => PromiseLike<Value> | Value): void {
    // A child's own deadline counts only when it comes first (S1).
    const own = this.atMs < this.#scope.atMs;
    if (own && this.#timeoutMs > 0) {
      const list = deadlineListOf(this.clock, this.#timeoutMs);
      this.#deadline = list.add(() => this.#onDeadline(), this.#startMs);
    } else if (own) {
      this.#onDeadline();
      return;
    }
    this.#started = true;
    noteEntry(this);
    const run = traced(this.#scope.name, this.name, fn);
    let work: PromiseLike<Value> | Value;
    try {
      if (own) work = withinAmbientDeadline(this, run, this);
      else if (ambientDeadline() === this.#scope) work = run(this);
      else work = withinAmbientDeadline(this.#scope, run, this);
    } catch (error) {
      this.onError(error);
      return;
    }
    follow(this, work);
  }

  /** Cancels it: the promise rejects now, the work is told by its signal. Work that has not begun never does. */
  cancel(reason: CancelReason): void {
    if (!this.cancelWith(reason)) return;
    this.#deadline?.cancel();
    this.#rejectWith(reason);
    if (!this.#started) this.#settled("error");
  }

  /** The scope waits no longer: what is still running is reported when it ends. */
  outlive(): void {
    this.#zombie = true;
    this.#deadline?.cancel();
  }

  /** Its work has ended with a value. */
  onValue(value: unknown): void {
    this.#deadline?.cancel();
    if (this.cancelReason === undefined) this.#resolve(value);
    this.#settled("value");
  }

  /** Its work has failed. */
  onError(error: unknown): void {
    this.#deadline?.cancel();
    if (this.cancelReason === undefined) this.#rejectWith(error);
    this.#settled("error", error);
  }

  #onDeadline(): void {
    const lateByMs = this.clock.monotonicMs() - this.atMs;
    const effect = this.#timeoutMs === 0 ? "none" : "possible";
    const reason = new ScopeTimeoutError(this.path, this.#timeoutMs, lateByMs, effect);
    this.cancel(reason);
    this.#scope.forkFailed(this, reason);
    if (this.#scope.cancelReason === undefined && this.#timeoutMs > 0) {
      // The others go on: this one alone has its grace.
      const grace = deadlineListOf(this.clock, this.graceMs);
      this.#deadline = grace.add(() => this.#scope.abandon(this));
    }
  }

  #rejectWith(error: unknown): void {
    // A failure is the scope's to report; a fork that nobody awaits must not become an unhandled rejection (S5).
    this.promise.catch(ignore);
    this.#reject(error);
  }

  #settled(result: "value" | "error", error?: unknown): void {
    if (this.#zombie) {
      this.#scope.zombieEnded(this, result);
      return;
    }
    const reason = this.cancelReason;
    if (reason !== undefined) {
      const timedOut = reason instanceof ScopeTimeoutError;
      // Work that ends in an error after its signal has aborted counts as stopped; work that goes on to a value has ignored it.
      this.#scope.forkSettled(this, timedOut ? "timed-out" : "cancelled", timedOut && result === "value");
    } else if (result === "value") {
      this.#scope.forkSettled(this, "success", false);
    } else {
      this.#scope.forkFailed(this, error);
      this.#scope.forkSettled(this, "failed", false);
    }
  }
}
