/** For counter-tests: time without one of its timers. */
import { systemClock } from "@holdfast/core";
import type { Clock } from "@holdfast/core";

/** The system's clock, on which timers of one length never fire. */
export function clockWithout(delayMs: number): Clock {
  return {
    ...systemClock,
    setTimer(callback, delay, weak) {
      const handle = systemClock.setTimer(callback, delay, weak);
      if (delay === delayMs) systemClock.clearTimer(handle);
      return handle;
    },
  };
}
