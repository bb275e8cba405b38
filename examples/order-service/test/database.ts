/**
 * A PostgreSQL server for one test file, with an empty database for every test that asks.
 */
import { randomUUID } from "node:crypto";
import { pollUntil, type PostgresServer } from "@holdfast/testkit";
import pg from "pg";
import { WAIT } from "./wait.ts";

/** One empty database. */
export class TestDatabase implements AsyncDisposable {
  readonly name: string;
  readonly url: string;
  readonly pool: pg.Pool;

  private constructor(name: string, url: string) {
    this.name = name;
    this.url = url;
    this.pool = new pg.Pool({ connectionString: url });
    this.pool.on("error", () => undefined);
  }

  static async create(server: PostgresServer): Promise<TestDatabase> {
    const name = `orders_${randomUUID().replaceAll("-", "")}`;
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    await client.query(`CREATE DATABASE ${name}`);
    await client.end();
    const url = new URL(server.url);
    url.pathname = `/${name}`;
    return new TestDatabase(name, url.href);
  }

  /** The history of one order, oldest first. */
  async history(orderId: string): Promise<string[]> {
    const { rows } = await this.pool.query<{ kind: string }>(
      "SELECT kind FROM order_events WHERE order_id = $1 ORDER BY id",
      [orderId],
    );
    return rows.map(({ kind }) => kind);
  }

  async statusOf(orderId: string): Promise<string | undefined> {
    const { rows } = await this.pool.query<{ status: string }>("SELECT status FROM orders WHERE id = $1", [orderId]);
    return rows[0]?.status;
  }

  /** Resolves when the order has this status. */
  async becomes(orderId: string, status: string): Promise<void> {
    await pollUntil(`order ${orderId} is ${status}`, async () => (await this.statusOf(orderId)) === status, WAIT);
  }

  /** Locks the order's row, so that whoever wants to change it waits. Resolves with what lets go. */
  hold(orderId: string): Promise<() => Promise<void>> {
    return this.lock("SELECT FROM orders WHERE id = $1 FOR UPDATE", orderId);
  }

  /** Locks how far the ledger of this stock has come, so that whoever wants to bring it further waits. Resolves with what lets go. */
  holdLedger(stock: string): Promise<() => Promise<void>> {
    return this.lock("SELECT FROM holdfast.ledger_cursors WHERE inventory = $1 FOR UPDATE", stock);
  }

  private async lock(statement: string, key: string): Promise<() => Promise<void>> {
    const client = await this.pool.connect();
    await client.query("BEGIN");
    await client.query(statement, [key]);
    return async () => {
      await client.query("COMMIT");
      client.release();
    };
  }

  /** Resolves when this many statements wait for a lock, or more. */
  async waiting(count: number): Promise<void> {
    const isSo = async (): Promise<boolean> => {
      const { rows } = await this.pool.query<{ waiting: number }>(
        `SELECT count(*)::int AS waiting FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return (rows[0]?.waiting ?? 0) >= count;
    };
    await pollUntil(`${count} statements wait for a lock`, isSo, WAIT);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool.end();
  }
}
