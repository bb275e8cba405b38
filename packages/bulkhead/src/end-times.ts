/**
 * When work has ended. A call that does nothing would be spent on reading the clock, and more than 10,000 calls a second tell no more about
 * a dependency than 10,000 do. So of the calls that begin in the same hundredth of a second the first hundred are timed to their ends, and
 * of the others one in sixteen; an untimed one counts as ended at the latest time known. Nothing goes by that but the slices of the
 * breaker's window, where at most fifteen successes in a row come too early; deadlines, and whatever needs a duration, read the clock.
 */
import type { Clock, EventSink } from "@holdfast/core";
import type { Breaker } from "./breaker.ts";
import type { Call } from "./call.ts";
import type { BulkheadEvent } from "./events.ts";
import type { PermitSettings } from "./permit-settings.ts";

const timedMax = 100;
const timedMs = 10;
/** So many ends in a row do without a reading. */
const unreadMax = 15;

/** Reads the clock for the calls of one bulkhead. */
export class EndTimes {
  readonly #clock: Clock;
  readonly #breaker: Breaker;
  readonly #events: EventSink<BulkheadEvent>;
  readonly #all: boolean;
  #latestMs = -Infinity;
  #roomUntilMs = -Infinity;
  #room = 0;
  #unread = 0;

  constructor({ options, adaptive, breaker, events }: PermitSettings) {
    this.#clock = options.clock;
    this.#breaker = breaker;
    this.#events = events;
    this.#all = adaptive !== undefined || options.classify !== undefined;
  }

  /** A call begins. */
  begin(call: Call, nowMs: number): void {
    this.#latestMs = nowMs;
    call.timed = this.#all || this.#isWanted(call) || this.#hasRoom(nowMs);
  }

  /** Its work has ended: now, or at the latest time known when it is not timed. */
  end(call: Call): number {
    if (!call.timed && this.#unread < unreadMax) {
      this.#unread += 1;
      return this.#latestMs;
    }
    call.timed = true;
    this.#unread = 0;
    this.#latestMs = this.#clock.monotonicMs();
    return this.#latestMs;
  }

  /** Whether somebody is told how long it took. */
  #isWanted({ classify }: Call): boolean {
    return classify !== undefined || this.#breaker.needsDurations || this.#events.active;
  }

  #hasRoom(nowMs: number): boolean {
    if (nowMs >= this.#roomUntilMs) {
      this.#roomUntilMs = nowMs + timedMs;
      this.#room = timedMax;
    }
    if (this.#room === 0) return false;
    this.#room -= 1;
    return true;
  }
}
