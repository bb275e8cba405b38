/**
 * One attempt: from its admission through the queue and the work to the moment the work has really settled. The permits decide; a call
 * holds what belongs to one attempt, its deadline included. Calls are used again once their work has settled; what the caller's function
 * sees is made anew each time.
 */
import type { AsyncResource } from "node:async_hooks";
import { Deadline } from "@holdfast/core";
import type { AbortRegistration, Clock, WorkOwner } from "@holdfast/core";
import type { Classify } from "./outcome.ts";
import type { HeldPermit } from "./reentry.ts";
import type { Waiter } from "./wait-queue.ts";

/** What a call's function gets. */
export interface CallContext {
  /** Aborts when the call times out or its caller gives up; the reason is the error that the caller got. */
  readonly signal: AbortSignal;
  /** Milliseconds until the deadline. */
  readonly remainingMs: () => number;
}

/** The function of a call. */
export type CallFunction<Value> = (context: CallContext) => PromiseLike<Value> | Value;

/** What one call may set for itself. */
export interface CallRequest {
  readonly signal: AbortSignal | undefined;
  readonly classify: Classify | undefined;
  /** Whether it is another attempt of a call that is inside already, and so is no newcomer to a bulkhead that is drained. */
  readonly again: boolean;
}

/** The context of one attempt; most functions never read the signal, so it is made when they do. */
export class LiveContext implements CallContext {
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  #controller: AbortController | undefined;
  #aborted: { readonly reason: unknown } | undefined;

  constructor(clock: Clock, deadlineMs: number) {
    this.#clock = clock;
    this.#deadlineMs = deadlineMs;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted.reason);
    }
    return this.#controller.signal;
  }

  get remainingMs(): () => number {
    return () => Math.max(0, this.#deadlineMs - this.#clock.monotonicMs());
  }

  /** Tells the work that nobody waits for it. */
  abort(reason: unknown): void {
    this.#aborted = { reason };
    this.#controller?.abort(reason);
  }
}

/**
 * idle: not in use · waiting: in the queue · running · abandoned: its caller has given up and it keeps its permit (a zombie) · leaked: its
 * permit was taken from it.
 */
export type CallState = "idle" | "waiting" | "running" | "abandoned" | "leaked";

/** Told when a call's time is over. */
export interface CallOwner {
  onDeadline(call: Call): void;
}

/** Told how the work of a call has settled. */
export interface CallWork {
  onValue(call: Call, value: unknown): void;
  onError(call: Call, error: unknown): void;
}

/** Stands for a function while a call is not in use. */
const nothing: CallFunction<unknown> = () => undefined;
const nobody = (): void => undefined;

/** The dispatch time of a call that was not dispatched. */
export const notDispatched = -1;

/** One attempt. */
export class Call extends Deadline implements Waiter, WorkOwner {
  previous: this | undefined = undefined;
  next: this | undefined = undefined;
  state: CallState = "idle";
  probe = false;
  /** Whether its caller has given up its running work. */
  cancelled = false;
  /** Whether its end is read from the clock. */
  timed = false;
  /** Monotonic milliseconds. */
  submittedMs = 0;
  /** Time in all, from the submission. */
  timeoutMs = 0;
  /** Monotonic milliseconds. */
  dispatchedMs: number = notDispatched;
  /** Of the breaker, when it got its permit. */
  generation = 0;
  fn: CallFunction<unknown> = nothing;
  classify: Classify | undefined = undefined;
  resolve: (value: unknown) => void = nobody;
  reject: (error: unknown) => void = nobody;
  context: LiveContext | undefined = undefined;
  abortRegistration: AbortRegistration | undefined = undefined;
  /** The mark of work that took the last permit. */
  held: HeldPermit | undefined = undefined;
  /** The asynchronous context of a caller that waits. */
  resource: AsyncResource | undefined = undefined;
  /** Belongs to the pool. */
  place: number;
  readonly #owner: CallOwner;
  readonly #work: CallWork;

  constructor(owner: CallOwner, work: CallWork, place: number) {
    super();
    this.place = place;
    this.#owner = owner;
    this.#work = work;
  }

  onDeadline(): void {
    this.#owner.onDeadline(this);
  }

  onValue(value: unknown): void {
    this.#work.onValue(this, value);
  }

  onError(error: unknown): void {
    this.#work.onError(this, error);
  }

  /** Undoes what was armed or listened to. */
  disarm(): void {
    this.cancel();
    if (this.abortRegistration === undefined) return;
    this.abortRegistration.cancel();
    this.abortRegistration = undefined;
  }

  /** Lets go of everything that belongs to the attempt. */
  clear(): void {
    this.state = "idle";
    this.probe = false;
    this.cancelled = false;
    this.dispatchedMs = notDispatched;
    this.fn = nothing;
    this.classify = undefined;
    this.resolve = nobody;
    this.reject = nobody;
    this.context = undefined;
    this.resource = undefined;
    this.held = undefined;
  }
}
