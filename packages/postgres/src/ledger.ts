/**
 * The ledger: an inventory's movements as rows, applied once and in order (P5). A batch and the cursor behind it are one statement; a fork
 * or a gap in the log stops it, since a ledger that skips is worse than one that stands.
 */
import { integer, integerOr, signal, text } from "@holdfast/core";
import { columnText, escapeNul } from "./column-text.ts";
import { LedgerStoppedError, PostgresUnavailableError, TransactionConflictError } from "./errors.ts";
import type { Movement, MovementCursor, MovementSource, StockLevel } from "./movement-source.ts";
import { resolveTransactionOptions } from "./options.ts";
import type { PostgresOptions, ResolvedTransactionOptions } from "./options.ts";
import type { PoolLike, Queryable } from "./pool.ts";
import { runTransaction } from "./run-transaction.ts";
import { askInTime, CommitLostError } from "./session.ts";
import { ledgerGapState, sqlErrorOf } from "./sql-state.ts";
import { ask, idleLimitSql } from "./statement.ts";

/** Options of `applyMovements`. */
export interface LedgerOptions extends PostgresOptions {
  /** Movements in one transaction, 1 to 10,000. Default 500. */
  readonly batchMax?: number | undefined;
  /**
   * The name under which the inventory remembers how far the ledger has come, so that it cuts nothing off its log that the ledger does not
   * have. Default `"ledger"`.
   */
  readonly consumer?: string | undefined;
  /** Ends it between two batches, and while it waits for an answer or for another one that applies; a batch is applied wholly or not. */
  readonly signal?: AbortSignal | undefined;
}

/** How far the ledger has come. */
export interface LedgerReport {
  /** Movements that this call applied; others may have applied some, too. */
  readonly applied: number;
  /** Where the ledger of each bucket stands; at 0 when it is empty. */
  readonly cursors: readonly MovementCursor[];
}

/** One log on its way to the ledger. */
interface Stream {
  readonly stock: MovementSource;
  readonly bucket: number;
  readonly batchMax: number;
  readonly settings: ResolvedTransactionOptions;
}

const start: MovementCursor = { sequence: 0, stamp: "" };
/** How often it begins again because another one was faster, or because COMMIT got no answer. */
const restartsMax = 100;

/** Where the ledger of a bucket stands; at 0 when it is empty. @throws PostgresUnavailableError, PostgresRefusedError */
export async function ledgerCursor(pool: Queryable, inventory: string, bucket = 0): Promise<MovementCursor> {
  const [row] = await ask<{ sequence: string | null; stamp: string }>(
    pool,
    { operation: `ledgerCursor ${inventory}`, standing: "read" },
    "SELECT sequence, stamp FROM holdfast.ledger_cursor($1, $2::integer)",
    [inventory, bucket],
  );
  return row === undefined || row.sequence === null ? start : { sequence: Number(row.sequence), stamp: row.stamp };
}

/** Options of `resetLedger`. */
export interface ResetOptions {
  /** Bucket of a spread inventory. Default 0. */
  readonly bucket?: number | undefined;
  /**
   * What the ledger is to have of these skus at the cursor, in all buckets together: `levels` of the inventory, read while nothing moved.
   * Others stay as they are. Default none.
   */
  readonly balances?: ReadonlyMap<string, StockLevel> | undefined;
}

/**
 * Sets where the ledger of a bucket goes on, after somebody has repaired a fork or a gap. Balances stay as they are, but for those that are
 * given: `reconcile` says whether they are right.
 * @throws TypeError, RangeError; PostgresUnavailableError, PostgresRefusedError; OutcomeUnknownError: do it again
 */
export async function resetLedger(
  pool: Queryable,
  inventory: string,
  cursor: MovementCursor,
  { bucket = 0, balances = new Map() }: ResetOptions = {},
): Promise<void> {
  const values = [
    columnText("inventory", inventory),
    integer("bucket", bucket, { min: 0, max: 1_000_000 }),
    integer("cursor.sequence", cursor.sequence, { min: 0, max: Number.MAX_SAFE_INTEGER }),
    cursor.stamp,
    JSON.stringify(balancesOf(balances)),
  ];
  await ask(
    pool,
    { operation: `resetLedger ${inventory}`, standing: "write" },
    "SELECT holdfast.ledger_reset($1, $2::integer, $3::bigint, $4, $5::jsonb)",
    values,
  );
}

function balancesOf(balances: ReadonlyMap<string, StockLevel>): object[] {
  const range = { min: 0, max: Number.MAX_SAFE_INTEGER };
  return [...balances].map(([sku, { onHand, reserved }]) => ({
    sku: escapeNul(text("balances: a sku", sku)),
    onHand: integer(`balances[${JSON.stringify(sku)}].onHand`, onHand, range),
    reserved: integer(`balances[${JSON.stringify(sku)}].reserved`, reserved, range),
  }));
}

async function applyBatch(
  pool: PoolLike,
  { stock, bucket, settings }: Stream,
  after: MovementCursor,
  batch: readonly Movement[],
): Promise<"applied" | "moved"> {
  const wire = batch.map(({ sequence, stamp, kind, id, atMs, changes }) => ({
    sequence,
    stamp,
    kind,
    id: escapeNul(id),
    atMs,
    changes: changes.map(({ sku, onHand, reserved }) => ({ sku: escapeNul(sku), onHand, reserved })),
  }));
  try {
    return await runTransaction(pool, settings, {
      // Others wait for the cursor's row until it is over.
      first: () => idleLimitSql(settings.idleMs),
      answerMs: settings.commitTimeoutMs,
      async body(_tx, _attempt, { waiting }) {
        const [row] = await ask<{ outcome: "applied" | "moved" }>(
          waiting,
          { operation: settings.operation, standing: "in-transaction" },
          "SELECT holdfast.ledger_apply($1, $2::integer, $3::bigint, $4, $5::jsonb) AS outcome",
          [stock.name, bucket, after.sequence, after.stamp, JSON.stringify(wire)],
        );
        return row?.outcome ?? "moved";
      },
    });
  } catch (error) {
    // The cursor says what became of it.
    if (error instanceof CommitLostError) return "moved";
    if (error instanceof PostgresUnavailableError) settings.signal?.throwIfAborted();
    const found = sqlErrorOf(error);
    if (found?.state !== ledgerGapState) throw error;
    const { wanted, found: came } = JSON.parse(found.detail) as { wanted: number; found: number };
    throw new LedgerStoppedError(stock.name, wanted, came, { cause: error });
  }
}

async function* batchesOf(source: AsyncIterable<Movement>, batchMax: number): AsyncGenerator<readonly Movement[]> {
  let batch: Movement[] = [];
  for await (const movement of source) {
    batch.push(movement);
    if (batch.length === batchMax) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

async function applyStream(pool: PoolLike, stream: Stream): Promise<{ applied: number; cursor: MovementCursor }> {
  const { stock, bucket, batchMax, settings } = stream;
  let applied = 0;
  for (let restart = 0; ; restart += 1) {
    let cursor = await askInTime(pool, settings, (waiting) => ledgerCursor(waiting, stock.name, bucket));
    let moved = false;
    for await (const batch of batchesOf(stock.movements({ after: cursor, bucket }), batchMax)) {
      settings.signal?.throwIfAborted();
      moved = (await applyBatch(pool, stream, cursor, batch)) === "moved";
      if (moved) break;
      const { sequence, stamp } = batch.at(-1) as Movement;
      cursor = { sequence, stamp };
      applied += batch.length;
      settings.events.emit(() => ({
        type: "applied",
        inventory: stock.name,
        bucket,
        movements: batch.length,
        sequence,
      }));
    }
    if (!moved) return { applied, cursor };
    // What comes behind the cursor is not applied, so it must not look as if there were nothing.
    if (restart === restartsMax) throw new TransactionConflictError(settings.operation, restart + 1);
  }
}

/**
 * Applies an inventory's movements up to the last one there is, then tells the inventory how far it has come. Safe to run again, and at many
 * places at once.
 * @throws LedgerStoppedError for a gap; what the inventory throws for a fork or a loss; PostgresUnavailableError, TransactionConflictError;
 *   the signal's reason. What was applied before stays applied.
 */
export async function applyMovements(
  pool: PoolLike,
  stock: MovementSource,
  options: LedgerOptions = {},
): Promise<LedgerReport> {
  columnText("stock.name", stock.name);
  signal("signal", options.signal);
  const consumer = text("consumer", options.consumer ?? "ledger");
  const batchMax = integerOr(500, "batchMax", options.batchMax, { min: 1, max: 10_000 });
  const { clock, random, onEvent } = options;
  const settings = resolveTransactionOptions(`ledger ${stock.name}`, {
    clock,
    random,
    onEvent,
    signal: options.signal,
    isolation: "read-committed",
    attemptsMax: 20,
  });
  let applied = 0;
  const cursors: MovementCursor[] = [];
  for (let bucket = 0; bucket < stock.bucketCount; bucket += 1) {
    const done = await applyStream(pool, { stock, bucket, batchMax, settings });
    applied += done.applied;
    cursors.push(done.cursor);
    // After the ledger has it, and also when this call applied nothing: an earlier one may have died in between.
    if (done.cursor.sequence > 0) await stock.consumer(consumer, { bucket }).commit(done.cursor);
  }
  return { applied, cursors };
}
