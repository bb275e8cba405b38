/**
 * What scopes and forks have in common: a deadline that the work below them finds as the ambient one, and a cancellation that happens
 * once, with a typed reason. The signal is made when it is first read; most work never reads it.
 */
import { ambientDeadline } from "@holdfast/core";
import type { AmbientDeadline, Clock } from "@holdfast/core";
import type { CancelReason } from "./errors.ts";

/** A node of the tree of scopes and forks. */
export abstract class Cancellable implements AmbientDeadline {
  /** `checkout`, or `checkout/cart` for a fork. */
  abstract readonly path: string;
  /** Milliseconds that work may take to end after a cancellation. */
  abstract readonly graceMs: number;
  readonly atMs: number;
  readonly clock: Clock;
  readonly outer: AmbientDeadline | undefined;
  #reason: CancelReason | undefined;
  #controller: AbortController | undefined;
  #listeners: Set<(reason: CancelReason) => void> | undefined;

  constructor(clock: Clock, atMs: number, outer: AmbientDeadline | undefined) {
    this.clock = clock;
    this.atMs = atMs;
    this.outer = outer;
  }

  /** Why it was cancelled, or undefined. */
  get cancelReason(): CancelReason | undefined {
    return this.#reason;
  }

  /** Aborts when this is cancelled, with the reason. Made on first use. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** Milliseconds until the deadline, 0 when it has passed or after a cancellation, Infinity when there is none. Needs no `this`. */
  get remainingMs(): () => number {
    return () => (this.#reason === undefined ? Math.max(0, this.atMs - this.clock.monotonicMs()) : 0);
  }

  /** Calls back with the reason when this is cancelled. The result ends the listening. */
  onCancel(listener: (reason: CancelReason) => void): () => void {
    this.#listeners ??= new Set();
    this.#listeners.add(listener);
    return () => this.#listeners?.delete(listener);
  }

  /** Cancels this and what listens to it; false when it was cancelled before. */
  protected cancelWith(reason: CancelReason): boolean {
    if (this.#reason !== undefined) return false;
    this.#reason = reason;
    this.#controller?.abort(reason);
    const listeners = this.#listeners;
    this.#listeners = undefined;
    if (listeners !== undefined) for (const listener of listeners) listener(reason);
    return true;
  }
}

/** The innermost scope or fork that the running work belongs to. */
export function enclosing(): Cancellable | undefined {
  let deadline = ambientDeadline();
  while (deadline !== undefined && !(deadline instanceof Cancellable)) deadline = deadline.outer;
  return deadline;
}
