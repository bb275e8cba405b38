/** Chance as a value that can be injected: ids that nobody else makes, and jitter. */
import { randomBytes, randomInt } from "node:crypto";

/** A source of chance. */
export interface Random {
  /** A new id of 16 characters (96 bits), unique among all processes. */
  id(): string;
  /** A number from 0 (included) to 1 (excluded). */
  unit(): number;
}

const unitSteps = 2 ** 32;
const idBytes = 12;
const poolIds = 256;

/** Ids are cut from a pool, since one call of the generator costs about as much as 256 ids. */
let pool = Buffer.alloc(0);
let poolOffset = 0;

/** The operating system's generator. */
export const systemRandom: Random = {
  id() {
    if (poolOffset + idBytes > pool.length) {
      pool = randomBytes(idBytes * poolIds);
      poolOffset = 0;
    }
    const id = pool.toString("base64url", poolOffset, poolOffset + idBytes);
    poolOffset += idBytes;
    return id;
  },
  unit: () => randomInt(unitSteps) / unitSteps,
};
