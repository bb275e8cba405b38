/**
 * The fence: a transaction carries the token of a lock, and PostgreSQL refuses the tokens of holders that were overtaken (P1), also when
 * the lock's Redis has long forgotten them. The check and the row that it holds until the end are one statement, in migrations/fences.ts.
 */
import { callback, integer, optionsObject, OutcomeUnknownError, text } from "@holdfast/core";
import type { EventSink, Fenced } from "@holdfast/core";
import { StaleTokenError } from "@holdfast/lock/guard";
import { sinkFor } from "./events.ts";
import type { PostgresEvent } from "./events.ts";
import { resolveIdleMs, resolveTransactionOptions } from "./options.ts";
import type { FenceOptions, TransactionOptions } from "./options.ts";
import type { PoolLike, Queryable } from "./pool.ts";
import { runTransaction } from "./run-transaction.ts";
import { CommitLostError } from "./session.ts";
import { sqlErrorOf, staleTokenState } from "./sql-state.ts";
import type { Transaction } from "./transaction.ts";

/** A right to write, which may know whether it is still held. */
export interface FencedHold extends Fenced {
  /** Throws when the lock is not held any more; asked before BEGIN and right before COMMIT. */
  assertHeld?(): void;
}

/** The work within a fenced transaction. Runs again as a whole when it met another one. */
export type TransactionBody<Value> = (tx: Transaction) => Promise<Value>;

const holdsMax = 1_000;

/** @throws TypeError, RangeError */
function checkHolds(hold: FencedHold | readonly FencedHold[]): readonly FencedHold[] {
  const holds: readonly FencedHold[] = Array.isArray(hold) ? (hold as readonly FencedHold[]) : [hold as FencedHold];
  integer("the number of holds", holds.length, { min: 1, max: holdsMax });
  for (const each of holds) {
    optionsObject("hold", each);
    text("hold.resource", each.resource, 1_024);
    if (each.resource.includes("\0")) throw new RangeError("hold.resource must not contain a NUL, got one");
    integer("hold.token", each.token, { min: 1, max: Number.MAX_SAFE_INTEGER });
  }
  return holds;
}

/** The refusal in a form that lock's other guards use, or undefined for any other error. */
function refusalOf(error: unknown): StaleTokenError | undefined {
  const found = sqlErrorOf(error);
  if (found?.state !== staleTokenState) return undefined;
  const { resource, token, highest, reason } = JSON.parse(found.detail) as {
    resource: string;
    token: number;
    highest: number;
    reason: "superseded" | "too-old";
  };
  return new StaleTokenError(resource, token, highest, reason);
}

/** Tells observers of a refusal, and gives it its class; any other error stays as it is. */
function explained(error: unknown, events: EventSink<PostgresEvent>): unknown {
  const refusal = refusalOf(error);
  if (refusal === undefined) return error;
  const { resource, token, highest } = refusal;
  events.emit(() => ({ type: "stale", resource, token, highest }));
  return refusal;
}

/**
 * The fence as a statement without parameters, which may stand in one message with BEGIN. Names are sent as the digits of their bytes, so
 * that nothing in them can be read as SQL, whatever the session's settings.
 */
function fenceSql(holds: readonly FencedHold[], idleMs: number): string {
  const names = holds.map(({ resource }) => {
    return `pg_catalog.convert_from(pg_catalog.decode('${Buffer.from(resource).toString("hex")}', 'hex'), 'UTF8')`;
  });
  const tokens = holds.map(({ token }) => String(token));
  return `SELECT holdfast.fence(ARRAY[${names.join(", ")}], ARRAY[${tokens.join(", ")}]::bigint[], ${idleMs})`;
}

/**
 * Refuses the transaction of a stale holder; the first statement of a transaction of your own. The row that it holds until the end keeps
 * successors waiting, and keeps out predecessors for ever. Several holds are fenced in one order, so that no two transactions deadlock.
 *
 * The refusal fails the transaction, so that it cannot be committed even if the error is caught. Only a savepoint that was set before the
 * fence could undo that: never put one there.
 * @param tx an open transaction; outside of one the fence holds nothing
 * @throws StaleTokenError; what PostgreSQL answers, as 40001: then run the whole transaction again; TypeError, RangeError
 */
export async function fence(
  tx: Queryable,
  hold: FencedHold | readonly FencedHold[],
  options: FenceOptions & { readonly onEvent?: ((event: PostgresEvent) => void) | undefined } = {},
): Promise<void> {
  const holds = checkHolds(hold);
  const idleMs = resolveIdleMs(options);
  try {
    await tx.query("SELECT holdfast.fence($1::text[], $2::bigint[], $3::integer)", [
      holds.map(({ resource }) => resource),
      holds.map(({ token }) => token),
      idleMs,
    ]);
  } catch (error) {
    throw explained(error, sinkFor(options.onEvent));
  }
}

/**
 * Runs a transaction that commits only if no later holder has been there: BEGIN, fence, body, `assertHeld`, COMMIT. A serialization failure
 * or a deadlock runs all of it again.
 * @param hold a hold, a firing, a run, an attempt, or several
 * @param body gets the open transaction; runs again as a whole, so what it does elsewhere is done again, too
 * @returns what the body returns, once it is committed
 * @throws StaleTokenError; what `assertHeld` throws; TransactionConflictError, TransactionAbortedError, TransactionIdleError,
 *   PostgresUnavailableError: nothing was committed; OutcomeUnknownError: COMMIT got no answer; what the body throws
 */
export async function withFence<Value>(
  pool: PoolLike,
  hold: FencedHold | readonly FencedHold[],
  body: TransactionBody<Value>,
): Promise<Value>;
export async function withFence<Value>(
  pool: PoolLike,
  hold: FencedHold | readonly FencedHold[],
  options: TransactionOptions,
  body: TransactionBody<Value>,
): Promise<Value>;
export async function withFence<Value>(
  pool: PoolLike,
  hold: FencedHold | readonly FencedHold[],
  ...rest: [TransactionBody<Value>] | [TransactionOptions, TransactionBody<Value>]
): Promise<Value> {
  const [options, body] = rest.length === 1 ? [{}, rest[0]] : rest;
  const holds = checkHolds(hold);
  callback("body", body);
  const operation = `withFence ${holds.map(({ resource }) => resource).join(", ")}`;
  const resolved = resolveTransactionOptions(operation, options);
  const { idleMs, random, events } = resolved;
  const operationId = random.id();
  const assertHeld = (): void => holds.forEach((each) => each.assertHeld?.());
  try {
    return await runTransaction(pool, resolved, {
      first() {
        assertHeld();
        return fenceSql(holds, idleMs);
      },
      async body(tx) {
        const value = await body(tx);
        assertHeld();
        return value;
      },
    });
  } catch (error) {
    if (!(error instanceof CommitLostError)) throw explained(error, events);
    throw new OutcomeUnknownError(operation, operationId, {
      cause: error.cause,
      why: "COMMIT got no answer; read what the transaction wrote, or use idempotentTransaction, which finds out by itself",
    });
  }
}
