/**
 * Owns the figures of one run: what the writers were told, and what the ledger says.
 */
import type { Posted } from "./bookkeeper.ts";
import type { LedgerAudit } from "./ledger.ts";

/** What happened in one round. */
export interface RoundResult {
  /** Postings of the process that was stopped. The first try of each came after the successor had posted. */
  readonly late: readonly Posted[];
  readonly overtakers: readonly Posted[];
  readonly pausedMs: number;
  readonly wokenAtMs: number;
}

/** The figures of one run. */
export interface Outcome extends LedgerAudit {
  /** Reported as done to who asked for them. */
  readonly postings: number;
  /** Into the ledger and into what customers see. */
  readonly writes: number;
  readonly staleAccepted: number;
  readonly staleRefusedByPostgres: number;
  readonly staleRefusedByRedis: number;
  /** Accounts of which customers see a wrong balance. */
  readonly shownWrong: number;
  /** Locks that were lost, each by a holder that was stopped. */
  readonly lost: number;
  /** Of their holders, those that could know before they wrote. */
  readonly knewBeforeWrite: number;
  /** From the grant to the moment in which the holder was told, median; `null` when nobody was. */
  readonly toldAfterGrantMs: number | null;
  /** The same from the moment in which it woke up. */
  readonly toldAfterWakingMs: number | null;
  readonly pausedMsMin: number;
}

/**
 * Counts.
 *
 * @param shown the balances that customers see at the end, in cents, one for each account
 * @param expected what they should be
 */
export function tally(
  rounds: readonly RoundResult[],
  audit: LedgerAudit,
  shown: readonly number[],
  expected: readonly number[],
): Outcome {
  const all = rounds.flatMap(({ late, overtakers }) => [...late, ...overtakers]);
  const late = rounds.flatMap((round) => round.late.map((posted) => ({ posted, wokenAtMs: round.wokenAtMs })));
  const stale = late.flatMap(({ posted }) => posted.tries.slice(0, 1));
  const ledgerRefused = stale.filter(({ ledger }) => ledger === "refused").length;
  const shownRefused = stale.filter((one) => one.shown === "refused").length;
  const told = late.flatMap(({ posted: { told }, wokenAtMs }) =>
    told.toldMs === null ? [] : [{ ...told, toldMs: told.toldMs, wokenAtMs }],
  );
  return {
    ...audit,
    postings: all.length,
    writes: all.reduce((sum, { tries }) => sum + 2 * tries.length, 0),
    staleAccepted: 2 * stale.length - ledgerRefused - shownRefused,
    staleRefusedByPostgres: ledgerRefused,
    staleRefusedByRedis: shownRefused,
    shownWrong: expected.filter((cents, index) => shown[index] !== cents).length,
    lost: late.length,
    knewBeforeWrite: late.filter(({ posted }) => posted.told.knewBeforeWrite).length,
    toldAfterGrantMs: medianOf(told.map(({ grantedMs, toldMs }) => toldMs - grantedMs)),
    toldAfterWakingMs: medianOf(told.map(({ wokenAtMs, toldMs }) => toldMs - wokenAtMs)),
    pausedMsMin: Math.min(...rounds.map(({ pausedMs }) => pausedMs)),
  };
}

function medianOf(values: readonly number[]): number | null {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? null;
}
