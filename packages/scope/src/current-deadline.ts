/** The deadline of the work that is running, for code that was not handed one. */
import { ambientDeadline, ambientRemainingMs } from "@holdfast/core";
import { enclosing } from "./cancellable.ts";

/** What is known about the running work. */
export interface CurrentDeadline {
  /** Milliseconds left now, 0 when it has passed. */
  remainingMs(): number;
  /** Aborts when the enclosing scope or fork is cancelled; undefined when the deadline came without a scope. */
  readonly signal: AbortSignal | undefined;
  /** The enclosing scope, `checkout`, or fork, `checkout/cart`. */
  readonly scope: string | undefined;
}

/** The deadline in force, or undefined when there is none. */
export function currentDeadline(): CurrentDeadline | undefined {
  const deadline = ambientDeadline();
  if (deadline === undefined || ambientRemainingMs() === Infinity) return undefined;
  const owner = enclosing();
  return {
    remainingMs: () =>
      owner?.cancelReason === undefined ? Math.max(0, deadline.atMs - deadline.clock.monotonicMs()) : 0,
    get signal() {
      return owner?.signal;
    },
    scope: owner?.path,
  };
}
