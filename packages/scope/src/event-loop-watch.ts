/**
 * Reports a blocked event loop: while it is blocked no deadline is noticed and no cancellation arrives, the Node counterpart of a pinned
 * thread. A timer measures its own lateness, which sees long callbacks, garbage collection and a frozen process alike; with `attribute`
 * a hook around every callback finds the scope that ran the longest one since the last look.
 */
import { createHook } from "node:async_hooks";
import { integerOr, optionsObject, systemClock, withoutAmbientDeadline } from "@holdfast/core";
import type { Clock, TimerHandle } from "@holdfast/core";
import { enclosing } from "./cancellable.ts";
import { sinkFor } from "./events.ts";
import type { ScopeEvent } from "./events.ts";
import { clearEntry, lastEntry, watchEntries } from "./running-now.ts";

/** Options of `watchEventLoop`. */
export interface EventLoopWatchOptions {
  /** Shorter blocks are not reported; milliseconds, 10 to 600,000. Default 50. */
  readonly thresholdMs?: number | undefined;
  /** Whether to find the scope that blocked; costs about 0.2 µs per callback and promise. Default true. */
  readonly attribute?: boolean | undefined;
  /** Local time. Default the system's. */
  readonly clock?: Clock | undefined;
  /** Called with each `loop-blocked` event. */
  readonly onEvent?: ((event: ScopeEvent) => void) | undefined;
}

/** A running watch. */
export interface EventLoopWatch extends Disposable {
  /** The longest block so far, in milliseconds; 0 when there was none. */
  readonly longestMs: number;
  /** Blocks so far. */
  readonly blocks: number;
  /** Stops watching. */
  close(): void;
}

interface LongestCallback {
  durationMs: number;
  scope: string | undefined;
}

/** Times every callback of the process. Resolves to a function that stops it. */
function timeCallbacks(clock: Clock, longest: LongestCallback): () => void {
  let startMs = clock.monotonicMs();
  // Callbacks lie within one another: the function of a scope is one within the callback that opened it. The outermost takes the time.
  let depth = 0;
  const endEntries = watchEntries();
  const hook = createHook({
    before() {
      depth += 1;
      if (depth > 1) return;
      clearEntry();
      startMs = clock.monotonicMs();
    },
    after() {
      // The callback that began the watch has an end, but no beginning.
      depth = Math.max(0, depth - 1);
      if (depth > 0) return;
      const durationMs = clock.monotonicMs() - startMs;
      if (durationMs <= longest.durationMs) return;
      longest.durationMs = durationMs;
      longest.scope = enclosing()?.path ?? lastEntry();
    },
  }).enable();
  let over = false;
  return () => {
    hook.disable();
    if (!over) endEntries();
    over = true;
  };
}

/**
 * Watches the event loop until closed; does not keep the process alive.
 * @throws TypeError, RangeError
 */
export function watchEventLoop(options: EventLoopWatchOptions = {}): EventLoopWatch {
  optionsObject("options", options);
  const thresholdMs = integerOr(50, "thresholdMs", options.thresholdMs, { min: 10, max: 600_000 });
  const clock = options.clock ?? systemClock;
  const events = sinkFor(options.onEvent);
  const everyMs = Math.ceil(thresholdMs / 2);
  const longest: LongestCallback = { durationMs: 0, scope: undefined };
  const seen = { longestMs: 0, blocks: 0 };
  let dueAtMs = 0;
  let timer: TimerHandle;
  const stopTiming = options.attribute === false ? undefined : timeCallbacks(clock, longest);
  const arm = (): void => {
    dueAtMs = clock.monotonicMs() + everyMs;
    timer = clock.setTimer(look, everyMs, true);
  };
  const look = (): void => {
    const blockedMs = clock.monotonicMs() - dueAtMs;
    // The block began between two looks: the callback that took most of it is the one to name.
    const scope = longest.durationMs >= blockedMs / 2 ? longest.scope : undefined;
    longest.durationMs = 0;
    longest.scope = undefined;
    arm();
    if (blockedMs < thresholdMs) return;
    seen.blocks += 1;
    seen.longestMs = Math.max(seen.longestMs, blockedMs);
    events.emit(() => ({ type: "loop-blocked", blockedMs, scope }));
  };
  withoutAmbientDeadline(arm);
  const close = (): void => {
    clock.clearTimer(timer);
    stopTiming?.();
  };
  return {
    get longestMs() {
      return seen.longestMs;
    },
    get blocks() {
      return seen.blocks;
    },
    close,
    [Symbol.dispose]: close,
  };
}
