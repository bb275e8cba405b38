/** The deadline of the work that is running, for code that was not handed one. */
import { ambientDeadline, ambientRemainingMs } from "@holdfast/core";
import { enclosing } from "./cancellable.ts";

/** What is known about the running work. */
export interface CurrentDeadline {
  /** Milliseconds left now, 0 when it has passed or the work was cancelled, Infinity when its scope has no deadline. */
  remainingMs(): number;
  /** Aborts when the enclosing scope or fork is cancelled; undefined when the deadline came without a scope. */
  readonly signal: AbortSignal | undefined;
  /** The enclosing scope, `checkout`, or fork, `checkout/cart`. */
  readonly scope: string | undefined;
}

/** The deadline and the scope of the running work, or undefined when it has neither. */
export function currentDeadline(): CurrentDeadline | undefined {
  const deadline = ambientDeadline();
  const owner = enclosing();
  if (deadline === undefined || (owner === undefined && ambientRemainingMs() === Infinity)) return undefined;
  return {
    remainingMs: () =>
      owner?.cancelReason === undefined ? Math.max(0, deadline.atMs - deadline.clock.monotonicMs()) : 0,
    get signal() {
      return owner?.signal;
    },
    scope: owner?.path,
  };
}
