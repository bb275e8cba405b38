/**
 * How many permits this process holds, could use and is entitled to. Numbers only: what it asks for next follows from what its calls
 * wanted since it last asked, and from the share that it was given.
 */

/** What a request says. */
export interface PermitRequest {
  /** Permits it keeps of those it holds. */
  readonly keep: number;
  /** Permits in use. */
  readonly used: number;
  /** Permits it could use. */
  readonly wanted: number;
}

/** The numbers of one process. */
export class PermitDemand {
  readonly #concurrencyMax: number;
  #held = 0;
  #share = 0;
  /** The most that was wanted since the last request. */
  #peak = 0;
  /** The most that was in use at once since the last request. */
  #mostUsed = 0;
  /** What it said that it wanted. */
  #asked = 0;
  /** Whether it was given less than that. */
  #isShort = false;

  /** @param concurrencyMax permits in all */
  constructor(concurrencyMax: number) {
    this.#concurrencyMax = concurrencyMax;
  }

  /** Permits that Redis knows of. */
  get held(): number {
    return this.#held;
  }

  /** Permits that calls may use. Others want more than there is: what is above the own share is not used again, and goes back. */
  get usable(): number {
    return this.#share < this.#asked ? Math.min(this.#held, this.#share) : this.#held;
  }

  /** Whether asking again could bring more. Having got less than it asked for, it hears from the others when that changes. */
  get mayGrow(): boolean {
    return this.#share >= this.#asked && this.#peak > this.#asked && this.#asked < this.#concurrencyMax;
  }

  /** Permits that there may be after the next answer. */
  get prospect(): number {
    return this.#isShort ? this.#share : this.#concurrencyMax;
  }

  /** Whether it has all that it is entitled to. */
  get hasItsShare(): boolean {
    return this.#held >= this.#share;
  }

  /** Whether it holds more than its share without using it. */
  hasSurplus(used: number): boolean {
    return this.#held > Math.max(this.#share, used);
  }

  /** So many permits are in use or waited for. */
  note(calls: number): void {
    if (calls > this.#peak) this.#peak = calls;
  }

  /** So many permits are in use, now that a call has begun. */
  began(used: number): void {
    if (used > this.#mostUsed) this.#mostUsed = used;
  }

  /**
   * What to ask for now; counts from what is in use afterwards.
   * @param spares whether it wants no more than it could use at this instant: somebody waits for what it gives
   */
  next(used: number, spares: boolean): PermitRequest {
    const wanted = Math.min(spares ? this.#peak : Math.max(this.#peak, this.#mostUsed), this.#concurrencyMax);
    this.#peak = 0;
    this.#mostUsed = used;
    this.#asked = wanted;
    return { keep: Math.max(used, Math.min(this.#held, wanted, Math.max(this.#share, used))), used, wanted };
  }

  /** Keeps no more than so many. Returns whether that is less than before. */
  giveBack(keep: number): boolean {
    if (keep >= this.#held) return false;
    this.#held = keep;
    return true;
  }

  /** The share of this process, as it was answered. */
  sharing(share: number): void {
    this.#share = share;
    this.#isShort = share < this.#asked;
  }

  /** The permits of a lease that lasts. */
  granted(held: number): void {
    this.#held = held;
  }

  /** The lease has ended. */
  lost(): void {
    this.#held = 0;
  }
}
