/**
 * The deadline of the work that is running, carried along asynchronous calls. A scope sets it; bulkheads, nested scopes and every wait
 * of the toolkit read it, so that nobody waits longer than the one who asked.
 */
import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
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
 * How long a request may take because of the ambient deadline. A deadline that has passed shortens nothing: what is still asked then gives
 * back, stores or tells (the lock that a cancelled body held, the outcome of an attempt), and must not fail for being late.
 */
export function ambientPatienceMs(): number {
  const remainingMs = ambientRemainingMs();
  return remainingMs === 0 ? Infinity : remainingMs;
}

/**
 * Runs a function, and what it calls, under a deadline; an earlier one that is in force stays in force.
 * @param timeoutMs milliseconds from now
 */
export function withAmbientDeadline<Value>(timeoutMs: number, fn: () => Value, clock: Clock = systemClock): Value {
  if (timeoutMs >= ambientRemainingMs()) return fn();
  return storage.run({ atMs: clock.monotonicMs() + timeoutMs, clock, outer: storage.getStore() }, fn);
}

const resourceOptions = { requireManualDestroy: true };

function enter<Argument, Value>(
  deadline: AmbientDeadline,
  fn: (argument: Argument) => Value,
  argument: Argument,
): Value {
  storage.enterWith(deadline);
  return fn(argument);
}

/**
 * Runs a function under a deadline that its owner made no later than the one in force: a scope is its own ambient deadline, by which the
 * work below finds it. The resource puts back what was in force before as it was; `run` of the storage would write it anew, a second copy
 * of all storages for each call, and leave that with the caller.
 */
export function withinAmbientDeadline<Argument, Value>(
  deadline: AmbientDeadline,
  fn: (argument: Argument) => Value,
  argument: Argument,
): Value {
  const resource = new AsyncResource("HOLDFAST_DEADLINE", resourceOptions);
  return resource.runInAsyncScope(enter<Argument, Value>, undefined, deadline, fn, argument);
}

/** Runs a function without the deadline of its caller: for background work that outlives the call which started it. */
export function withoutAmbientDeadline<Value>(fn: () => Value): Value {
  return storage.getStore() === undefined ? fn() : storage.run(undefined, fn);
}
