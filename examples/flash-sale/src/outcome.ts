/**
 * Owns what a sale came to: the orders, what is left on the shelf, and for the inventory what its ledger says.
 */
import { reconcile } from "@holdfast/postgres";
import type { Inventory } from "@holdfast/inventory";
import type pg from "pg";
import type { CrowdCounts } from "./crowd.ts";
import { Orders } from "./orders.ts";

/** What the ledger in PostgreSQL says beside the orders. */
export interface LedgerFindings {
  /** Units that the ledger has as sold. */
  readonly sold: number;
  /** Orders without their movement, movements without their order, and those of another quantity. */
  readonly unmatched: number;
  /** Skus whose balance is not what Redis has. */
  readonly drift: number;
  /** Carts that ended by time, and whose units came back. */
  readonly expired: number;
}

/** What a sale came to. */
export interface Outcome {
  readonly units: number;
  /** Orders: units that have to be shipped. */
  readonly sold: number;
  /** Units that were sold and never there. */
  readonly oversold: number;
  /** Orders of buyers who have another one already. */
  readonly soldTwice: number;
  /** Who has an order, so is charged, and was told that the sale is over. */
  readonly chargedInVain: number;
  /** Units that can be sold still. */
  readonly onShelf: number;
  /** Units that are neither sold nor on the shelf. */
  readonly lost: number;
  readonly ledger: LedgerFindings | null;
}

/** @param onShelf what can be sold at the end; below zero in a shop that counts without looking */
export function outcomeOf(
  units: number,
  buyers: readonly string[],
  counts: Pick<CrowdCounts, "bought">,
  onShelf: number,
  ledger: LedgerFindings | null,
): Outcome {
  const sold = buyers.length;
  const distinct = new Set(buyers);
  return {
    units,
    sold,
    oversold: Math.max(0, sold - units),
    soldTwice: sold - distinct.size,
    chargedInVain: [...distinct].filter((buyer) => !counts.bought.has(buyer)).length,
    onShelf: Math.max(0, onShelf),
    lost: Math.max(0, units - sold - Math.max(0, onShelf)),
    ledger,
  };
}

const FINDINGS = `
  WITH sold AS (
    SELECT id, -sum((change ->> 'onHand')::int)::int AS units
    FROM holdfast.ledger_movements, jsonb_array_elements(changes) AS change
    WHERE inventory = $1 AND kind = 'confirm'
    GROUP BY id
  )
  SELECT (SELECT coalesce(sum(units), 0)::int FROM sold) AS "sold",
         (SELECT count(*)::int FROM orders o FULL JOIN sold s ON s.id = o.id
          WHERE o.id IS NULL OR s.id IS NULL OR s.units <> 1) AS "unmatched",
         (SELECT count(*)::int FROM holdfast.ledger_movements WHERE inventory = $1 AND kind = 'expire') AS "expired"`;

/** Brings the ledger up to date, and holds it against Redis and against the orders, unit by unit. */
export async function readLedger(pool: pg.Pool, stock: Inventory): Promise<LedgerFindings> {
  const { drift, unsettled } = await reconcile(pool, stock);
  const { rows } = await pool.query(FINDINGS, [stock.name]);
  return { ...(rows[0] as Omit<LedgerFindings, "drift">), drift: drift.length + unsettled.length };
}

/** Reads who bought. */
export function readBuyers(pool: pg.Pool): Promise<string[]> {
  return new Orders(pool).buyers();
}
