/**
 * The ledger: an inventory's movements as rows, applied once and in order (P5). A batch and the cursor behind it are one statement; a fork
 * or a gap in the log stops it, since a ledger that skips is worse than one that stands.
 */
import { integerOr } from "@holdfast/core";
import { LedgerStoppedError } from "./errors.ts";
import type { Movement, MovementCursor, MovementSource } from "./movement-source.ts";
import { resolveTransactionOptions } from "./options.ts";
import type { PostgresOptions, ResolvedTransactionOptions } from "./options.ts";
import type { PoolLike, Queryable } from "./pool.ts";
import { runTransaction } from "./run-transaction.ts";
import { CommitLostError } from "./session.ts";
import { ledgerGapState, sqlErrorOf } from "./sql-state.ts";

/** Options of `applyMovements`. */
export interface LedgerOptions extends PostgresOptions {
  /** Movements in one transaction, 1 to 10,000. Default 500. */
  readonly batchMax?: number | undefined;
  /** Ends it between two batches. */
  readonly signal?: AbortSignal | undefined;
}

/** How far the ledger has come. */
export interface LedgerReport {
  /** Movements that this call applied; others may have applied some, too. */
  readonly applied: number;
  /** Where the ledger stands, or undefined when it is empty. */
  readonly cursor: MovementCursor | undefined;
}

/** How often it begins again because another one was faster, or because COMMIT got no answer. */
const restartsMax = 100;

/** Where the ledger of an inventory stands. */
export async function ledgerCursor(pool: Queryable, inventory: string): Promise<MovementCursor | undefined> {
  const { rows } = await pool.query("SELECT sequence, stamp FROM holdfast.ledger_cursor($1)", [inventory]);
  const [row] = rows as { sequence: string | null; stamp: string }[];
  if (row === undefined || row.sequence === null || row.sequence === "0") return undefined;
  return { sequence: Number(row.sequence), stamp: row.stamp };
}

async function applyBatch(
  pool: PoolLike,
  settings: ResolvedTransactionOptions,
  inventory: string,
  after: MovementCursor | undefined,
  batch: readonly Movement[],
): Promise<"applied" | "moved"> {
  const wire = batch.map(({ sequence, stamp, kind, reference, lines }) => ({
    sequence,
    stamp,
    kind,
    reference,
    lines: lines.map(({ sku, onHand, reserved }) => ({ sku, onHand, reserved })),
  }));
  try {
    return await runTransaction(pool, settings, async ({ tx }) => {
      const { rows } = await tx.query<{ outcome: "applied" | "moved" }>(
        "SELECT holdfast.ledger_apply($1, $2::bigint, $3, $4::jsonb) AS outcome",
        [inventory, after?.sequence ?? 0, after?.stamp ?? "", JSON.stringify(wire)],
      );
      return rows[0]?.outcome ?? "moved";
    });
  } catch (error) {
    // The cursor says what became of it.
    if (error instanceof CommitLostError) return "moved";
    const found = sqlErrorOf(error);
    if (found?.state !== ledgerGapState) throw error;
    const { wanted, found: came } = JSON.parse(found.detail) as { wanted: number; found: number };
    throw new LedgerStoppedError(inventory, wanted, came, { cause: error });
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

/**
 * Applies an inventory's movements up to the last one there is. Safe to run again, and at many places at once.
 * @throws LedgerStoppedError for a gap; what the inventory throws for a fork or a loss; PostgresUnavailableError, TransactionConflictError;
 *   the signal's reason. What was applied before stays applied.
 */
export async function applyMovements(
  pool: PoolLike,
  stock: MovementSource,
  options: LedgerOptions = {},
): Promise<LedgerReport> {
  const { name: inventory } = stock;
  const batchMax = integerOr(500, "batchMax", options.batchMax, { min: 1, max: 10_000 });
  const settings = resolveTransactionOptions(`ledger ${inventory}`, {
    clock: options.clock,
    random: options.random,
    onEvent: options.onEvent,
    signal: options.signal,
    isolation: "read-committed",
    attemptsMax: 20,
  });
  let applied = 0;
  for (let restart = 0; ; restart += 1) {
    let cursor = await ledgerCursor(pool, inventory);
    let moved = false;
    for await (const batch of batchesOf(stock.movements({ after: cursor }), batchMax)) {
      options.signal?.throwIfAborted();
      moved = (await applyBatch(pool, settings, inventory, cursor, batch)) === "moved";
      if (moved) break;
      const { sequence, stamp } = batch.at(-1) as Movement;
      cursor = { sequence, stamp };
      applied += batch.length;
      settings.events.emit(() => ({ type: "applied", inventory, movements: batch.length, sequence }));
    }
    if (!moved || restart === restartsMax) return { applied, cursor };
  }
}
