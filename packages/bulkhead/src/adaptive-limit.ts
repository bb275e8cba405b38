/**
 * The limit that follows the dependency: Little's law, gated by the throughput that a raise brings.
 *
 * Little's law says how many permits the offered load needs at the present service time: rate x time. Taken alone it feeds on itself when
 * the dependency is saturated: more calls in flight make it slower, hence more permits. So a raise is a trial. While all permits are in
 * use, throughput is permits x answers / time spent, which is far less noisy than a count of answers per second; a raise of the limit by
 * x must raise it by at least 0.3 x, or it is taken back. A merely slower dependency passes each time, and the steps grow; a saturated one fails the first,
 * and the next trial waits three times as long.
 *
 * Timeouts after nearly the whole time that a call had, at least half of the calls, say that even the present limit is too much.
 */

/** Bounds of the limit. */
export interface LimitBounds {
  readonly concurrencyMin: number;
  readonly concurrencyMax: number;
}

/** What was measured at one level of the limit. */
interface Level {
  readonly limit: number;
  /** The mean time that a call holds its permit. */
  readonly meanMs: number;
  /** Answers per millisecond with all permits in use; a call that times out takes its time and gives none. */
  readonly throughput: number;
}

const gainWanted = 0.3;
const steadyWithin = 0.15;
const stepFirst = 1.2;
const stepGrowth = 0.4;
const stepMax = 2;
const holdFirstMs = 1_000;
const holdGrowth = 3;
const holdMaxMs = 30_000;
const backOff = 0.7;
const idleDecay = 0.9;
const samplesMin = 8;
const samplesMax = 50;

/** Decides the limit from what calls report. */
export class AdaptiveLimit {
  readonly #bounds: LimitBounds;
  readonly #start: number;
  readonly #onChange: (limit: number, because: string) => void;
  #limit: number;
  #base: Level | undefined;
  #trial = false;
  #step = stepFirst;
  #holdMs = holdFirstMs;
  #holdUntilMs = 0;
  /** Calls dispatched before do not tell about the present limit. */
  #sinceMs = -Infinity;
  #sumMs = 0;
  #samples = 0;
  #answers = 0;
  #timeouts = 0;
  #full = false;
  #peak = 0;

  /** @param start the limit to begin with */
  constructor(bounds: LimitBounds, start: number, onChange: (limit: number, because: string) => void) {
    this.#bounds = bounds;
    this.#start = start;
    this.#limit = start;
    this.#onChange = onChange;
  }

  /** A call was dispatched, with so many now in flight. */
  dispatched(inFlight: number): void {
    if (inFlight > this.#peak) this.#peak = inFlight;
  }

  /** A call found no free permit. */
  sawFull(): void {
    this.#full = true;
  }

  /** A call was answered. @param perSecond calls offered per second, refused ones included */
  answered(dispatchedMs: number, durationMs: number, nowMs: number, perSecond: number): void {
    if (dispatchedMs < this.#sinceMs) return;
    this.#sumMs += durationMs;
    this.#answers += 1;
    this.#count(nowMs, perSecond);
  }

  /**
   * A call timed out after `ranMs`.
   * @param whole whether it had nearly the whole time of a call
   */
  timedOut(dispatchedMs: number, ranMs: number, whole: boolean, nowMs: number, perSecond: number): void {
    if (dispatchedMs < this.#sinceMs) return;
    this.#sumMs += ranMs;
    if (whole) this.#timeouts += 1;
    this.#count(nowMs, perSecond);
  }

  #count(nowMs: number, perSecond: number): void {
    this.#samples += 1;
    if (this.#samples < this.#samplesNeeded()) return;
    const sumMs = Math.max(0.001, this.#sumMs);
    const level = {
      limit: this.#limit,
      meanMs: sumMs / this.#samples,
      throughput: (this.#limit * this.#answers) / sumMs,
    };
    const mostTimedOut = this.#timeouts * 2 >= this.#samples;
    if (mostTimedOut && !this.#trial && this.#limit > this.#bounds.concurrencyMin) {
      this.#hold(nowMs);
      this.#base = level;
      this.#set(Math.max(this.#bounds.concurrencyMin, Math.floor(this.#limit * backOff)), "timeouts", nowMs);
    } else if (this.#trial && this.#base !== undefined && this.#full) {
      this.#judge(this.#base, level, nowMs, perSecond);
    } else {
      // A raise is compared with a level that stands still: after a change of the dependency nothing does for a moment.
      const steady =
        this.#base?.limit === level.limit && Math.abs(level.throughput / this.#base.throughput - 1) <= steadyWithin;
      this.#trial = false;
      this.#base = level;
      this.#adjust(level, steady, nowMs, perSecond);
    }
  }

  /** One round of the permits, and two for a first small raise, whose effect is close to the noise. */
  #samplesNeeded(): number {
    const rounds = this.#trial && this.#step === stepFirst ? 2 : 1;
    return Math.max(samplesMin, Math.min(rounds * this.#limit, samplesMax));
  }

  #judge(base: Level, level: Level, nowMs: number, perSecond: number): void {
    const raise = level.limit / base.limit - 1;
    this.#trial = false;
    if (level.throughput >= base.throughput * (1 + gainWanted * raise)) {
      this.#base = level;
      this.#step = Math.min(stepMax, this.#step + stepGrowth);
      this.#holdMs = holdFirstMs;
      this.#adjust(level, true, nowMs, perSecond);
    } else {
      this.#hold(nowMs);
      this.#set(base.limit, "a raise brought no throughput", nowMs);
    }
  }

  #adjust(level: Level, steady: boolean, nowMs: number, perSecond: number): void {
    const needed = Math.ceil((perSecond * level.meanMs) / 1_000);
    const { concurrencyMax } = this.#bounds;
    if (steady && this.#full && needed > level.limit && level.limit < concurrencyMax && nowMs >= this.#holdUntilMs) {
      this.#trial = true;
      this.#set(
        Math.min(concurrencyMax, needed, Math.max(level.limit + 1, Math.round(level.limit * this.#step))),
        "the load needs more permits",
        nowMs,
      );
    } else if (this.#limit > this.#start && this.#peak * 2 < this.#limit) {
      this.#set(Math.max(this.#start, Math.floor(this.#limit * idleDecay)), "permits are idle", nowMs);
    } else {
      this.#restart(nowMs);
    }
  }

  #hold(nowMs: number): void {
    this.#step = stepFirst;
    this.#holdUntilMs = nowMs + this.#holdMs;
    this.#holdMs = Math.min(holdMaxMs, this.#holdMs * holdGrowth);
  }

  #set(limit: number, because: string, nowMs: number): void {
    const changed = limit !== this.#limit;
    this.#limit = limit;
    // What is dispatched in the first service time still meets the load of the old limit.
    this.#restart(nowMs + (this.#base?.meanMs ?? 0));
    if (changed) this.#onChange(limit, because);
  }

  #restart(sinceMs: number): void {
    this.#sinceMs = sinceMs;
    this.#sumMs = 0;
    this.#samples = 0;
    this.#answers = 0;
    this.#timeouts = 0;
    this.#full = false;
    this.#peak = 0;
  }
}
