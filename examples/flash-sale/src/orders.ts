/**
 * Owns the table of orders: what was sold, and to whom. All shops write it alike.
 */

/** A pool or a client. */
export interface Database {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: unknown[] }>;
}

/** Creates the table. */
export async function createOrders(database: Database): Promise<void> {
  await database.query(`CREATE TABLE orders (
    id text PRIMARY KEY,
    buyer text NOT NULL,
    sold_at timestamptz NOT NULL DEFAULT clock_timestamp()
  )`);
}

/** The orders of one sale. */
export class Orders {
  private readonly database: Database;

  constructor(database: Database) {
    this.database = database;
  }

  /** Records that a buyer has bought a unit; once per id. */
  async record(id: string, buyer: string): Promise<void> {
    await this.database.query("INSERT INTO orders (id, buyer) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING", [
      id,
      buyer,
    ]);
  }

  /** Who bought, once per unit. */
  async buyers(): Promise<string[]> {
    const { rows } = await this.database.query("SELECT buyer FROM orders");
    return (rows as { buyer: string }[]).map(({ buyer }) => buyer);
  }
}
