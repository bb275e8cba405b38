/**
 * What both ways of posting have in common: take the account's lock, read its balance, compute the new one, check the lock, write it into
 * the ledger and, for the customer to see, into Redis. That the new balance is computed outside the database stands for all the rules that
 * cannot be written as `balance + 5`: interest, limits, fees.
 */
import type { Posting } from "./course.ts";

/** What became of one write. */
export type Write = "accepted" | "refused";

/** What became of one try to post. */
export interface Try {
  readonly ledger: Write;
  readonly shown: Write;
}

/** What the lock said to the holder. Times are those of {@link machineMs}. */
export interface Told {
  /** When the holder got the lock. */
  readonly grantedMs: number;
  /** When it was told that it had lost it, by an event or by a check; `null`: never, until it gave the lock back. */
  readonly toldMs: number | null;
  /** Whether it could have known right before it wrote. */
  readonly knewBeforeWrite: boolean;
}

/** What became of one posting. */
export interface Posted {
  readonly account: string;
  /** The last one reached the ledger. */
  readonly tries: readonly Try[];
  /** At the first of them. */
  readonly told: Told;
}

/** Posts under a lock. */
export interface Bookkeeper {
  /**
   * Posts an amount, until it is in the ledger.
   *
   * @param checked called between the last check of the lock and the write, and waited for
   */
  post(posting: Posting, checked: () => Promise<void>): Promise<Posted>;
  close(): Promise<void>;
}

/** Where the bookkeepers of one run work. */
export interface BookkeeperOptions {
  readonly databaseUrl: string;
  readonly redisUrl: string;
  /** In front of all keys. */
  readonly prefix: string;
  readonly ttlMs: number;
}

/** How long a posting waits for its lock. */
export const LOCK_WAIT_MS = 60_000;

/** The monotonic clock of the machine, in milliseconds: the same for all processes, and it goes on while one is stopped. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Where customers see their balance. */
export function shownKey(prefix: string, account: string): string {
  return `${prefix}:shown:${account}`;
}
