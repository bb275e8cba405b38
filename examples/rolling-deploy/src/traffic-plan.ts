/**
 * Owns what the customers do: decided by a seed before anything runs, so that both sides get the same traffic.
 */
import { SeededRandom } from "@holdfast/testkit";

/** One customer. */
export interface PlannedOrder {
  /** From the start of the traffic. */
  readonly atMs: number;
  readonly amountCents: number;
  /** From the answer to the order; `null` for a customer who never pays. */
  readonly payAfterMs: number | null;
}

/** What kind of traffic. */
export interface TrafficOptions {
  readonly seed: number;
  /** From one customer to the next. */
  readonly spacingMs: number;
  readonly paymentTimeoutMs: number;
}

const PAYING = 0.5;
/** Of those who pay, how many press the button in the very moment in which the time is over. */
const AT_DEADLINE = 0.2;
/** Half the width of that moment. The paid answer takes a few milliseconds, so both outcomes occur. */
const DEADLINE_SPREAD_MS = 25;

/** Customers without end, at a steady pace with some jitter; half of them pay, most in good time, some at the deadline. */
export function* planTraffic({ seed, spacingMs, paymentTimeoutMs }: TrafficOptions): Generator<PlannedOrder, never> {
  const random = new SeededRandom(seed);
  for (let index = 0; ; index += 1) {
    yield {
      atMs: (index + random.unit()) * spacingMs,
      amountCents: random.int(100, 50_000),
      payAfterMs: random.chance(PAYING) ? payAfterMs(random, paymentTimeoutMs) : null,
    };
  }
}

function payAfterMs(random: SeededRandom, paymentTimeoutMs: number): number {
  if (random.chance(AT_DEADLINE)) return paymentTimeoutMs + random.float(-DEADLINE_SPREAD_MS, DEADLINE_SPREAD_MS);
  return paymentTimeoutMs * random.float(0.05, 0.85);
}
