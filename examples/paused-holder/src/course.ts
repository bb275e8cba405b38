/**
 * Owns what happens in a run, the same on both sides: who posts what, and what was shortened.
 */
import { SeededRandom } from "@holdfast/testkit";

/** The one thing in which the two runs differ. */
export type LockKind = "plain" | "fenced";

/** The durations of one run, in milliseconds. */
export interface Scale {
  readonly ttlMs: number;
  /** From SIGSTOP to SIGCONT, at the least. */
  readonly pauseMs: number;
}

/** A run. */
export interface Course {
  readonly seed: number;
  readonly accounts: number;
  readonly rounds: number;
  readonly scale: Scale;
}

/** One amount to be added to an account. */
export interface Posting {
  readonly account: string;
  readonly amountCents: number;
}

/** What the two processes post in one round: one posting for each account. */
export interface Round {
  /** By the process that is stopped. */
  readonly stopped: readonly Posting[];
  /** By the one that takes over. */
  readonly successor: readonly Posting[];
}

/** On every account at the start. */
export const OPENING_CENTS = 10_000;

const IN_PRODUCTION = { ttlMs: 30_000, pauseMs: 35_000 };

/** Production, `factor` times as fast. */
export function scaleOf(factor: number): Scale {
  return {
    ttlMs: Math.round(IN_PRODUCTION.ttlMs / factor),
    pauseMs: Math.round(IN_PRODUCTION.pauseMs / factor),
  };
}

/** What was shortened and to what, for the reader of the figures. */
export function describeScale({ ttlMs, pauseMs }: Scale): string {
  const pairs = [
    ["ttl of a lock", IN_PRODUCTION.ttlMs, ttlMs],
    ["pause", IN_PRODUCTION.pauseMs, pauseMs],
  ] as const;
  return `shortened: ${pairs.map(([what, from, to]) => `${what} ${from / 1_000} s → ${(to / 1_000).toFixed(2)} s`).join(", ")}`;
}

/** The names of the accounts. */
export function accountsOf({ accounts }: Course): string[] {
  return Array.from({ length: accounts }, (_, index) => `account-${index + 1}`);
}

/** All rounds, decided by the seed. No amount is zero, so that no lost one goes unseen. */
export function roundsOf(course: Course): Round[] {
  const random = new SeededRandom(course.seed);
  const postings = (): Posting[] =>
    accountsOf(course).map((account) => ({ account, amountCents: random.int(100, 5_000) }));
  return Array.from({ length: course.rounds }, () => ({ stopped: postings(), successor: postings() }));
}
