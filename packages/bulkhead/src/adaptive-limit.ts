/**
 * The limit that follows the dependency: Little's law, gated by the throughput that a raise brings.
 *
 * Little's law says how many permits the offered load needs at the present service time: rate x time. Taken alone it feeds on itself when
 * the dependency is saturated: more calls in flight make it slower, hence more permits. So a raise is a trial: by a round of calls once all
 * permits are in use, or as many more as chance demands, level.ts tells whether it has paid off; if not it is taken back. A merely slower
 * dependency passes each time, and the steps grow; a saturated one fails the first, and the next trial waits twice as long.
 *
 * Two rounds in which at least half of the calls time out after nearly the whole time that a call has say that even the present limit is
 * too much. One may be a pause of this process.
 */
import { hasPaidOff, isBaseFor, Level, roundOf } from "./level.ts";
import type { Estimate } from "./level.ts";

/** Bounds of the limit. */
export interface LimitBounds {
  readonly concurrencyMin: number;
  readonly concurrencyMax: number;
}

const stepFirst = 1.2;
const stepGrowth = 0.3;
const stepMax = 1.8;
const holdFirstMs = 1_000;
const holdGrowth = 2;
const holdMaxMs = 30_000;
const backOff = 0.7;
const badRoundsMax = 2;
const idleDecay = 0.9;

/** Decides the limit from what calls report. */
export class AdaptiveLimit {
  readonly #bounds: LimitBounds;
  readonly #start: number;
  readonly #onChange: (limit: number, because: string) => void;
  #level: Level;
  /** The level before a raise that is on trial. */
  #base: Estimate | undefined;
  /** The permits of a raise are not all in use yet. */
  #filling = false;
  #step = stepFirst;
  #holdMs = holdFirstMs;
  #holdUntilMs = 0;
  /** Calls dispatched until then do not tell about the present limit. */
  #sinceMs = -Infinity;
  #calls = 0;
  #timeouts = 0;
  #peak = 0;
  #full = false;
  #wasFull = false;
  #badRounds = 0;

  /** @param start the limit to begin with */
  constructor(bounds: LimitBounds, start: number, onChange: (limit: number, because: string) => void) {
    this.#bounds = bounds;
    this.#start = start;
    this.#level = new Level(start);
    this.#onChange = onChange;
  }

  /** A call was dispatched, with so many now in flight. */
  dispatched(inFlight: number, nowMs: number): void {
    if (inFlight > this.#peak) this.#peak = inFlight;
    if (!this.#filling || inFlight < this.#level.limit) return;
    this.#filling = false;
    this.#begin(nowMs);
  }

  /** A call found no free permit. */
  sawFull(nowMs: number): void {
    if (this.#full) return;
    // What ended before met free permits.
    if (this.#base === undefined && !this.#wasFull) this.#begin(Math.max(nowMs, this.#sinceMs));
    this.#full = true;
  }

  /** A call was answered. @param perSecond calls offered per second, refused ones included */
  answered(dispatchedMs: number, durationMs: number, nowMs: number, perSecond: number): void {
    this.#ended(dispatchedMs, durationMs, true, nowMs, perSecond);
  }

  /** A call timed out after `ranMs`, nearly the whole time of a call. */
  timedOut(dispatchedMs: number, ranMs: number, nowMs: number, perSecond: number): void {
    this.#ended(dispatchedMs, ranMs, false, nowMs, perSecond);
  }

  #ended(dispatchedMs: number, ranMs: number, answered: boolean, nowMs: number, perSecond: number): void {
    if (dispatchedMs <= this.#sinceMs) return;
    this.#calls += 1;
    if (!answered) this.#timeouts += 1;
    if (!this.#filling) {
      this.#level.add(ranMs, answered, nowMs);
      if (this.#base !== undefined) this.#judge(this.#base, nowMs, perSecond);
      else if (this.#full) this.#raise(nowMs, perSecond);
    }
    if (this.#calls >= roundOf(this.#level.limit)) this.#endRound(nowMs);
  }

  #judge(base: Estimate, nowMs: number, perSecond: number): void {
    const raised = this.#level.all();
    const paidOff = this.#level.mostTimedOut ? false : raised && hasPaidOff(base, raised);
    if (paidOff === undefined) return;
    this.#base = undefined;
    if (paidOff) {
      this.#step = Math.min(stepMax, this.#step + stepGrowth);
      this.#holdMs = holdFirstMs;
      this.#raise(nowMs, perSecond);
      return;
    }
    this.#hold(nowMs);
    this.#holdMs = Math.min(holdMaxMs, this.#holdMs * holdGrowth);
    this.#set(base.limit, "a raise brought no throughput", nowMs + base.meanMs);
  }

  #raise(nowMs: number, perSecond: number): void {
    const { limit } = this.#level;
    const { concurrencyMax } = this.#bounds;
    if (limit >= concurrencyMax || nowMs < this.#holdUntilMs) return;
    const step = Math.min(concurrencyMax, Math.max(limit + 1, Math.round(limit * this.#step)));
    const raisedBy = ({ meanMs }: Estimate): number => Math.min(step, Math.ceil((perSecond * meanMs) / 1_000));
    const base = this.#level.latest((estimate) => {
      const raised = raisedBy(estimate);
      return raised > limit && isBaseFor(raised, estimate);
    });
    if (base === undefined) return;
    this.#set(raisedBy(base), "the load needs more permits", nowMs, base);
  }

  #endRound(nowMs: number): void {
    const { limit } = this.#level;
    const { concurrencyMin } = this.#bounds;
    this.#badRounds = this.#timeouts * 2 >= this.#calls ? this.#badRounds + 1 : 0;
    if (this.#filling) {
      // The load does without all of them, so there is nothing to try.
      this.#begin(nowMs);
      this.#base = undefined;
      this.#filling = false;
    } else if (this.#base === undefined && this.#badRounds >= badRoundsMax && limit > concurrencyMin) {
      const meanMs = this.#level.latest(() => true)?.meanMs ?? 0;
      this.#hold(nowMs);
      this.#set(Math.max(concurrencyMin, Math.floor(limit * backOff)), "timeouts", nowMs + meanMs);
    } else if (this.#base === undefined && limit > this.#start && this.#peak * 2 < limit) {
      this.#set(Math.max(this.#start, Math.floor(limit * idleDecay)), "permits are idle", nowMs);
    }
    this.#wasFull = this.#full;
    this.#full = false;
    this.#calls = 0;
    this.#timeouts = 0;
    this.#peak = 0;
  }

  #hold(nowMs: number): void {
    this.#step = stepFirst;
    this.#holdUntilMs = nowMs + this.#holdMs;
  }

  /**
   * @param sinceMs what is dispatched until then still meets the load of the old limit
   * @param base of a raise that is to be tried
   */
  #set(limit: number, because: string, sinceMs: number, base?: Estimate): void {
    const changed = limit !== this.#level.limit;
    this.#level = new Level(limit);
    this.#base = base;
    this.#filling = base !== undefined;
    this.#full = false;
    this.#wasFull = false;
    this.#badRounds = 0;
    this.#peak = 0;
    this.#begin(sinceMs);
    if (changed) this.#onChange(limit, because);
  }

  /** Calls count from now on. */
  #begin(sinceMs: number): void {
    this.#level = new Level(this.#level.limit);
    this.#sinceMs = sinceMs;
    this.#calls = 0;
    this.#timeouts = 0;
  }
}
