/**
 * The fence: a transaction carries the token of a lock, and PostgreSQL refuses the tokens of holders that were overtaken (P1), also when
 * the lock's Redis has long forgotten them. The check and the row that it holds until the end are one statement, in migrations/fences.ts.
 */
import { callback, integer, optionsObject } from "@holdfast/core";
import type { EventSink, Fenced } from "@holdfast/core";
import { StaleTokenError } from "@holdfast/lock/guard";
import { columnText } from "./column-text.ts";
import { settleCommit } from "./commit-outcome.ts";
import { sinkFor } from "./events.ts";
import type { PostgresEvent } from "./events.ts";
import { resolveIdleMs, resolveTransactionOptions } from "./options.ts";
import type { FenceOptions, TransactionOptions } from "./options.ts";
import type { PoolLike, Queryable } from "./pool.ts";
import { runTransaction } from "./run-transaction.ts";
import { CommitLostError } from "./session.ts";
import { sqlErrorOf, staleTokenState } from "./sql-state.ts";
import { explainFailure, literal } from "./statement.ts";
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
    columnText("hold.resource", each.resource, 1_024);
    integer("hold.token", each.token, { min: 1, max: Number.MAX_SAFE_INTEGER });
  }
  return holds;
}

/** What the fence says with its refusal. */
interface Refusal {
  readonly resource: string;
  readonly token: number;
  readonly highest: number;
  readonly reason: "superseded" | "too-old";
}

/** Undefined for what the fence did not say: a body may raise an error of the same class. */
function decodeRefusal(detail: string): Refusal | undefined {
  let found: Partial<Refusal> | null;
  try {
    found = JSON.parse(detail) as Partial<Refusal> | null;
  } catch {
    return undefined;
  }
  const known =
    typeof found?.resource === "string" && typeof found.token === "number" && typeof found.highest === "number";
  return known ? (found as Refusal) : undefined;
}

/** The refusal in a form that lock's other guards use, told to observers; undefined for any other error. */
function refusalOf(error: unknown, events: EventSink<PostgresEvent>): StaleTokenError | undefined {
  const found = sqlErrorOf(error);
  const refusal = found?.state === staleTokenState ? decodeRefusal(found.detail) : undefined;
  if (refusal === undefined) return undefined;
  const { resource, token, highest, reason } = refusal;
  events.emit(() => ({ type: "stale", resource, token, highest }));
  return new StaleTokenError(resource, token, highest, reason);
}

function operationOf(call: string, holds: readonly FencedHold[]): string {
  return `${call} ${holds.map(({ resource }) => resource).join(", ")}`;
}

/** The fence as a statement without parameters, which may stand in one message with BEGIN; it answers which transaction it is in. */
function fenceSql(holds: readonly FencedHold[], idleMs: number): string {
  const [hold] = holds as readonly [FencedHold];
  if (holds.length === 1)
    return `SELECT holdfast.fence_one(${literal(hold.resource)}, ${hold.token}, ${idleMs}) AS xid`;
  const names = holds.map(({ resource }) => literal(resource)).join(", ");
  const tokens = holds.map(({ token }) => token).join(", ");
  return `SELECT holdfast.fence(ARRAY[${names}], ARRAY[${tokens}]::bigint[], ${idleMs}) AS xid`;
}

/**
 * Refuses the transaction of a stale holder; the first statement of a transaction of your own. The row that it holds until the end keeps
 * successors waiting, and keeps out predecessors for ever. Several holds are fenced in one order, so that no two transactions deadlock.
 *
 * The refusal fails the transaction, so that it cannot be committed even if the error is caught. Only a savepoint that was set before the
 * fence could undo that: never put one there.
 * @param tx an open transaction; outside of one the fence holds nothing
 * @throws StaleTokenError; PostgresUnavailableError, PostgresRefusedError; 40001 and 40P01 as PostgreSQL has put them: then run the whole
 *   transaction again; TypeError, RangeError
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
    const refusal = refusalOf(error, sinkFor(options.onEvent));
    throw refusal ?? explainFailure(error, { operation: operationOf("fence", holds), standing: "in-transaction" });
  }
}

/**
 * Runs a transaction that commits only if no later holder has been there: BEGIN, fence, body, `assertHeld`, COMMIT. A serialization failure
 * or a deadlock runs all of it again.
 * @param hold a hold, a firing, a run, an attempt, or several
 * @param body gets the open transaction; runs again as a whole, so what it does elsewhere is done again, too
 * @returns what the body returns, once it is committed
 * @throws StaleTokenError; what `assertHeld` throws; TransactionConflictError, TransactionAbortedError, TransactionIdleError,
 *   PostgresUnavailableError, PostgresRefusedError: nothing was committed; OutcomeUnknownError: COMMIT got no answer, and nobody could be
 *   asked within `resolveMs` what became of it; what the body throws
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
  const operation = operationOf("withFence", holds);
  const resolved = resolveTransactionOptions(operation, options);
  const assertHeld = (): void => {
    for (const each of holds) each.assertHeld?.();
  };
  let last: { readonly value: Value } | undefined;
  try {
    return await runTransaction(pool, resolved, {
      first() {
        assertHeld();
        return fenceSql(holds, resolved.idleMs);
      },
      async body(tx) {
        const value = await body(tx);
        last = { value };
        assertHeld();
        return value;
      },
    });
  } catch (error) {
    const refusal = refusalOf(error, resolved.events);
    if (refusal !== undefined) throw refusal;
    if (!(error instanceof CommitLostError) || last === undefined) throw error;
    await settleCommit(pool, resolved, error);
    return last.value;
  }
}
