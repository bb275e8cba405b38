/** What calls have told about one level of the limit while all its permits were in use, and whether a higher level has brought throughput. */

/** Fewer calls are an anecdote. */
const callsMin = 8;
/** More calls are no longer waited for. */
const roundMax = 50;
/** What is older may be about another time. */
const callsKept = 64;
/** What ends within a part of the time of one call may have met the same moment, or one pause of this process. */
const spanWanted = 0.5;
/** So many times the calls before a raise are the most that its trial takes. */
const trialMax = 3;
/** Standard errors between what was measured and what is concluded. */
const certainty = 2;
/** The part of a raise that must come back as throughput: half-way between a dependency that has room and one that has none. */
const gainWanted = 0.5;

/** Calls of which each permit has had one, with few permits some more: permits that were taken together also come back together. */
export function roundOf(limit: number): number {
  return Math.max(callsMin, Math.min(limit, roundMax));
}

/** What so many calls have told. */
export interface Estimate {
  readonly limit: number;
  readonly calls: number;
  /** The mean time that a call held its permit. */
  readonly meanMs: number;
  /** Of that mean, as a share of its square. */
  readonly variance: number;
  /** The share of the calls that was answered. */
  readonly answered: number;
}

/** The latest calls at one limit. */
export class Level {
  readonly limit: number;
  readonly #ranMs = new Float64Array(callsKept);
  readonly #endedMs = new Float64Array(callsKept);
  readonly #answered = new Uint8Array(callsKept);
  #calls = 0;
  #timeouts = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Whether most calls have timed out. */
  get mostTimedOut(): boolean {
    return this.#calls >= callsMin && this.#timeouts * 2 > this.#calls;
  }

  /** Adds a call that held its permit for so long. */
  add(ranMs: number, answered: boolean, nowMs: number): void {
    const at = this.#calls % callsKept;
    this.#ranMs[at] = ranMs;
    this.#endedMs[at] = nowMs;
    this.#answered[at] = answered ? 1 : 0;
    this.#calls += 1;
    if (!answered) this.#timeouts += 1;
  }

  /** All calls that are kept, if that is a round. */
  all(): Estimate | undefined {
    const known = Math.min(this.#calls, callsKept);
    return this.latest(({ calls }) => calls === known);
  }

  /** The fewest of the latest calls that are enough, at least a round. A change of the dependency is out of the picture one round later. */
  latest(enough: (estimate: Estimate) => boolean): Estimate | undefined {
    const { limit } = this;
    const round = roundOf(limit);
    const endMs = this.#endedMs[(this.#calls - 1) % callsKept] as number;
    let sumMs = 0;
    let squares = 0;
    let answers = 0;
    for (let calls = 1; calls <= Math.min(this.#calls, callsKept); calls += 1) {
      const at = (this.#calls - calls) % callsKept;
      const ranMs = Math.max(0.001, this.#ranMs[at] as number);
      sumMs += ranMs;
      squares += ranMs * ranMs;
      answers += this.#answered[at] as number;
      const meanMs = sumMs / calls;
      if (calls < round || endMs - (this.#endedMs[at] as number) < spanWanted * meanMs) continue;
      const variance = Math.max(0, squares / (sumMs * sumMs) - 1 / calls) * (calls / (calls - 1));
      const estimate = { limit, calls, meanMs, variance, answered: answers / calls };
      if (enough(estimate)) return estimate;
    }
    return undefined;
  }
}

/** Whether an estimate is exact enough to tell later whether raising its limit has paid off, or as exact as it gets. */
export function isBaseFor(raisedLimit: number, base: Estimate): boolean {
  if (base.answered < 0.5) return false;
  const raise = raisedLimit / base.limit - 1;
  const distance = Math.log((1 + raise) / (1 + gainWanted * raise));
  return base.calls >= callsKept || certainty ** 2 * 2 * base.variance <= distance ** 2;
}

/** Whether a raise has brought throughput; undefined as long as chance may have decided. */
export function hasPaidOff(base: Estimate, raised: Estimate): boolean | undefined {
  const raise = raised.limit / base.limit - 1;
  const wanted = 1 + gainWanted * raise;
  // While all permits are in use, the calls that end per second are permits / time per call: far less noisy than a count.
  const calls = ((1 + raise) * base.meanMs) / raised.meanMs;
  const answers = (calls * raised.answered) / base.answered;
  if (raised.calls >= Math.min(callsKept, trialMax * base.calls)) return calls >= wanted && answers > 1;
  const variance = base.variance + raised.variance;
  const ofAnswers = variance + (1 - raised.answered) / Math.max(1, raised.answered * raised.calls);
  if (calls * (1 + certainty * Math.sqrt(variance)) < wanted) return false;
  if (answers * (1 + certainty * Math.sqrt(ofAnswers)) < wanted) return false;
  return calls * (1 - certainty * Math.sqrt(variance)) >= wanted && answers > 1 ? true : undefined;
}
