/**
 * Compares the ledger with the inventory, and says what differs. It never writes either: which of the two is right is not for a program to
 * decide.
 */
import { integerOr } from "@holdfast/core";
import { applyMovements } from "./ledger.ts";
import type { LedgerOptions } from "./ledger.ts";
import type { StockLevel, StockSource } from "./movement-source.ts";
import type { PoolLike } from "./pool.ts";

/** Options of `reconcile`. */
export interface ReconcileOptions extends LedgerOptions {
  /** How often a sku that is moving is looked at again, 1 to 100. Default 5. */
  readonly attemptsMax?: number | undefined;
}

/** One difference. */
export interface Drift {
  readonly sku: string;
  readonly ledger: StockLevel;
  readonly stock: StockLevel;
}

/** What the comparison found. */
export interface ReconcileReport {
  /** Skus that were compared. */
  readonly checked: number;
  readonly drift: readonly Drift[];
  /** Skus that moved each time they were looked at: ask again when there is less traffic. */
  readonly unsettled: readonly string[];
}

interface Balance extends StockLevel {
  readonly sequence: string;
}

const pageRows = 500;
/** Levels that are asked for at a time. */
const flights = 16;

async function balancesAfter(pool: PoolLike, inventory: string, sku: string): Promise<Map<string, Balance>> {
  const { rows } = await pool.query(
    `SELECT sku, on_hand::text AS "onHand", reserved::text, sequence::text FROM holdfast.ledger_balances
     WHERE inventory = $1 AND sku > $2 ORDER BY sku LIMIT ${pageRows}`,
    [inventory, sku],
  );
  return asBalances(rows);
}

async function balancesOf(pool: PoolLike, inventory: string, skus: readonly string[]): Promise<Map<string, Balance>> {
  const { rows } = await pool.query(
    `SELECT sku, on_hand::text AS "onHand", reserved::text, sequence::text FROM holdfast.ledger_balances
     WHERE inventory = $1 AND sku = ANY ($2::text[])`,
    [inventory, [...skus]],
  );
  return asBalances(rows);
}

function asBalances(rows: unknown[]): Map<string, Balance> {
  return new Map(
    (rows as { sku: string; onHand: string; reserved: string; sequence: string }[]).map((row) => [
      row.sku,
      { onHand: Number(row.onHand), reserved: Number(row.reserved), sequence: row.sequence },
    ]),
  );
}

async function levelsOf(stock: StockSource, skus: readonly string[]): Promise<Map<string, StockLevel>> {
  const levels = new Map<string, StockLevel>();
  for (let at = 0; at < skus.length; at += flights) {
    const part = skus.slice(at, at + flights);
    const found = await Promise.all(part.map((sku) => stock.level(sku)));
    for (const [index, sku] of part.entries()) levels.set(sku, found[index] as StockLevel);
  }
  return levels;
}

/**
 * Compares every sku of the ledger with the inventory. A level counts only when no movement of its sku came in between.
 * @throws what `applyMovements` throws, which is called to bring the ledger up to date
 */
export async function reconcile(
  pool: PoolLike,
  stock: StockSource,
  options: ReconcileOptions = {},
): Promise<ReconcileReport> {
  const attemptsMax = integerOr(5, "attemptsMax", options.attemptsMax, { min: 1, max: 100 });
  const drift: Drift[] = [];
  const unsettled: string[] = [];
  let checked = 0;
  await applyMovements(pool, stock, options);
  for (let last: string | undefined = ""; last !== undefined;) {
    let before = await balancesAfter(pool, stock.name, last);
    last = [...before.keys()].at(-1);
    checked += before.size;
    for (let attempt = 1; before.size > 0; attempt += 1) {
      const skus = [...before.keys()];
      const levels = await levelsOf(stock, skus);
      await applyMovements(pool, stock, options);
      const after = await balancesOf(pool, stock.name, skus);
      const moving = new Map<string, Balance>();
      for (const [sku, balance] of after) {
        const level = levels.get(sku) as StockLevel;
        if (balance.sequence !== before.get(sku)?.sequence) moving.set(sku, balance);
        else if (level.onHand !== balance.onHand || level.reserved !== balance.reserved) {
          const { onHand, reserved } = balance;
          drift.push({ sku, ledger: { onHand, reserved }, stock: { onHand: level.onHand, reserved: level.reserved } });
        }
      }
      if (attempt === attemptsMax) {
        unsettled.push(...moving.keys());
        break;
      }
      before = moving;
    }
  }
  return { checked, drift, unsettled };
}
