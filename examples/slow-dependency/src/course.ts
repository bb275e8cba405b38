/**
 * Owns what happens, the same on all sides: who calls what how often, how long that takes, and how much room there is for it.
 */

/** What stands between a replica and its dependencies. */
export type Side = "pool" | "opossum" | "bulkhead";

/** The sides, in the order of their columns. */
export const SIDES: readonly Side[] = ["pool", "opossum", "bulkhead"];

/** One run; durations in milliseconds. */
export interface Course {
  /** Calls per second of all replicas of a side together, to each of the two dependencies. */
  readonly callsPerSecond: number;
  readonly replicas: number;
  /** After so long an answer is of no use. */
  readonly deadlineMs: number;
  readonly payments: { readonly beforeMs: number; readonly afterMs: number };
  readonly profilesMs: number;
  /** Permits of one replica, three of which are in use for payments that take 80 ms and one for profiles. */
  readonly permits: { readonly payments: number; readonly profiles: number };
  /** How long a breaker stays open. */
  readonly openMs: number;
  readonly warmUpMs: number;
  /** How long the dependency is slow. */
  readonly slowMs: number;
  /** Less is a promise that was not kept: the limit needs some seconds to find what the dependency can do. */
  readonly goodputMin: number;
}

/** What `npm run demo` shows. */
export const FULL: Course = {
  callsPerSecond: 100,
  replicas: 3,
  deadlineMs: 500,
  payments: { beforeMs: 80, afterMs: 380 },
  profilesMs: 20,
  permits: { payments: 4, profiles: 4 },
  openMs: 2_000,
  warmUpMs: 2_000,
  slowMs: 13_000,
  goodputMin: 0.6,
};

/** A first look: over before the limit has got as far as it would. */
export const QUICK: Course = { ...FULL, warmUpMs: 1_500, slowMs: 6_000, goodputMin: 0.3 };

/** What is the same for all sides, for the reader of the figures. */
export function describeCourse({ callsPerSecond, replicas, permits, deadlineMs, payments }: Course): string {
  const slots = replicas * permits.payments;
  return [
    `each side: ${replicas} replicas, ${callsPerSecond} calls/s to payments with ${deadlineMs} ms for each`,
    `${slots} permits for them, 8 are in use at ${payments.beforeMs} ms and 38 needed at ${payments.afterMs} ms`,
  ].join("; ");
}
