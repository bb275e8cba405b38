/** Waiting inside a scope. */
import { sleep, systemClock } from "@holdfast/core";
import type { Clock } from "@holdfast/core";
import { enclosing } from "./cancellable.ts";

/**
 * Waits, no longer than the enclosing scope or fork goes on.
 * @param delayMs milliseconds
 * @throws the reason of the cancellation, as soon as it happens
 */
export function pause(delayMs: number, clock: Clock = systemClock): Promise<void> {
  return sleep(clock, delayMs, enclosing()?.signal);
}
