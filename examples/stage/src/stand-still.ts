/**
 * Owns how a process of a scenario says for how long it did not run, so that no figure blames Holdfast for what a busy machine did.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";

const RESOLUTION_MS = 5;
const NANOSECONDS_PER_MS = 1e6;

/** Watches this process from now on. Gives what reads the longest time for which it stood still since, in milliseconds. */
export function watchStandStill(): () => number {
  const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  loop.enable();
  return () => loop.max / NANOSECONDS_PER_MS;
}
