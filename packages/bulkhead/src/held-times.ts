/**
 * How long calls have kept their permits lately, however they ended: a queue moves at the pace of the mean. The median says how long one
 * call takes; where some take many times as long as the rest, as in a process that is short of processor time, it promises turns that
 * never come.
 */

const samplesKept = 32;

/** The last calls of one bulkhead. */
export class HeldTimes {
  readonly #samples = new Float64Array(samplesKept);
  #count = 0;
  #sumMs = 0;

  /** The mean in milliseconds, 0 before there is a call. */
  get meanMs(): number {
    return this.#sumMs / Math.max(1, Math.min(this.#count, samplesKept));
  }

  /** Adds the time in milliseconds after which a permit came back. */
  add(durationMs: number): void {
    const at = this.#count % samplesKept;
    this.#sumMs = Math.max(0, this.#sumMs + durationMs - (this.#samples[at] as number));
    this.#samples[at] = durationMs;
    this.#count += 1;
  }
}
