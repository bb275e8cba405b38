/**
 * Owns what the buyers do: decided by a seed before anything runs, so that each shop gets the same buyers.
 */
import { SeededRandom } from "@holdfast/testkit";
import type { Course } from "./course.ts";

/** One buyer. */
export interface PlannedBuyer {
  readonly name: string;
  /** From the beginning of the sale. */
  readonly atMs: number;
  /** Leaves a full cart behind. */
  readonly abandons: boolean;
  /** Asks again after a "sold out", for as long as the sale goes on. */
  readonly patient: boolean;
  /** The network loses the first answer to the request for a cart, or to the payment; the buyer's browser sends it again. */
  readonly losesCartAnswer: boolean;
  readonly losesPayAnswer: boolean;
  /** From the cart to the payment. */
  readonly payAfterMs: number;
  /** Between two requests of a patient one. */
  readonly againMs: number;
}

const ABANDONING = 0.15;
/** Enough to take whatever comes back, few enough not to be the whole load. */
const PATIENT = 0.15;
const LOSING = 0.1;

/** The buyers in the order in which they come. */
export function planBuyers(seed: number, { buyers, arrivalMs, payAfterMaxMs, againMs }: Course): PlannedBuyer[] {
  const random = new SeededRandom(seed);
  return Array.from({ length: buyers }, (_, index) => ({
    name: `buyer-${index + 1}`,
    atMs: ((index + random.unit()) * arrivalMs) / buyers,
    abandons: random.chance(ABANDONING),
    patient: random.chance(PATIENT),
    losesCartAnswer: random.chance(LOSING),
    losesPayAnswer: random.chance(LOSING),
    payAfterMs: random.float(0.2, 1) * payAfterMaxMs,
    againMs: random.float(0.75, 1.25) * againMs,
  }));
}
