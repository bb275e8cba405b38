/** Options of scopes and forks, checked. */
import { callback, integer, integerOr, optionsObject, signal as checkSignal, systemClock, text } from "@holdfast/core";
import type { Clock } from "@holdfast/core";
import type { ScopeEvent } from "./events.ts";

/** Options of a scope. */
export interface ScopeOptions {
  /** Names it in errors, events and reports; 1 to 256 bytes. */
  readonly name: string;
  /** Time for everything in it, in milliseconds, 0 to 86,400,000. Default: what the enclosing scope has left, else no limit. */
  readonly timeoutMs?: number | undefined;
  /**
   * How long forks may take to end after a cancellation, in milliseconds. Default 100. Inside another scope at most a quarter of the time
   * that one has left.
   */
  readonly graceMs?: number | undefined;
  /** Cancels the scope when it aborts. */
  readonly signal?: AbortSignal | undefined;
  /** Local time. Default the system's. */
  readonly clock?: Clock | undefined;
  /** Called with each event of this scope. */
  readonly onEvent?: ((event: ScopeEvent) => void) | undefined;
}

/** Options of a fork. */
export interface ForkOptions {
  /** Time for this fork in milliseconds, 0 to 86,400,000; never more than its scope has left. */
  readonly timeoutMs?: number | undefined;
}

/** Scope options, complete and checked. */
export interface ResolvedScopeOptions {
  readonly name: string;
  readonly timeoutMs: number;
  readonly graceMs: number;
  readonly signal: AbortSignal | undefined;
  readonly clock: Clock;
  readonly onEvent: ((event: ScopeEvent) => void) | undefined;
}

const durationRangeMs = { min: 0, max: 86_400_000 };

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveScopeOptions(options: ScopeOptions): ResolvedScopeOptions {
  optionsObject("options", options);
  checkSignal("signal", options.signal);
  if (options.onEvent !== undefined) callback("onEvent", options.onEvent);
  return {
    name: text("name", options.name),
    timeoutMs: resolveTimeoutMs(options.timeoutMs),
    graceMs: integerOr(100, "graceMs", options.graceMs, durationRangeMs),
    signal: options.signal,
    clock: options.clock ?? systemClock,
    onEvent: options.onEvent,
  };
}

/** The time of a fork, Infinity for none. @throws TypeError, RangeError */
export function resolveForkTimeoutMs(options: ForkOptions): number {
  optionsObject("options", options);
  return resolveTimeoutMs(options.timeoutMs);
}

/** Milliseconds, Infinity for none. @throws TypeError, RangeError */
function resolveTimeoutMs(timeoutMs: number | undefined): number {
  return timeoutMs === undefined ? Infinity : integer("timeoutMs", timeoutMs, durationRangeMs);
}
