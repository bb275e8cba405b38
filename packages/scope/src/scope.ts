/**
 * A tree of subtasks under one deadline. Owns when the scope is cancelled, when it has ended, and the counts; a fork owns its work.
 *
 * S1 the deadline is the earlier of the own and the enclosing one, less the grace. S2 ended means that all forks have settled, or that the
 * grace after the cancellation is over; a deadline is a cancellation. S5 whatever was armed or listened to is undone at the end.
 */
import { ambientDeadline, ambientRemainingMs, Deadline, deadlineListOf, onAbort } from "@holdfast/core";
import type { AbortRegistration, DeadlineEntry, EventSink } from "@holdfast/core";
import { Cancellable, enclosing } from "./cancellable.ts";
import { CallerCancelledError, ScopeEndedError, ScopeTimeoutError, SiblingFailedError } from "./errors.ts";
import type { CancelReason } from "./errors.ts";
import { sinkFor } from "./events.ts";
import type { ScopeEvent } from "./events.ts";
import { Fork } from "./fork.ts";
import type { ForkContext, ForkEnd, RunningFork } from "./fork.ts";
import { resolveForkTimeoutMs } from "./options.ts";
import type { ForkOptions, ResolvedScopeOptions } from "./options.ts";
import { noCounts } from "./report.ts";
import { RunningForks } from "./running-forks.ts";
import type { ScopeCounters, ScopeReport } from "./report.ts";

/** The function of a fork. */
export type ForkFunction<Value> = (context: ForkContext) => PromiseLike<Value> | Value;

/** A failure policy: the first failure cancels the rest, or each fork stands for itself. */
export type OnFailure = "cancel" | "continue";

/** Told how a scope has ended. */
export interface EndOfScope {
  /** @param failure the first failure or the reason of the cancellation, undefined when all is well */
  ended(failure: { readonly error: unknown } | undefined): void;
}

interface Times {
  readonly timeoutMs: number;
  readonly graceMs: number;
}

/**
 * What the enclosing scope leaves of the own times, so that a nested scope has returned, grace included, when that one's deadline comes
 * (S1), and, after a cancellation from above, before that one's own grace is over.
 */
function timesWithin(leftMs: number, parentGraceMs: number, own: Times): Times {
  const { timeoutMs } = own;
  const graceMs = Math.min(own.graceMs, Math.floor(parentGraceMs / 2));
  if (leftMs === Infinity) return { timeoutMs, graceMs };
  const graceWithinMs = Math.min(graceMs, Math.floor(leftMs / 4));
  // Whole milliseconds, since scopes of one length share a timer; one less, so that it has returned when the outer deadline is noticed.
  return { timeoutMs: Math.min(timeoutMs, Math.max(0, Math.ceil(leftMs - graceWithinMs) - 1)), graceMs: graceWithinMs };
}

/** The deadline of a scope. */
class ScopeDeadline extends Deadline {
  readonly #scope: Scope;

  constructor(scope: Scope) {
    super();
    this.#scope = scope;
  }

  onDeadline(): void {
    this.#scope.timeIsOver();
  }
}

/** A scope. Made by `scope`, `openScope`, `firstSuccess` and `collect`. */
export class Scope extends Cancellable {
  readonly name: string;
  readonly #startMs: number;
  readonly #timeoutMs: number;
  readonly graceMs: number;
  readonly #onFailure: OnFailure;
  readonly #events: EventSink<ScopeEvent>;
  readonly #running = new RunningForks();
  readonly #counts: ScopeCounters = noCounts();
  #firstFailure: { readonly error: unknown } | undefined;
  #deadline: Deadline | undefined;
  #grace: DeadlineEntry | undefined;
  #caller: AbortRegistration | undefined;
  #leaveParent: (() => void) | undefined;
  /** Its own function is not done, or nobody has closed it yet. */
  #held = true;
  #ended = false;
  #onEnd: EndOfScope | undefined;

  constructor(options: ResolvedScopeOptions, onFailure: OnFailure) {
    const { clock } = options;
    const startMs = clock.monotonicMs();
    const outer = ambientDeadline();
    const parent = outer === undefined ? undefined : enclosing();
    const { timeoutMs, graceMs } =
      outer === undefined ? options : timesWithin(ambientRemainingMs(), parent?.graceMs ?? Infinity, options);
    super(clock, startMs + timeoutMs, outer);
    this.name = options.name;
    this.#startMs = startMs;
    this.#timeoutMs = timeoutMs;
    this.graceMs = graceMs;
    this.#onFailure = onFailure;
    this.#events = sinkFor(options.onEvent);
    this.#begin(options.signal, parent);
  }

  get path(): string {
    return this.name;
  }

  /** What has become of the forks so far. */
  report(): ScopeReport {
    return { ...this.#counts, running: this.#running.size };
  }

  /**
   * Starts a subtask.
   * @returns its value; rejects with its error, or with a `CancelReason` as soon as it is cancelled
   * @throws ScopeEndedError when the scope has returned
   */
  fork<Value>(name: string, fn: ForkFunction<Value>): Promise<Value>;
  fork<Value>(name: string, options: ForkOptions | undefined, fn: ForkFunction<Value>): Promise<Value>;
  fork<Value>(
    name: string,
    second: ForkOptions | undefined | ForkFunction<Value>,
    third?: ForkFunction<Value>,
  ): Promise<Value> {
    const fn = typeof second === "function" ? second : third;
    if (typeof fn !== "function") throw new TypeError(`fn must be a function, got ${typeof fn}`);
    const timeoutMs = second === undefined || typeof second === "function" ? Infinity : resolveForkTimeoutMs(second);
    if (typeof name !== "string" || name === "")
      throw new TypeError(`name must be a string that is not empty, got ${name === "" ? '""' : typeof name}`);
    if (this.#ended) throw new ScopeEndedError(this.name, name);
    const nowMs = this.clock.monotonicMs();
    const fork = new Fork<Value>(this, name, timeoutMs, nowMs);
    this.#counts.forks += 1;
    this.#running.add(fork);
    // The clock is asked, since no timer runs while the event loop is blocked.
    if (nowMs >= this.atMs) this.timeIsOver();
    if (this.cancelReason === undefined) fork.start(fn);
    else fork.cancel(this.cancelReason);
    return fork.promise;
  }

  /** Cancels the scope and all its forks. The first reason counts. */
  cancel(reason: CancelReason): void {
    if (this.#ended || !this.cancelWith(reason)) return;
    this.#deadline?.cancel();
    for (const fork of this.#running.all()) fork.cancel(reason);
    // Whoever heard of it may have closed the scope: nothing is armed any more then (S5).
    if (this.#ended) return;
    if (this.graceMs === 0) this.#end();
    else this.#grace = deadlineListOf(this.clock, this.graceMs).add(() => this.#end());
    this.#endIfDone();
  }

  /** Called when the deadline is seen to have passed. */
  timeIsOver(): void {
    const lateByMs = this.clock.monotonicMs() - this.atMs;
    this.cancel(new ScopeTimeoutError(this.name, this.#timeoutMs, lateByMs));
  }

  /** Its own function is done, or it is being closed: it ends with its last fork. */
  letGo(): void {
    this.#held = false;
    this.#endIfDone();
  }

  /** Remembers the first failure, and cancels the rest by the policy. */
  failed(sibling: string | null, error: unknown): void {
    this.#firstFailure ??= { error };
    this.cancel(new SiblingFailedError(this.name, sibling, error));
  }

  /** Tells once the scope has ended: the first failure or the reason of the cancellation, or nothing when all is well. */
  whenEnded(end: EndOfScope): void {
    this.#onEnd = end;
    if (this.#ended) this.#tellEnd();
  }

  /** Called by a fork that failed or passed its own deadline. */
  forkFailed(fork: RunningFork, error: unknown): void {
    if (this.#onFailure === "cancel" && this.cancelReason === undefined) this.failed(fork.name, error);
  }

  /** Called by a fork whose work has settled in time. */
  forkSettled(fork: RunningFork, end: ForkEnd, ignoredTimeout: boolean): void {
    this.#running.remove(fork);
    if (end === "timed-out") this.#counts.timedOut += 1;
    else this.#counts[end] += 1;
    if (ignoredTimeout) this.#counts.timeoutsWithoutCancellation += 1;
    this.#endIfDone();
  }

  /** Called by a fork that settled after the scope had returned. */
  zombieEnded(fork: RunningFork, result: "value" | "error"): void {
    this.#events.emit(() => ({
      type: "zombie-ended",
      scope: this.name,
      fork: fork.name,
      runMs: fork.ageMs,
      result,
    }));
  }

  #begin(signal: AbortSignal | undefined, parent: Cancellable | undefined): void {
    if (signal?.aborted === true) {
      this.cancel(new CallerCancelledError(this.name, signal.reason, "none"));
    } else if (parent?.cancelReason !== undefined) {
      this.cancel(parent.cancelReason);
    } else if (this.#timeoutMs <= 0) {
      this.cancel(new ScopeTimeoutError(this.name, this.#timeoutMs, 0, "none"));
    } else {
      if (this.#timeoutMs !== Infinity) {
        this.#deadline = new ScopeDeadline(this);
        deadlineListOf(this.clock, this.#timeoutMs).start(this.#deadline, this.#startMs);
      }
      this.#leaveParent = parent?.onCancel((reason) => this.cancel(reason));
      if (signal === undefined) return;
      this.#caller = onAbort(signal, () => this.cancel(new CallerCancelledError(this.name, signal.reason, "possible")));
    }
  }

  #endIfDone(): void {
    if (!this.#held && this.#running.size === 0) this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#deadline?.cancel();
    this.#grace?.cancel();
    this.#caller?.cancel();
    this.#leaveParent?.();
    if (this.#running.size > 0) for (const fork of this.#running.all()) this.abandon(fork);
    if (this.#events.active) this.#emitEnd();
    this.#tellEnd();
  }

  #emitEnd(): void {
    this.#events.emit(() => ({
      type: "ended",
      scope: this.name,
      outcome: this.#outcome(),
      durationMs: this.clock.monotonicMs() - this.#startMs,
      report: this.report(),
    }));
  }

  #tellEnd(): void {
    const reason = this.cancelReason;
    this.#onEnd?.ended(this.#firstFailure ?? (reason === undefined ? undefined : { error: reason }));
  }

  /** Waits no longer for a fork that goes on after its cancellation and its grace. */
  abandon(fork: RunningFork): void {
    this.#running.remove(fork);
    fork.outlive();
    const timedOut = fork.cancelReason instanceof ScopeTimeoutError;
    this.#counts.zombies += 1;
    if (timedOut) this.#counts.timeoutsWithoutCancellation += 1;
    this.#events.emit(() => ({
      type: "zombie",
      scope: this.name,
      fork: fork.name,
      runningMs: fork.ageMs,
      because: timedOut ? "timed-out" : "cancelled",
    }));
    this.#endIfDone();
  }

  #outcome(): "success" | "failed" | "timed-out" | "cancelled" {
    if (this.cancelReason instanceof ScopeTimeoutError) return "timed-out";
    if (this.#firstFailure !== undefined) return "failed";
    return this.cancelReason === undefined ? "success" : "cancelled";
  }
}
