/**
 * BEGIN, work, COMMIT, as a whole and again as a whole when it met another transaction. A repeat is safe since nothing of the failed attempt
 * was committed; a COMMIT whose answer was lost is never repeated here.
 */
import { ambientRemainingMs, backoffMs, sleep } from "@holdfast/core";
import { TransactionConflictError } from "./errors.ts";
import type { ResolvedTransactionOptions } from "./options.ts";
import type { PoolLike, Queryable } from "./pool.ts";
import { CommitLostError, Session } from "./session.ts";
import { isConflict } from "./sql-state.ts";
import type { Transaction } from "./transaction.ts";

/** What the work of this package finds in an open transaction, beside what its caller's body gets. */
export interface Opened {
  /** What the first statement answered. */
  readonly rows: readonly unknown[];
  /** For its own statements after the body. */
  readonly own: Queryable;
  /** For one that may have to wait for others. */
  readonly waiting: Queryable;
}

/** What is done between BEGIN and COMMIT. */
export interface Work<Value> {
  /** Asked before each attempt for a statement that goes with BEGIN. */
  readonly first?: (() => string) | undefined;
  /**
   * The longest wait for a connection, and for BEGIN with that statement, in milliseconds. Without it nothing but the signal and the ambient
   * deadline ends them, since the statement may have to wait for others.
   */
  readonly answerMs?: number | undefined;
  /** May run several times. */
  readonly body: (tx: Transaction, attempt: number, opened: Opened) => Promise<Value>;
}

/**
 * Runs a transaction.
 * @returns what the last attempt returned, once it is committed
 * @throws CommitLostError, TransactionConflictError, what Session and the work throw
 */
export async function runTransaction<Value>(
  pool: PoolLike,
  options: ResolvedTransactionOptions,
  work: Work<Value>,
): Promise<Value> {
  const { operation, attemptsMax, events } = options;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await attemptOnce(pool, options, work, attempt);
    } catch (error) {
      if (error instanceof CommitLostError) {
        events.emit(() => ({ type: "commit-lost", operation, error: error.cause }));
        throw error;
      }
      if (!isConflict(error)) throw error;
      if (attempt === attemptsMax) throw new TransactionConflictError(operation, attempt, { cause: error });
      events.emit(() => ({ type: "retried", operation, attempt, error }));
      await pause(options, attempt);
    }
  }
}

/** Waits before the next attempt, not beyond the ambient deadline, which then ends the next one. */
export async function pause(
  { clock, random, backoff, signal }: ResolvedTransactionOptions,
  attempt: number,
): Promise<void> {
  await sleep(clock, Math.min(backoffMs(backoff, attempt, random), ambientRemainingMs()), signal);
}

async function attemptOnce<Value>(
  pool: PoolLike,
  options: ResolvedTransactionOptions,
  { first, answerMs = Infinity, body }: Work<Value>,
  attempt: number,
): Promise<Value> {
  const session = await Session.open(pool, options, answerMs);
  try {
    await session.begin(first?.(), answerMs);
    const value = await body(session.tx, attempt, session);
    await session.commit();
    return value;
  } catch (error) {
    await session.rollback();
    throw error;
  } finally {
    session.close();
  }
}
