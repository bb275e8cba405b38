/** Counts of the last while, in ten slices that fall off one by one; sums are kept, so that reading takes constant time. */

const slices = 10;

/** Counters over a sliding window, numbered from 0. */
export class RollingCounts {
  readonly #sliceMs: number;
  readonly #kinds: number;
  readonly #counts: Float64Array;
  readonly #sums: Float64Array;
  #current = 0;
  #currentEndMs: number;
  #startMs: number;

  /**
   * @param kinds how many counters
   * @param windowMs length of the window in milliseconds
   */
  constructor(kinds: number, windowMs: number, nowMs: number) {
    this.#kinds = kinds;
    this.#sliceMs = windowMs / slices;
    this.#counts = new Float64Array(kinds * slices);
    this.#sums = new Float64Array(kinds);
    this.#startMs = nowMs;
    this.#currentEndMs = nowMs + this.#sliceMs;
  }

  /** Counts one. */
  add(kind: number, nowMs: number): void {
    if (nowMs >= this.#currentEndMs) this.#advance(nowMs);
    const at = this.#current * this.#kinds + kind;
    this.#counts[at] = (this.#counts[at] as number) + 1;
    this.#sums[kind] = (this.#sums[kind] as number) + 1;
  }

  /** The sum of the window. */
  sum(kind: number, nowMs: number): number {
    if (nowMs >= this.#currentEndMs) this.#advance(nowMs);
    return this.#sums[kind] as number;
  }

  /** Milliseconds that the sums cover: the full slices and the part of the present one, less at first. */
  coveredMs(nowMs: number): number {
    if (nowMs >= this.#currentEndMs) this.#advance(nowMs);
    return Math.max(1, Math.min(nowMs - this.#startMs, this.#sliceMs * slices - (this.#currentEndMs - nowMs)));
  }

  /** Forgets everything. */
  reset(nowMs: number): void {
    this.#counts.fill(0);
    this.#sums.fill(0);
    this.#startMs = nowMs;
    this.#currentEndMs = nowMs + this.#sliceMs;
  }

  #advance(nowMs: number): void {
    const passed = Math.floor((nowMs - this.#currentEndMs) / this.#sliceMs) + 1;
    // After a long idle time all slices are old: no more than one round is walked.
    for (let step = 0; step < Math.min(slices, passed); step += 1) {
      this.#current = (this.#current + 1) % slices;
      for (let kind = 0; kind < this.#kinds; kind += 1) {
        const at = this.#current * this.#kinds + kind;
        this.#sums[kind] = (this.#sums[kind] as number) - (this.#counts[at] as number);
        this.#counts[at] = 0;
      }
    }
    this.#currentEndMs += passed * this.#sliceMs;
  }
}
