/**
 * Owns what happens in a run, the same on both sides: who orders what, and what was shortened.
 */
import { SeededRandom } from "@holdfast/testkit";

/** The one thing in which the two runs differ: acknowledge after the work, or do the work once only. */
export type BillingKind = "acknowledged" | "once";

/** The durations of one run, in milliseconds. */
export interface Scale {
  /** A message that nobody has acknowledged for this long is taken over. */
  readonly takeOverAfterMs: number;
  /** For how long an attempt whose process died blocks its key. */
  readonly leaseMs: number;
  /** From SIGTERM to SIGKILL. */
  readonly graceMs: number;
}

/** A run. */
export interface Course {
  readonly seed: number;
  /** So many orders come, and more at the same pace while the restart is still going on. */
  readonly ordersMin: number;
  /** Orders come in bursts, as they do. */
  readonly burst: number;
  /** From one burst to the next. */
  readonly spacingMs: number;
  readonly scale: Scale;
}

/** One order, to be charged once. */
export interface Order {
  readonly id: string;
  readonly amountCents: number;
}

const IN_PRODUCTION = { takeOverAfterMs: 60_000, leaseMs: 30_000, graceMs: 30_000 };

/** Production, `factor` times as fast. */
export function scaleOf(factor: number): Scale {
  const shortened = Object.entries(IN_PRODUCTION).map(([name, ms]) => [name, Math.round(ms / factor)] as const);
  return Object.fromEntries(shortened) as typeof IN_PRODUCTION;
}

/** What was shortened and to what, for the reader of the figures. */
export function describeScale({ takeOverAfterMs, leaseMs, graceMs }: Scale): string {
  const pairs = [
    ["messages of the dead come again after", IN_PRODUCTION.takeOverAfterMs, takeOverAfterMs],
    ["lease of a key", IN_PRODUCTION.leaseMs, leaseMs],
    ["grace period", IN_PRODUCTION.graceMs, graceMs],
  ] as const;
  return `shortened: ${pairs.map(([what, from, to]) => `${what} ${from / 1_000} s → ${to / 1_000} s`).join(", ")}`;
}

/** Orders without end. */
export function* ordersOf({ seed }: Course): Generator<Order, never> {
  const random = new SeededRandom(seed);
  for (let number = 1; ; number += 1) yield { id: `order-${number}`, amountCents: random.int(100, 20_000) };
}
