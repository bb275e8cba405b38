/**
 * Chance that can be repeated: xoshiro128** (xoshiro128.ts), its state filled from a hash of the seed. Not for secrets. Shaped like the `Random` of `@holdfast/core`, without importing it.
 */
import { createHash } from "node:crypto";
import { splitState, xoshiro128 } from "./xoshiro128.ts";

const idCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const idLength = 16;

/** A sequence of numbers that its seed decides. */
export class SeededRandom {
  /** Print it, so that a failing run can be repeated. */
  readonly seed: number | string;
  readonly #bits: () => number;

  constructor(seed: number | string) {
    this.seed = seed;
    this.#bits = xoshiro128(splitState(createHash("sha256").update(String(seed)).digest().readUInt32LE()));
  }

  /** A number from 0 (included) to 1 (excluded). */
  unit(): number {
    return this.#bits() / 2 ** 32;
  }

  /** An id of 16 characters. Unlike a real one it is the same in every run with this seed. */
  id(): string {
    return Array.from({ length: idLength }, () => idCharacters[this.#bits() >>> 26]).join("");
  }

  /** An integer from `min` to `max`, both included. */
  int(min: number, max: number): number {
    if (!Number.isSafeInteger(min) || !Number.isSafeInteger(max) || max < min || max - min >= 2 ** 32) {
      throw new RangeError(`int needs integers min <= max less than 2^32 apart, got ${min} and ${max}.`);
    }
    return min + Math.floor(this.unit() * (max - min + 1));
  }

  /** A number from `min` (included) to `max` (excluded). */
  float(min: number, max: number): number {
    return min + this.unit() * (max - min);
  }

  /** True with this probability, from 0 to 1. */
  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  /**
   * One of the items.
   *
   * @throws RangeError when there are none.
   */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError("There is nothing to pick from.");
    const [item] = items.slice(this.int(0, items.length - 1));
    // The list is not empty, and a list of undefined holds it rightly.
    return item as T;
  }

  /** The items in another order, each order equally likely; the given list stays as it is. */
  shuffle<T>(items: readonly T[]): T[] {
    const rest = [...items];
    const shuffled: T[] = [];
    while (rest.length > 0) shuffled.push(...rest.splice(this.int(0, rest.length - 1), 1));
    return shuffled;
  }

  /** A sequence of its own for one part of a test, so that another part can draw more or less without changing this one. */
  fork(name: string): SeededRandom {
    return new SeededRandom(`${this.seed}/${name}`);
  }
}

/** A sequence of random numbers that depends on nothing but `seed`. */
export function random(seed: number | string): SeededRandom {
  return new SeededRandom(seed);
}
