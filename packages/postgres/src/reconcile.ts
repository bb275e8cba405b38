/**
 * Compares the ledger with the inventory, and says what differs. It never writes either: which of the two is right is not for a program to
 * decide.
 */
import { integerOr } from "@holdfast/core";
import { unescapeNul } from "./column-text.ts";
import { applyMovements } from "./ledger.ts";
import type { LedgerOptions } from "./ledger.ts";
import type { StockLevel, StockSource } from "./movement-source.ts";
import type { PoolLike } from "./pool.ts";
import { ask } from "./statement.ts";

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
  /** Changes with each movement that touches the sku. */
  readonly sequence: string;
}

interface RawBalance {
  /** As the ledger writes it; see column-text.ts. */
  readonly sku: string;
  readonly onHand: string;
  readonly reserved: string;
  readonly sequence: string;
}

const pageRows = 500;

/** A sku's buckets as one: a unit that went from one to the other counts once. */
const columns = `SELECT sku, sum(on_hand)::text AS "onHand", sum(reserved)::text AS reserved,
  string_agg(bucket || ':' || sequence, ' ' ORDER BY bucket) AS sequence FROM holdfast.ledger_balances`;

async function balancesAfter(pool: PoolLike, inventory: string, sku: string): Promise<Map<string, Balance>> {
  const rows = await ask<RawBalance>(
    pool,
    { operation: `reconcile ${inventory}`, standing: "read" },
    `${columns} WHERE inventory = $1 AND sku > $2 GROUP BY sku ORDER BY sku LIMIT ${pageRows}`,
    [inventory, sku],
  );
  return asBalances(rows);
}

async function balancesOf(pool: PoolLike, inventory: string, skus: readonly string[]): Promise<Map<string, Balance>> {
  const rows = await ask<RawBalance>(
    pool,
    { operation: `reconcile ${inventory}`, standing: "read" },
    `${columns} WHERE inventory = $1 AND sku = ANY ($2::text[]) GROUP BY sku`,
    [inventory, [...skus]],
  );
  return asBalances(rows);
}

function asBalances(rows: readonly RawBalance[]): Map<string, Balance> {
  return new Map(
    rows.map((row) => [
      row.sku,
      { onHand: Number(row.onHand), reserved: Number(row.reserved), sequence: row.sequence },
    ]),
  );
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
      const levels = await stock.levels(skus.map((sku) => unescapeNul(sku)));
      await applyMovements(pool, stock, options);
      const after = await balancesOf(pool, stock.name, skus);
      const moving = new Map<string, Balance>();
      for (const [written, balance] of after) {
        const sku = unescapeNul(written);
        const level = levels.get(sku) as StockLevel;
        if (balance.sequence !== before.get(written)?.sequence) moving.set(written, balance);
        else if (level.onHand !== balance.onHand || level.reserved !== balance.reserved) {
          const { onHand, reserved } = balance;
          drift.push({ sku, ledger: { onHand, reserved }, stock: { onHand: level.onHand, reserved: level.reserved } });
        }
      }
      if (attempt === attemptsMax) {
        unsettled.push(...[...moving.keys()].map((sku) => unescapeNul(sku)));
        break;
      }
      before = moving;
    }
  }
  return { checked, drift, unsettled };
}
