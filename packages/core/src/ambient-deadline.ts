/**
 * The deadline of the work that is running, carried along asynchronous calls. A scope sets it; bulkheads, nested scopes and every wait
 * of the toolkit read it, so that nobody waits longer than the one who asked.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";

/** When the running work must be done. */
export interface AmbientDeadline {
  /** On the clock's monotonic scale, in milliseconds; Infinity when only the enclosing work is named. */
  readonly atMs: number;
  readonly clock: Clock;
  /** The deadline that was in force when this one was set. */
  readonly outer: AmbientDeadline | undefined;
}

const storage = new AsyncLocalStorage<AmbientDeadline | undefined>();

/** The deadline of the work that is running, if it has one. */
export function ambientDeadline(): AmbientDeadline | undefined {
  return storage.getStore();
}

/** Milliseconds until the ambient deadline, 0 when it has passed, Infinity when there is none. */
export function ambientRemainingMs(): number {
  const deadline = storage.getStore();
  return deadline === undefined ? Infinity : Math.max(0, deadline.atMs - deadline.clock.monotonicMs());
}

/**
 * Runs a function, and what it calls, under a deadline; an earlier one that is in force stays in force.
 * @param timeoutMs milliseconds from now
 */
export function withAmbientDeadline<Value>(timeoutMs: number, fn: () => Value, clock: Clock = systemClock): Value {
  if (timeoutMs >= ambientRemainingMs()) return fn();
  return storage.run({ atMs: clock.monotonicMs() + timeoutMs, clock, outer: storage.getStore() }, fn);
}

/**
 * Runs a function under a deadline that its owner made no later than the one in force: a scope is its own ambient deadline, by which the
 * work below finds it.
 */
export function withinAmbientDeadline<Value>(deadline: AmbientDeadline, fn: () => Value): Value {
  return storage.run(deadline, fn);
}

/** Runs a function without the deadline of its caller: for background work that outlives the call which started it. */
export function withoutAmbientDeadline<Value>(fn: () => Value): Value {
  return storage.run(undefined, fn);
}
