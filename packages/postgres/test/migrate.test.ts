/** The schema: many replicas at once, roles with few rights, versions. */
import { NewerFormatError } from "@holdfast/core";
import { PostgresServer } from "@holdfast/testkit";
import { Pool } from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  applyMovements,
  commitOutcome,
  grantSql,
  idempotentTransaction,
  migrate,
  migrationSql,
  outbox,
  prune,
  resetLedger,
  withFence,
  type Use,
} from "../src/index.ts";
import { collector, failure, newResource, tokenNow } from "./database.ts";

let server: PostgresServer;
let admin: Pool;
let databases = 0;
const pools: Pool[] = [];

beforeAll(async () => {
  server = await PostgresServer.start();
  admin = open("postgres");
});
afterEach(async () => {
  await Promise.all(pools.splice(1).map((pool) => pool.end()));
});
afterAll(async () => {
  await admin.end();
  await server.stop();
});

function open(database: string, user = server.user, password = server.password): Pool {
  const pool = new Pool({ host: server.host, port: server.port, user, password, database, max: 10 });
  pools.push(pool);
  return pool;
}

async function newDatabase(): Promise<string> {
  databases += 1;
  const name = `db${databases}`;
  await admin.query(`CREATE DATABASE ${name}`);
  return name;
}

const timer = { name: "timer", schedule: async () => undefined, cancel: async () => undefined };

/** One use of everything. */
const uses: Readonly<Record<Use, (pool: Pool) => Promise<unknown>>> = {
  fence: async (pool) => {
    const transaction = await withFence(pool, { resource: newResource(), token: tokenNow() }, async (tx) => {
      const asked = "SELECT pg_current_xact_id() || '@' || (extract(epoch FROM now()) * 1000000)::bigint AS xid";
      return (await tx.query<{ xid: string }>(asked)).rows[0]?.xid ?? "";
    });
    expect(await commitOutcome(pool, transaction)).toEqual({ kind: "committed" });
  },
  idempotency: (pool) =>
    idempotentTransaction(pool, { name: "n", tenant: "t", key: newResource(), fingerprint: 1 }, async () => 1),
  outbox: (pool) => outbox.schedule(pool, timer, { id: "a", afterMs: 1 }),
  relay: async (pool) => {
    await outbox.status(pool, timer);
    await pool.query("SELECT * FROM holdfast.outbox_claim('timer', 1, 1000)");
    await pool.query("SELECT holdfast.outbox_relayed('{}')");
    await pool.query("SELECT holdfast.outbox_failed(0, '', 0)");
  },
  ledger: (pool) =>
    applyMovements(pool, {
      name: "stock",
      bucketCount: 1,
      movements: async function* () {
        yield {
          sequence: 1,
          stamp: "s",
          kind: "seed",
          id: "i",
          atMs: 1,
          changes: [{ sku: "a", onHand: 1, reserved: 0 }],
        };
      },
      consumer: () => ({ commit: async () => undefined }),
    }),
  prune: (pool) => prune(pool),
  operate: async (pool) => {
    await resetLedger(pool, "other", { sequence: 1, stamp: "s" });
    await outbox.dead.list(pool, timer);
    await outbox.dead.redrive(pool, timer, "0");
    await outbox.dead.drop(pool, timer, "0");
  },
};

describe("migrate", () => {
  it("makes the schema once, whoever and however many run it at once, and later only looks", async () => {
    const database = await newDatabase();
    const { events, onEvent } = collector();
    const replicas = await Promise.all(Array.from({ length: 12 }, () => migrate(open(database), { onEvent })));
    expect(replicas.every(({ to }) => to === 5)).toBe(true);
    const pool = open(database);
    expect(await migrate(pool)).toEqual({ from: 5, to: 5 });
    expect((await pool.query("SELECT version, name FROM holdfast.migrations ORDER BY version")).rows).toEqual([
      { version: 1, name: "fences" },
      { version: 2, name: "idempotency-keys" },
      { version: 3, name: "outbox" },
      { version: 4, name: "ledger" },
      { version: 5, name: "late-questions" },
    ]);
    expect(events.every(({ type }) => type === "migrated")).toBe(true);
    for (const use of Object.values(uses)) await use(pool);
  });

  it("goes on from an older version and keeps what is there", async () => {
    const database = await newDatabase();
    const pool = open(database);
    await migrate(pool);
    await uses.fence(pool);
    await pool.query(
      "DROP TABLE holdfast.ledger_cursors, holdfast.ledger_movements, holdfast.ledger_balances; DELETE FROM holdfast.migrations WHERE version >= 4; DROP FUNCTION holdfast.ledger_apply, holdfast.ledger_cursor, holdfast.ledger_reset",
    );
    expect(await migrate(pool)).toEqual({ from: 3, to: 5 });
    await uses.ledger(pool);
    expect((await pool.query("SELECT count(*) FROM holdfast.fences")).rows).toEqual([{ count: "1" }]);
  });

  it("refuses a schema of a newer version", async () => {
    const pool = open(await newDatabase());
    await migrate(pool);
    await pool.query("INSERT INTO holdfast.migrations (version, name) VALUES (99, 'tomorrow')");
    const error = await failure(migrate(pool));
    expect(error).toBeInstanceOf(NewerFormatError);
    expect(error).toMatchObject({ found: 99, supported: 5 });
  });

  it("works where serializable is the default, as all the rest does", async () => {
    const database = await newDatabase();
    await admin.query(`ALTER DATABASE ${database} SET default_transaction_isolation = 'serializable'`);
    await Promise.all(Array.from({ length: 5 }, () => migrate(open(database))));
    const pool = open(database);
    for (const use of Object.values(uses)) await use(pool);
  });

  it("migrationSql is the same as a script, which may be run again", async () => {
    const pool = open(await newDatabase());
    await pool.query(migrationSql());
    await pool.query(migrationSql());
    expect(await migrate(pool)).toEqual({ from: 5, to: 5 });
    for (const use of Object.values(uses)) await use(pool);
  });
});

describe("a role with few rights", () => {
  it("can do what was granted and nothing else: not the other uses, nor touch a table, nor create anything", async () => {
    const database = await newDatabase();
    const owner = open(database);
    await migrate(owner);
    for (const use of Object.keys(uses) as Use[]) {
      const role = `role_${use}`;
      await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
      await owner.query(grantSql(role, [use]));
      const pool = open(database, role, "secret");
      // What every replica calls at its start.
      expect(await migrate(pool)).toEqual({ from: 5, to: 5 });
      await uses[use](pool);
      for (const [other, run] of Object.entries(uses)) {
        if (other !== use)
          expect([use, other, (await failure(run(pool))) as object]).toMatchObject([
            use,
            other,
            { name: "PostgresRefusedError", effect: "none", state: "42501", cause: { code: "42501" } },
          ]);
      }
      for (const statement of [
        "UPDATE holdfast.fences SET token = 0",
        "DELETE FROM holdfast.fences",
        "SELECT setval('holdfast.fence_floor', 0)",
        "DELETE FROM holdfast.idempotency_keys",
        "UPDATE holdfast.idempotency_keys SET result = NULL",
        "SELECT * FROM holdfast.outbox",
        "UPDATE holdfast.ledger_balances SET on_hand = 0",
        "CREATE TABLE holdfast.mine ()",
      ]) {
        expect([statement, await failure(pool.query(statement))]).toMatchObject([statement, { code: "42501" }]);
      }
    }
  });

  it("cannot migrate, and is told so by PostgreSQL; an odd name of a role is quoted", async () => {
    const database = await newDatabase();
    await admin.query(`CREATE ROLE "odd ""role" LOGIN PASSWORD 'secret'`);
    const pool = open(database, 'odd "role', "secret");
    expect(await failure(migrate(pool))).toMatchObject({ name: "PostgresRefusedError", state: "42501" });
    const owner = open(database);
    await migrate(owner);
    await owner.query(grantSql('odd "role'));
    for (const use of Object.values(uses)) await use(pool);
    expect(() => grantSql("role", ["everything" as Use])).toThrow("use must be one of");
  });
});
