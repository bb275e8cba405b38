/** Every call against a PostgreSQL that is away, or refuses: an error of this toolkit with its cause, and what it may have done. */
import { FaultProxy, pollUntil } from "@holdfast/testkit";
import { HoldfastError } from "@holdfast/core";
import { Client, type Pool } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  applyMovements,
  commitOutcome,
  fence,
  idempotentTransaction,
  ledgerCursor,
  migrate,
  type MovementSource,
  outbox,
  prune,
  type Queryable,
  reconcile,
  resetLedger,
  withFence,
} from "../src/index.ts";
import { Database, failure, newResource, tokenNow } from "./database.ts";

let database: Database;

beforeAll(async () => {
  database = await Database.start();
});
afterAll(() => database.stop());

const timer = { name: "timer", schedule: async () => undefined, cancel: async () => undefined };
const stock: MovementSource = {
  name: "stock",
  bucketCount: 1,
  movements: async function* () {},
  consumer: () => ({ commit: async () => undefined }),
};
const hold = (): { resource: string; token: number } => ({ resource: newResource(), token: tokenNow() });

/** Calls that change nothing, or whose change is not committed when the connection breaks. */
const harmless: Readonly<Record<string, (pool: Pool) => Promise<unknown>>> = {
  migrate: (pool) => migrate(pool),
  withFence: (pool) => withFence(pool, hold(), async () => undefined),
  fence: (pool) => fence(pool, hold()),
  idempotentTransaction: (pool) =>
    idempotentTransaction(pool, { name: "n", tenant: "t", key: newResource(), fingerprint: 1 }, async () => 1),
  commitOutcome: (pool) => commitOutcome(pool, "1000"),
  "outbox.status": (pool) => outbox.status(pool, timer),
  "outbox.dead.list": (pool) => outbox.dead.list(pool, timer),
  ledgerCursor: (pool) => ledgerCursor(pool, "stock"),
  applyMovements: (pool) => applyMovements(pool, stock),
  reconcile: (pool) => reconcile(pool, { ...stock, levels: async () => new Map() }),
};

/** Calls that are committed by themselves, and may be repeated. */
const writing: Readonly<Record<string, (pool: Pool) => Promise<unknown>>> = {
  prune: (pool) => prune(pool),
  resetLedger: (pool) => resetLedger(pool, "other", { sequence: 1, stamp: "s" }),
  "outbox.dead.redrive": (pool) => outbox.dead.redrive(pool, timer, "1"),
  "outbox.dead.drop": (pool) => outbox.dead.drop(pool, timer, "1"),
};

/** Calls of which a repeat is one more. */
const adding: Readonly<Record<string, (pool: Pool) => Promise<unknown>>> = {
  "outbox.schedule": (pool) => outbox.schedule(pool, timer, { id: "a", afterMs: 1 }),
  "outbox.cancel": (pool) => outbox.cancel(pool, timer, "a"),
};

const everything = { ...harmless, ...writing, ...adding };

describe("a server that is away", () => {
  it("is PostgresUnavailableError for every call, with the driver's error as its cause: nothing was done", async () => {
    const nowhere = database.open({ host: "127.0.0.1", port: 1, max: 1 });
    for (const [name, call] of Object.entries(everything)) {
      const error = await failure(call(nowhere));
      expect({ name, error }).toMatchObject({
        name,
        error: {
          name: "PostgresUnavailableError",
          reason: "unreachable",
          effect: "none",
          cause: expect.objectContaining({ code: "ECONNREFUSED" }),
        },
      });
      expect((error as Error).message).toMatch(
        /^(?:withFence|fence|idempotentTransaction|migrate|commitOutcome|outbox|ledger|reconcile|prune|resetLedger)/u,
      );
    }
  });

  it("is told apart from a login that is refused only by the cause", async () => {
    const stranger = database.open({ password: "wrong", max: 1 });
    for (const [name, call] of Object.entries(everything)) {
      expect({ name, error: await failure(call(stranger)) }).toMatchObject({
        name,
        error: {
          name: "PostgresUnavailableError",
          reason: "unreachable",
          cause: expect.objectContaining({ code: "28P01" }),
        },
      });
    }
  });
});

/** What the network says of a route that is gone or refused, as Node puts it. */
function networkError(code: string, syscall: string): Error {
  return Object.assign(new Error(`${syscall} ${code}`), { code, syscall });
}

describe("a route that is gone", () => {
  const failing = (error: Error): Queryable => ({ query: () => Promise.reject(error) });

  it.each(["EHOSTUNREACH", "ENETUNREACH", "ECONNREFUSED", "ENOENT"])(
    "P4 leaves a write open when %s ends a connection that was there, and did nothing when there was none",
    async (code) => {
      const schedule = (error: Error): Promise<unknown> =>
        failure(outbox.schedule(failing(error), timer, { id: "a", afterMs: 1 }));
      expect(await schedule(networkError(code, "read"))).toMatchObject({
        name: "OutcomeUnknownError",
        effect: "possible",
      });
      const tried = ["::1", "127.0.0.1"].map(() => networkError(code, "connect"));
      for (const error of [networkError(code, "connect"), Object.assign(new AggregateError(tried), { code })]) {
        expect(await schedule(error)).toMatchObject({ name: "PostgresUnavailableError", reason: "unreachable" });
      }
    },
  );

  it("did nothing when the name of the server is not found", async () => {
    for (const code of ["ENOTFOUND", "EAI_AGAIN"]) {
      expect(await failure(prune(failing(networkError(code, "getaddrinfo"))))).toMatchObject({
        name: "PostgresUnavailableError",
        reason: "unreachable",
      });
    }
  });
});

describe("a connection that breaks before the answer", () => {
  /** Runs a call whose statement reached the server, and breaks the connection before its answer. */
  async function broken(call: (pool: Pool) => Promise<unknown>): Promise<unknown> {
    await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
    const far = database.open({ max: 1, application_name: "far" }, proxy);
    await far.query("SELECT 1");
    proxy.blackhole("down");
    const outcome = failure(call(far));
    await pollUntil("the server has answered", async () => {
      const answered = "application_name = 'far' AND state LIKE 'idle%' AND query <> 'SELECT 1'";
      return (await database.value(`SELECT count(*) FROM pg_stat_activity WHERE ${answered}`)) === "1";
    });
    proxy.reset();
    return await outcome;
  }

  it("did nothing where nothing is committed by it", async () => {
    for (const [name, call] of Object.entries(harmless)) {
      expect({ name, error: await broken(call) }).toMatchObject({
        name,
        error: { name: "PostgresUnavailableError", effect: "none" },
      });
    }
  });

  it("leaves the outcome open where a write is committed by itself, and says that a repeat is safe", async () => {
    for (const [name, call] of Object.entries(writing)) {
      const error = await broken(call);
      expect({ name, error }).toMatchObject({ name, error: { name: "OutcomeUnknownError", effect: "possible" } });
      expect((error as Error).message).toContain("to repeat it is safe");
      expect((error as Error).cause).toBeInstanceOf(Error);
      await call(database.pool);
    }
  });

  it("P4 leaves a row that was written without a transaction open, and says that a repeat is one more generation", async () => {
    for (const [name, call] of Object.entries(adding)) {
      const { pending: before } = await outbox.status(database.pool, timer);
      const error = await broken(call);
      expect({ name, error }).toMatchObject({ name, error: { name: "OutcomeUnknownError", effect: "possible" } });
      expect((error as Error).message).toContain("a repeat is one more row and one more generation");
      await call(database.pool);
      expect(await outbox.status(database.pool, timer)).toMatchObject({ pending: before + 2 });
    }
  });
});

describe("a server that refuses", () => {
  it("for want of a schema says to migrate, whatever is called", async () => {
    await database.pool.query("CREATE DATABASE empty");
    const empty = database.open({ database: "empty" });
    const { migrate: _, commitOutcome: __, ...needy } = everything;
    for (const [name, call] of Object.entries(needy)) {
      const error = await failure(call(empty));
      expect(error).toBeInstanceOf(HoldfastError);
      expect({ name, error }).toMatchObject({
        name,
        error: {
          name: "PostgresRefusedError",
          effect: "none",
          message: expect.stringContaining("migrate"),
        },
      });
    }
  });

  it("answers 40001 in a transaction of the caller's own as it is, for the caller's own repeat", async () => {
    const conflicted: Queryable = { query: () => Promise.reject(Object.assign(new Error("again"), { code: "40001" })) };
    expect(await failure(fence(conflicted, hold()))).toMatchObject({ code: "40001", message: "again" });
    expect(await failure(prune(conflicted))).toMatchObject({ name: "TransactionConflictError", attempts: 1 });
  });

  it("a bare client is enough for every call that takes one", async () => {
    const client = new Client({ connectionString: database.server.url });
    await client.connect();
    const bare: Queryable = { query: (text, values) => client.query(text, values) };
    await client.query("BEGIN");
    await fence(bare, hold());
    await outbox.schedule(bare, timer, { id: "bare", afterMs: 1 });
    await client.query("COMMIT");
    expect(await outbox.status(bare, timer)).toMatchObject({ pending: expect.any(Number) });
    expect(await prune(bare)).toEqual({ fences: expect.any(Number), keys: expect.any(Number) });
    await client.end();
  });
});
