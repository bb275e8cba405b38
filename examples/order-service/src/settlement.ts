/**
 * Owns the nightly settlement: every paid order is in one settlement, for which the provider pays out once. The scheduler sees to it that it
 * runs once for all replicas, and again if its runner dies; the lock keeps out whatever else works on the books; and PostgreSQL refuses
 * whoever was overtaken, as a runner or as a holder of the lock, however late it writes.
 *
 * The settlement is written before its payout is asked for, which is then for the sum of just its orders, whatever is paid meanwhile.
 */
import type { FencedLock, Hold } from "@holdfast/lock";
import { withFence } from "@holdfast/postgres";
import type { Run } from "@holdfast/scheduler";
import type { Pool } from "pg";
import type { PaymentProvider } from "./payment-provider.ts";

/** What everybody who works on the books locks. */
export const BOOKS = "books";

/** One statement, one snapshot: what is paid meanwhile is in the next settlement. A run that comes again finds its own. */
const SETTLE = `
  WITH settlement AS (
    INSERT INTO settlements (occurrence_id, orders, total_cents, payout_key)
    SELECT $1, count(*), coalesce(sum(amount_cents), 0), $2 FROM orders WHERE status = 'PAID' AND settlement_id IS NULL
    ON CONFLICT (occurrence_id) DO NOTHING
    RETURNING id
  )
  UPDATE orders SET settlement_id = settlement.id FROM settlement WHERE status = 'PAID' AND settlement_id IS NULL`;

/**
 * Those too that an earlier run has left for good, since their orders are in no later settlement; last, so that one which the provider
 * refuses keeps back no other.
 */
const UNPAID = `
  SELECT id, total_cents, payout_key FROM settlements
  WHERE payout_key IS NOT NULL AND payout IS NULL
  ORDER BY occurrence_id = $1 DESC, id`;

/** A settlement whose payout is still to be noted. */
interface Unpaid {
  readonly id: string;
  readonly total_cents: string;
  readonly payout_key: string;
}

/** Settles the books. */
export class Settlement {
  private readonly pool: Pool;
  private readonly lock: FencedLock;
  private readonly provider: PaymentProvider | undefined;

  constructor(pool: Pool, lock: FencedLock, provider: PaymentProvider | undefined) {
    this.pool = pool;
    this.lock = lock;
    this.provider = provider;
  }

  /** @throws StaleTokenError, LockLostError when it was overtaken; what the provider throws. The next run goes on where it stopped. */
  async run(run: Run): Promise<void> {
    await this.lock.withLock(BOOKS, { signal: run.signal }, async (hold) => {
      const { provider } = this;
      const unpaid = await this.settle(run, hold);
      if (provider === undefined) return;
      // The slow part comes between two transactions. Each settlement has a key of its own, so whoever asks gets the same payout.
      for (const { id, total_cents: total, payout_key: key } of unpaid) {
        const payout = await provider.payOut(key, Number(total));
        await withFence(this.pool, [run, hold], (tx) =>
          tx.query("UPDATE settlements SET payout = $2 WHERE id = $1", [id, payout]),
        );
      }
    });
  }

  private settle(run: Run, hold: Hold): Promise<Unpaid[]> {
    // Nobody pays out what was taken on trust.
    const key = this.provider === undefined ? null : `settlement/${run.occurrenceId}`;
    return withFence(this.pool, [run, hold], async (tx) => {
      await tx.query(SETTLE, [run.occurrenceId, key]);
      const { rows } = await tx.query<Unpaid>(UNPAID, [run.occurrenceId]);
      return rows;
    });
  }
}
