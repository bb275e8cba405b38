/**
 * Owns the nightly settlement: every paid order is in one settlement, for which the provider pays out once. The scheduler sees to it that it
 * runs once for all replicas, and again if its runner dies; the lock keeps out whatever else works on the books; and PostgreSQL refuses
 * whoever was overtaken, as a runner or as a holder of the lock, however late it writes.
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
    INSERT INTO settlements (occurrence_id, orders, total_cents, payout)
    SELECT $1, count(*), coalesce(sum(amount_cents), 0), $2 FROM orders WHERE status = 'PAID' AND settlement_id IS NULL
    ON CONFLICT (occurrence_id) DO NOTHING
    RETURNING id
  )
  UPDATE orders SET settlement_id = settlement.id FROM settlement WHERE status = 'PAID' AND settlement_id IS NULL`;

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

  /** @throws StaleTokenError, LockLostError when it was overtaken; what the provider throws. Nothing is settled then. */
  async run(run: Run): Promise<void> {
    await this.lock.withLock(BOOKS, { signal: run.signal }, async (hold) => {
      // The slow part comes before the transaction. The occurrence is its key, so another attempt gets the same payout.
      const payout = (await this.provider?.payOut(`settlement/${run.occurrenceId}`)) ?? null;
      await this.settle(run, hold, payout);
    });
  }

  private async settle(run: Run, hold: Hold, payout: string | null): Promise<void> {
    await withFence(this.pool, [run, hold], (tx) => tx.query(SETTLE, [run.occurrenceId, payout]));
  }
}
