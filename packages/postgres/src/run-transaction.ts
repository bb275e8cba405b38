/**
 * BEGIN, work, COMMIT, as a whole and again as a whole when it met another transaction. A repeat is safe since nothing of the failed attempt
 * was committed; a COMMIT whose answer was lost is never repeated here.
 */
import { ambientRemainingMs, backoffMs, sleep } from "@holdfast/core";
import { TransactionConflictError } from "./errors.ts";
import type { ResolvedTransactionOptions } from "./options.ts";
import type { PoolLike } from "./pool.ts";
import { CommitLostError, Session } from "./session.ts";
import { isConflict } from "./sql-state.ts";

/** What is done between BEGIN and COMMIT. */
export type Work<Value> = (session: Session, attempt: number) => Promise<Value>;

/**
 * Runs a transaction.
 * @param work does everything but BEGIN and COMMIT; may run several times
 * @returns what the last attempt returned, once it is committed
 * @throws CommitLostError, TransactionConflictError, what Session and `work` throw
 */
export async function runTransaction<Value>(
  pool: PoolLike,
  options: ResolvedTransactionOptions,
  work: Work<Value>,
): Promise<Value> {
  const { operation, attemptsMax, events } = options;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await attemptOnce(pool, options, (session) => work(session, attempt));
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
  work: (session: Session) => Promise<Value>,
): Promise<Value> {
  const session = await Session.open(pool, options);
  try {
    await session.begin();
    const value = await work(session);
    await session.commit();
    return value;
  } catch (error) {
    await session.rollback();
    throw error;
  } finally {
    session.close();
  }
}
