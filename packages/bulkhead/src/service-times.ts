/** How long the dependency takes: the median of its last answers. The admission, the verdict on timeouts and the limit stand on it. */

const samplesKept = 32;
/** Fewer answers are an anecdote. */
const samplesMin = 4;
/** The median is computed after so many answers, and no more often than so: sorting for each would cost as much as the rest of a call. */
const everySamples = 8;
const everyMs = 50;

/** Recent times of one dependency. */
export class ServiceTimes {
  readonly #samples = new Float64Array(samplesKept);
  #count = 0;
  #medianMs: number | undefined;
  #computeAtCount = 0;
  #computeAtMs = -Infinity;

  /** The median in milliseconds, undefined before there are enough answers. */
  get medianMs(): number | undefined {
    return this.#count < samplesMin ? undefined : this.#medianMs;
  }

  /** Adds an answer's time in milliseconds. */
  add(durationMs: number, nowMs: number): void {
    this.#samples[this.#count % samplesKept] = durationMs;
    this.#count += 1;
    if (this.#count < this.#computeAtCount || nowMs < this.#computeAtMs) return;
    this.#computeAtCount = this.#count < everySamples ? this.#count : this.#count + everySamples;
    this.#computeAtMs = this.#count < everySamples ? nowMs : nowMs + everyMs;
    const known = this.#samples.subarray(0, Math.min(this.#count, samplesKept)).toSorted();
    this.#medianMs = known[known.length >> 1];
  }
}
