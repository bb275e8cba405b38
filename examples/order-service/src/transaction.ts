/**
 * Owns how a transaction is run: fenced, wherever there is somebody who could have been overtaken (a request under an idempotency key, a
 * firing of a timer), so that what a paused process writes when it wakes up is refused by PostgreSQL.
 */
import { withFence, type FencedHold } from "@holdfast/postgres";
import type { Pool, QueryResultRow } from "pg";

/** An open transaction, or anything else that runs statements. */
export interface Database {
  query<Row extends QueryResultRow>(text: string, values?: unknown[]): Promise<Result<Row>>;
}

/** What a statement came to. */
export interface Result<Row> {
  readonly rows: Row[];
  readonly rowCount?: number | null;
}

/**
 * Runs a transaction.
 *
 * @param fenced who writes; null with timeouts in memory, which know no such thing.
 * @param body runs again as a whole when it met another transaction.
 * @throws StaleTokenError when a later one has written; what the body throws. Nothing is committed then.
 */
export async function inTransaction<Value>(
  pool: Pool,
  fenced: FencedHold | null,
  body: (tx: Database) => Promise<Value>,
): Promise<Value> {
  if (fenced !== null) return withFence(pool, fenced, body);
  const client = await pool.connect();
  let broken = false;
  try {
    await client.query("BEGIN");
    const value = await body(client);
    await client.query("COMMIT");
    return value;
  } catch (error) {
    await client.query("ROLLBACK").catch(() => {
      broken = true;
    });
    throw error;
  } finally {
    client.release(broken);
  }
}
