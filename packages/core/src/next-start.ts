/** The time of several requests of which each waits for the one before it: that of one call, or the last callers would wait as often. */
import type { Clock } from "./clock.ts";
import type { Durability } from "./durable-wire.ts";

/**
 * When the time of the next request began, in monotonic milliseconds: when that of the last one did. For replicas each waits anew, beside its
 * time, so the wait of the last one is not missing to the next.
 * @param startMs when the time of the last one began
 */
export function nextStartMs(
  startMs: number,
  { clock, durability }: { readonly clock: Clock; readonly durability?: Durability | undefined },
): number {
  return durability === undefined ? startMs : Math.min(clock.monotonicMs(), startMs + durability.timeoutMs);
}
