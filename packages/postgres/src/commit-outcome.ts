/**
 * What became of a COMMIT without answer, found by reading: PostgreSQL remembers how each transaction ended, for many millions of them. A
 * transaction of `withFence` learns its number with the fence, so the question costs nothing until it has to be asked.
 *
 * A server that breaks down forgets the number of a transaction of which nothing had reached the disk, and gives it to another one. That one's
 * COMMIT must not be told to us, so "committed" is believed only of a server that has not recovered since the fence.
 */
import { ambientRemainingMs, backoffMs, OutcomeUnknownError, resolveBackoff, sleep } from "@holdfast/core";
import { PostgresUnavailableError } from "./errors.ts";
import type { ResolvedTransactionOptions } from "./options.ts";
import { waitFor } from "./patience.ts";
import type { Patience } from "./patience.ts";
import type { Queryable } from "./pool.ts";
import type { CommitLostError } from "./session.ts";
import { sqlErrorOf } from "./sql-state.ts";
import { ask } from "./statement.ts";

/**
 * How a transaction ended. `in-progress`: the server has not noticed yet that its client is gone, or still waits for a standby; ask again.
 * `forgotten`: too long ago, or the server is another one, or has broken down and recovered since: its number may be another's now.
 */
export interface CommitOutcome {
  readonly kind: "committed" | "rolled-back" | "in-progress" | "forgotten";
}

const kinds: Readonly<Record<string, CommitOutcome["kind"]>> = {
  committed: "committed",
  aborted: "rolled-back",
  "in progress": "in-progress",
};

/**
 * The status of a number, and whether the server has lived since the fence: recovery resets its statistics. So does whoever resets them by
 * hand, which makes the answer unknown, not wrong. A clock that stands before the fence was set back, and proves nothing.
 */
const question = `SELECT pg_catalog.pg_xact_status($1::text::pg_catalog.xid8) AS status,
  (SELECT extract(epoch FROM w.stats_reset) * 1000000 < $2::text::bigint
    AND extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000 >= $2::text::bigint
    FROM pg_catalog.pg_stat_wal AS w) AS unbroken`;

/** Long enough apart to leave a restarting server alone. */
const backoff = resolveBackoff({ baseMs: 20, delayMaxMs: 500, jitter: 0.5 });

/**
 * Asks how a transaction ended.
 * @param pool of the primary that ran it: one that took over may have given its number to another transaction, with a synchronous standby, too,
 *   and "committed" be told of that one
 * @param operationId of the OutcomeUnknownError that `withFence` threw
 * @throws TypeError for an id that is none of these; PostgresUnavailableError, PostgresRefusedError
 */
export async function commitOutcome(pool: Queryable, operationId: string): Promise<CommitOutcome> {
  // An earlier version gave the number alone, which says when a transaction was not committed, and no more.
  const found = /^(?<number>[1-9]\d{0,19})(?:@(?<fencedUs>\d{1,18}))?$/u.exec(operationId)?.groups;
  if (found === undefined) {
    throw new TypeError(
      `operationId must be that of an OutcomeUnknownError of withFence, got ${JSON.stringify(operationId)}`,
    );
  }
  try {
    const [row] = await ask<{ status: string | null; unbroken: boolean | null }>(
      pool,
      { operation: `commitOutcome ${operationId}`, standing: "read" },
      question,
      [found["number"], found["fencedUs"] ?? null],
    );
    const kind = kinds[row?.status ?? ""] ?? "forgotten";
    return { kind: kind === "committed" && row?.unbroken !== true ? "forgotten" : kind };
  } catch (error) {
    // A number that this server has not given yet.
    if (sqlErrorOf(error)?.state === "22023") return { kind: "forgotten" };
    throw error;
  }
}

/** One question, for no longer than until then. */
async function askOnce(
  pool: Queryable,
  transactionId: string,
  patience: Patience,
): Promise<CommitOutcome["kind"] | "unanswered"> {
  try {
    return (await waitFor(commitOutcome(pool, transactionId), patience)).kind;
  } catch {
    // The server may be on its way back; what counts in the end is the error of COMMIT.
    return "unanswered";
  }
}

/**
 * Finds out what became of a COMMIT without answer; resolves when it was committed.
 * @throws PostgresUnavailableError when it was not; OutcomeUnknownError when that could not be found out within `resolveMs`
 */
export async function settleCommit(
  pool: Queryable,
  options: ResolvedTransactionOptions,
  { transactionId, cause }: CommitLostError,
): Promise<void> {
  const { clock, random, signal, operation, resolveMs, events } = options;
  const unknown = (why: string): OutcomeUnknownError =>
    new OutcomeUnknownError(operation, transactionId ?? "none", {
      cause,
      why: `COMMIT got no answer, and ${why}`,
      advice: `${transactionId === undefined ? "" : `ask commitOutcome(pool, "${transactionId}"), or `}read what the transaction wrote`,
    });
  if (transactionId === undefined) throw unknown("the transaction's number is not known");
  const askUntilMs = clock.monotonicMs() + Math.min(resolveMs, ambientRemainingMs());
  for (let attempt = 1; ; attempt += 1) {
    const timeoutMs = Math.max(askUntilMs - clock.monotonicMs(), 1);
    const kind = await askOnce(pool, transactionId, { clock, signal, timeoutMs });
    if (kind === "forgotten")
      throw unknown("this server does not know the transaction, or has recovered since it began");
    if (kind === "committed" || kind === "rolled-back") {
      events.emit(() => ({ type: "commit-resolved", operation, committed: kind === "committed" }));
      if (kind === "committed") return;
      throw new PostgresUnavailableError(operation, "connection-lost", { cause });
    }
    if (signal?.aborted === true || clock.monotonicMs() >= askUntilMs) {
      throw unknown(`neither did the question what became of it (within ${resolveMs} ms)`);
    }
    // The only reason to reject is the signal, which is asked next.
    await sleep(clock, backoffMs(backoff, attempt, random), signal).catch(() => undefined);
  }
}
