/** Traps of PostgreSQL that were measured, each by name: first that it is there, then that this package does not fall into it. */
import { pollUntil, Stopwatch } from "@holdfast/testkit";
import type { Pool, PoolClient } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { outbox, type OutboxTimer, StaleTokenError, type Transaction, withFence } from "../src/index.ts";
import { Database, failure, gate, newResource, tokenNow } from "./database.ts";

let database: Database;
let pool: Pool;
let resource: string;
const clients: PoolClient[] = [];

beforeAll(async () => {
  database = await Database.start();
  pool = database.pool;
  await pool.query("CREATE TABLE accounts (id text PRIMARY KEY, balance int NOT NULL)");
});
afterAll(() => database.stop());
beforeEach(async () => {
  resource = newResource();
  await pool.query("INSERT INTO accounts VALUES ($1, 100)", [resource]);
});

afterEach(() => {
  for (const client of clients.splice(0)) client.release(true);
});

async function session(begin: string): Promise<PoolClient> {
  const client = await pool.connect();
  clients.push(client);
  await client.query(begin);
  return client;
}

interface Account {
  readonly balance: number;
}

const read = "SELECT balance FROM accounts WHERE id = $1";
const store = "UPDATE accounts SET balance = $2 WHERE id = $1";
const fenceText = "SELECT holdfast.fence($1, $2, 60000)";
const balance = (): Promise<number | undefined> => database.value<number>(read, [resource]);

async function addTen(tx: Transaction): Promise<void> {
  const { rows } = await tx.query<Account>(read, [resource]);
  await tx.query(store, [resource, (rows[0]?.balance ?? 0) + 10]);
}

/** Two holders of one resource, the second waiting for the first, through `withFence`. */
async function twoHolders(
  isolation: "read-committed" | "serializable",
  [first, second]: [number, number],
): Promise<unknown> {
  const [entered, leave] = [gate(), gate()];
  const one = withFence(pool, { resource, token: first }, { isolation }, async (tx) => {
    entered.open();
    await leave.opened;
    await addTen(tx);
  });
  await entered.opened;
  const two = withFence(pool, { resource, token: second }, { isolation }, addTen).catch((error: unknown) => error);
  await pollUntil("the second waits", () => database.waiting());
  leave.open();
  await one;
  return two;
}

describe("READ COMMITTED, read before the fence", () => {
  it("loses an update: 110 instead of 120", async () => {
    const token = tokenNow();
    const [one, two] = [await session("BEGIN"), await session("BEGIN")];
    const seen = await Promise.all(
      [one, two].map(async (client) => (await client.query<Account>(read, [resource])).rows),
    );
    for (const [index, client] of [one, two].entries()) {
      await client.query(fenceText, [[resource], [token + index]]);
      await client.query(store, [resource, (seen[index]?.[0]?.balance ?? 0) + 10]);
      await client.query("COMMIT");
    }
    expect(await balance()).toBe(110);
  });

  it("P1 cannot happen in withFence, whose first statement is the fence: 120", async () => {
    await twoHolders("read-committed", [tokenNow(), tokenNow(1)]);
    expect(await balance()).toBe(120);
  });
});

describe("SERIALIZABLE", () => {
  it("answers 40001 to the valid and to the stale writer alike", async () => {
    for (const plus of [1, -1]) {
      const token = tokenNow();
      const own = newResource();
      const one = await session("BEGIN ISOLATION LEVEL SERIALIZABLE");
      await one.query(fenceText, [[own], [token]]);
      const two = await session("BEGIN ISOLATION LEVEL SERIALIZABLE");
      const refused = failure(two.query(fenceText, [[own], [token + plus]]));
      await pollUntil("the second waits", () => database.waiting());
      await one.query("COMMIT");
      expect(await refused).toMatchObject({ code: "40001" });
    }
  });

  it("P1 lets the valid writer through and tells the stale one so, since withFence repeats the whole transaction", async () => {
    expect(await twoHolders("serializable", [tokenNow(), tokenNow(1_000)])).toBeUndefined();
    expect(await balance()).toBe(120);
    expect(await twoHolders("serializable", [tokenNow(3_000), tokenNow(2_000)])).toBeInstanceOf(StaleTokenError);
    expect(await balance()).toBe(130);
  });
});

describe("a holder that is paused with an open transaction", () => {
  it("P2 is ended by PostgreSQL after the time that the fence's own statement has set", async () => {
    const token = tokenNow();
    const paused = await session("BEGIN");
    const ended = new Promise<unknown>((resolve) => {
      paused.on("error", resolve);
    });
    await paused.query("SELECT holdfast.fence($1, $2, 300)", [[resource], [token]]);
    using watch = Stopwatch.start();
    await withFence(pool, { resource, token: token + 1 }, addTen);
    expect(watch.ranMs).toBeLessThan(300 + 1_000);
    expect(await ended).toMatchObject({ code: "25P03" });
    expect(await balance()).toBe(110);
  });
});

describe("a refusal", () => {
  it("P1 is raised, not returned: a caller that catches it and commits is rolled back", async () => {
    const token = tokenNow();
    await withFence(pool, { resource, token }, addTen);
    const stale = await session("BEGIN");
    await stale.query(fenceText, [[resource], [token - 1]]).catch(() => undefined);
    await stale.query(store, [resource, 0]).catch(() => undefined);
    expect((await stale.query("COMMIT")).command).toBe("ROLLBACK");
    expect(await balance()).toBe(110);
  });
});

describe("a relay", () => {
  it("P4 is no reader of numbers above the last: a row that commits late is told, too", async () => {
    const told: string[] = [];
    const timer: OutboxTimer<undefined> = {
      name: newResource(),
      schedule: async ({ id }) => told.push(id),
      cancel: async (id) => told.push(id),
    };
    const late = await session("BEGIN");
    await outbox.schedule(late, timer, { id: "late", afterMs: 0 });
    await outbox.schedule(pool, timer, { id: "early", afterMs: 0 });
    const relay = outbox.relay(pool, timer, { pollMs: 10 });
    await relay.start();
    await pollUntil("the early one was told", () => told.length === 1);
    await late.query("COMMIT");
    await pollUntil("the late one was told", () => told.length === 2);
    expect(told).toEqual(["early", "late"]);
    await relay.stop();
  });
});
