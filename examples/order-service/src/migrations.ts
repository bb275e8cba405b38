/**
 * Owns the tables: numbered steps, each applied once, also when several replicas start at the same moment.
 */
import pg from "pg";

/** The key of the advisory lock: any number that nothing else in this database locks. */
export const MIGRATION_LOCK = 7_301_142;

const STEPS: readonly string[] = [
  `CREATE TABLE orders (
     id             uuid PRIMARY KEY,
     amount_cents   bigint NOT NULL CHECK (amount_cents > 0),
     status         text NOT NULL CHECK (status IN ('PENDING_PAYMENT', 'PAID', 'PAYMENT_TIMEOUT')),
     created_at     timestamptz NOT NULL,
     payment_due_at timestamptz NOT NULL,
     decided_at     timestamptz,
     CHECK ((status = 'PENDING_PAYMENT') = (decided_at IS NULL))
   );
   CREATE INDEX orders_pending ON orders (created_at, id) WHERE status = 'PENDING_PAYMENT'`,
  `CREATE TABLE order_events (
     id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     order_id    uuid NOT NULL REFERENCES orders,
     kind        text NOT NULL CHECK (kind IN ('placed', 'paid', 'payment-refused', 'timed-out', 'timeout-refused')),
     recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
   );
   CREATE INDEX order_events_by_order ON order_events (order_id, id)`,
  `ALTER TABLE orders ADD COLUMN lines jsonb NOT NULL DEFAULT '[]', ADD COLUMN payment_key uuid`,
  `CREATE TABLE settlements (
     id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     occurrence_id text NOT NULL UNIQUE,
     orders        int NOT NULL,
     total_cents   bigint NOT NULL,
     payout        text,
     settled_at    timestamptz NOT NULL DEFAULT clock_timestamp()
   );
   ALTER TABLE orders ADD COLUMN settlement_id bigint REFERENCES settlements;
   CREATE INDEX orders_unsettled ON orders (decided_at) WHERE status = 'PAID' AND settlement_id IS NULL`,
  // Null: nobody is asked to pay it out.
  `ALTER TABLE settlements ADD COLUMN payout_key text`,
];

/**
 * Brings the database up to this program's version. A replica that comes second waits for the first, however long that takes, and finds
 * nothing to do.
 *
 * @throws Error when the database cannot be reached, or is newer than this program; it is as it was before then.
 */
export async function migrate(databaseUrl: string): Promise<void> {
  // A connection of its own: the pool's time limits are for requests.
  const client = new pg.Client({ connectionString: databaseUrl });
  // Its end fails the statement that is under way; without a listener it would end the process as well.
  client.on("error", () => undefined);
  await client.connect();
  try {
    await client.query("BEGIN");
    // Released with the transaction, so a replica that dies in the middle blocks nobody.
    await client.query("SELECT pg_advisory_xact_lock($1)", [MIGRATION_LOCK]);
    await applyMissing(client);
    await client.query("COMMIT");
  } finally {
    // Without a COMMIT the server takes everything back.
    await client.end();
  }
}

async function applyMissing(client: pg.Client): Promise<void> {
  await client.query(
    `CREATE TABLE IF NOT EXISTS schema_version (version int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`,
  );
  const { rows } = await client.query<{ version: number }>(
    "SELECT coalesce(max(version), 0) AS version FROM schema_version",
  );
  const present = rows[0]?.version ?? 0;
  if (present > STEPS.length)
    throw new Error(
      `The database has schema version ${present}, this program knows ${STEPS.length}: deploy a newer program.`,
    );
  for (const [index, step] of STEPS.entries()) {
    if (index < present) continue;
    await client.query(step);
    await client.query("INSERT INTO schema_version (version) VALUES ($1)", [index + 1]);
  }
}
