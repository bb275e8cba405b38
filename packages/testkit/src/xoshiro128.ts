/**
 * The generator xoshiro128** 1.1 of Blackman and Vigna (2018), and splitmix32 to fill its state. Not for secrets.
 */

/** Four 32-bit numbers that are not all zero. */
export type XoshiroState = readonly [number, number, number, number];

/** Returns a function that gives the next 32 bits, as an integer from 0. */
export function xoshiro128(state: XoshiroState): () => number {
  let [a, b, c, d] = state;
  return () => {
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotateLeft(d, 11);
    return result;
  };
}

/** Stretches one 32-bit number to a state; its four numbers are distinct, so never all zero. */
export function splitState(seed: number): XoshiroState {
  const next = splitmix32(seed);
  return [next(), next(), next(), next()];
}

function rotateLeft(value: number, by: number): number {
  return (value << by) | (value >>> (32 - by));
}

function splitmix32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e37_79b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0_aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97);
    return mixed ^ (mixed >>> 15);
  };
}
