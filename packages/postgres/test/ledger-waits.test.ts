/** One that applies movements and comes to no end, frozen or cut off, keeps the others waiting for a bounded time, and nobody for ever. */
import { withAmbientDeadline } from "@holdfast/core";
import { FaultProxy, LeapClock, pollUntil } from "@holdfast/testkit";
import type { Pool, PoolClient } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { applyMovements, migrate, type MovementSource } from "../src/index.ts";
import { Database, failure, gate, newResource } from "./database.ts";

let database: Database;

beforeAll(async () => {
  database = await Database.start();
});
afterAll(() => database.stop());

/** An inventory of one movement. */
function oneMovement(): MovementSource {
  return {
    name: newResource(),
    bucketCount: 1,
    async *movements({ after }) {
      if ((after?.sequence ?? 0) > 0) return;
      const changes = [{ sku: "mug", onHand: 1, reserved: 0 }];
      yield { sequence: 1, stamp: "s", kind: "restock", id: "m", atMs: 0, changes };
    },
    consumer: () => ({ commit: async () => undefined }),
  };
}

const rows = async ({ name }: MovementSource): Promise<number> =>
  (await database.rows("SELECT FROM holdfast.ledger_movements WHERE inventory = $1", [name])).length;

/** Does something before a statement goes out on a pool's connections; it waits for that. */
function before(pool: Pool, statement: RegExp, act: (client: PoolClient) => unknown): void {
  pool.on("connect", (client: PoolClient) => {
    const query = client.query.bind(client) as (...args: unknown[]) => unknown;
    Object.assign(client, {
      query: async (...args: unknown[]) => {
        if (statement.test(String(args[0]))) await act(client);
        return query(...args);
      },
    });
  });
}

/** Has the cursor's row, as one does that is frozen before its COMMIT. */
async function frozen(stock: MovementSource): Promise<PoolClient> {
  const client = await database.pool.connect();
  await client.query("BEGIN");
  await client.query("INSERT INTO holdfast.ledger_cursors VALUES ($1, 0, 0, '')", [stock.name]);
  return client;
}

async function thaw(client: PoolClient): Promise<void> {
  await client.query("ROLLBACK");
  client.release();
}

describe("one that is frozen before its COMMIT", () => {
  it.each([
    ["0", "5s"],
    ["1min", "5s"],
    ["700ms", "700ms"],
  ])("P2 P5 with a session's limit of %s may be silent for %s, as with a fence", async (session, wanted) => {
    const options = `-c idle_in_transaction_session_timeout=${session}`;
    const pool = database.open({ max: 2, options });
    const seen: unknown[] = [];
    before(pool, /^COMMIT/u, async (client) => {
      seen.push((await client.query("SHOW idle_in_transaction_session_timeout")).rows[0]);
    });
    await applyMovements(pool, oneMovement());
    expect(seen).toEqual([{ idle_in_transaction_session_timeout: wanted }]);
  });

  it("P5 is ended by PostgreSQL, and the others go on", async () => {
    const stock = oneMovement();
    const pool = database.open({ max: 2, options: "-c idle_in_transaction_session_timeout=300ms" });
    const stopped = gate();
    const asleep = gate();
    before(pool, /^COMMIT/u, () => {
      asleep.open();
      return stopped.opened;
    });
    const first = failure(applyMovements(pool, stock));
    await asleep.opened;
    expect(await applyMovements(database.pool, stock)).toMatchObject({ applied: 1 });
    stopped.open();
    expect(await first).toMatchObject({ name: "TransactionIdleError", effect: "none" });
    expect(await rows(stock)).toBe(1);
  });

  it("P5 is waited for until the signal aborts, or until the deadline: nothing was applied", async () => {
    const stock = oneMovement();
    const client = await frozen(stock);
    const controller = new AbortController();
    const enough = new Error("enough");
    const clock = new LeapClock();
    const aborted = failure(applyMovements(database.pool, stock, { signal: controller.signal }));
    await pollUntil("it waits", () => database.waiting());
    controller.abort(enough);
    expect(await aborted).toBe(enough);
    const late = withAmbientDeadline(10_000, () => failure(applyMovements(database.pool, stock, { clock })), clock);
    let error: unknown;
    void late.then((value) => (error = value));
    await pollUntil("it is given up", () => {
      clock.leap(1_000);
      return error !== undefined;
    });
    expect(error).toMatchObject({ name: "PostgresUnavailableError", reason: "deadline", effect: "none" });
    await thaw(client);
    expect(await rows(stock)).toBe(0);
    expect(await applyMovements(database.pool, stock)).toMatchObject({ applied: 1 });
  });

  it("is not waited for without end where schemas are brought up to date, either", async () => {
    const name = `fresh_${Date.now()}`;
    await database.pool.query(`CREATE DATABASE ${name}`);
    const pool = database.open({ database: name, max: 2 });
    const seen: unknown[] = [];
    before(pool, /^COMMIT/u, async (client) => {
      seen.push((await client.query("SHOW idle_in_transaction_session_timeout")).rows[0]);
    });
    await migrate(pool);
    expect(seen).toEqual([{ idle_in_transaction_session_timeout: "5s" }]);
  });
});

describe("a connection that falls mute", () => {
  it.each([
    ["where the ledger stands is asked", /ledger_cursor/u],
    ["a batch is begun", /^BEGIN/u],
    ["a batch is applied", /ledger_apply/u],
  ])("P5 when %s is given up after a time, and another one is taken", async (_, statement) => {
    await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
    const pool = database.open({ max: 1 }, proxy);
    const stock = oneMovement();
    const clock = new LeapClock();
    let isMute = false;
    before(pool, statement, () => {
      isMute = true;
      proxy.blackhole("down");
    });
    let error: unknown;
    void failure(applyMovements(pool, stock, { clock })).then((value) => (error = value));
    await pollUntil("it is mute", () => isMute);
    await pollUntil("it is given up", () => {
      clock.leap(1_000);
      return error !== undefined;
    });
    expect(error).toMatchObject({ name: "PostgresUnavailableError", reason: "connection-lost", effect: "none" });
    expect(pool.totalCount).toBe(0);
    await proxy.heal({ held: "drop" });
    proxy.reset();
    await pollUntil(
      "its session is over",
      async () => (await applyMovements(database.pool, stock)).cursors[0]?.sequence === 1,
    );
    expect(await rows(stock)).toBe(1);
  });

  it("P5 and one that is not to be had is not waited for without end, either", async () => {
    const clock = new LeapClock();
    let asked = false;
    const asking = {
      connect: () => {
        asked = true;
        return new Promise<PoolClient>(() => undefined);
      },
      query: async (text: string, values?: unknown[]) => database.pool.query(text, values),
    };
    let error: unknown;
    void failure(applyMovements(asking, oneMovement(), { clock })).then((value) => (error = value));
    await pollUntil("it asks for one", () => asked);
    await pollUntil("it is given up", () => {
      clock.leap(1_000);
      return error !== undefined;
    });
    expect(error).toMatchObject({ name: "PostgresUnavailableError", reason: "unreachable", effect: "none" });
  });
});
