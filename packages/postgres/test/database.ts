/** A database of its own for a test file, and what most tests ask of one. */
import { type FaultProxy, PostgresServer } from "@holdfast/testkit";
import { Pool, type PoolConfig } from "pg";
import { migrate, type PostgresEvent, type Transaction } from "../src/index.ts";

/** One server with the schema, and pools that are ended with it. */
export class Database implements AsyncDisposable {
  readonly server: PostgresServer;
  readonly pool: Pool;
  readonly #pools: Pool[] = [];

  private constructor(server: PostgresServer) {
    this.server = server;
    this.pool = this.open();
  }

  static async start(): Promise<Database> {
    const database = new Database(
      await PostgresServer.start({ config: { max_connections: 60, deadlock_timeout: "50ms" } }),
    );
    await migrate(database.pool);
    return database;
  }

  /** A further pool, perhaps through a proxy. */
  open(config: PoolConfig = {}, proxy?: FaultProxy): Pool {
    const { user, password, database } = this.server;
    const { host, port } = proxy ?? this.server;
    const pool = new Pool({ host, port, user, password, database, max: 12, ...config });
    // An idle connection that ends with its server is not what these tests are about.
    pool.on("error", () => undefined);
    pool.on("connect", (client) => client.on("error", () => undefined));
    this.#pools.push(pool);
    return pool;
  }

  async rows<Row>(text: string, values?: unknown[]): Promise<Row[]> {
    return (await this.pool.query(text, values)).rows as Row[];
  }

  async value<Value>(text: string, values?: unknown[]): Promise<Value | undefined> {
    const [row] = await this.rows<Record<string, Value>>(text, values);
    return row === undefined ? undefined : Object.values(row)[0];
  }

  /** Whether a session waits for a lock. */
  async waiting(): Promise<boolean> {
    return (await this.value<string>("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")) !== "0";
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.#pools.map((pool) => pool.end()));
    await this.server.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** A promise and its settlement, to force interleavings. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: () => resolve() };
}

/** What a promise rejects with. */
export async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => {
      throw new Error(`expected a rejection, got ${JSON.stringify(value)}`);
    },
    (error: unknown) => error,
  );
}

/** Collects events. */
export function collector(): { readonly events: PostgresEvent[]; readonly onEvent: (event: PostgresEvent) => void } {
  const events: PostgresEvent[] = [];
  return { events, onEvent: (event) => void events.push(event) };
}

/** Does something in the moment before COMMIT goes out. */
export function beforeCommit({ client }: Transaction, act: () => void): void {
  const query = client.query.bind(client);
  client.query = (text, values) => {
    if (text === "COMMIT") act();
    return query(text, values);
  };
}

let resources = 0;

/** A resource that no other test has. */
export function newResource(): string {
  resources += 1;
  return `lock:test-${resources}`;
}

/** A token as the lock would grant it now, `plus` later. */
export function tokenNow(plus = 0): number {
  return Date.now() * 1_000 + plus;
}
