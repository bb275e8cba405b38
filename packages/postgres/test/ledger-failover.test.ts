/** P5 and V6 together, on servers that die: what a Redis took back is noticed by the ledger, reported, and can be put right. */
import { Inventory, type Cursor } from "@holdfast/inventory";
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { applyMovements, ledgerCursor, reconcile, resetLedger } from "../src/index.ts";
import { Database, failure } from "./database.ts";

const name = "warehouse";
/** A machine that stands still loses no answer. */
const patient = { commandTimeoutMs: 60_000 };
const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });

let database: Database;
const servers: RedisServer[] = [];
const clients: Redis[] = [];

beforeAll(async () => {
  database = await Database.start();
});
afterAll(() => database.stop());
afterEach(async () => {
  for (const client of clients.splice(0)) client.disconnect();
  for (const server of servers.splice(0)) await server.stop();
  await database.pool.query("TRUNCATE holdfast.ledger_cursors, holdfast.ledger_movements, holdfast.ledger_balances");
});

async function started(options: Parameters<typeof RedisServer.start>[0] = {}): Promise<RedisServer> {
  const server = await RedisServer.start(options);
  servers.push(server);
  return server;
}

function at(server: RedisServer): Inventory {
  const client = new Redis(server.port, server.host, { retryStrategy: () => 20 });
  client.on("error", () => undefined);
  clients.push(client);
  return new Inventory(client, name, patient);
}

async function sell(stock: Inventory, from: number, count: number): Promise<void> {
  for (let index = from; index < from + count; index += 1) {
    await stock.decrement({ operationId: `order-${index}`, lines: [line("mug", 1)] });
  }
}

/** Everything that the ledger has. */
const ledger = (): Promise<unknown> =>
  Promise.all(
    ["ledger_cursors", "ledger_balances", "ledger_movements"].map((table) =>
      database.rows(`SELECT * FROM holdfast.${table} ORDER BY inventory, bucket, sequence`),
    ),
  );

const balance = async (): Promise<{ onHand: number; reserved: number }> => {
  const [row] = await database.rows<{ on_hand: string; reserved: string }>(
    "SELECT on_hand, reserved FROM holdfast.ledger_balances WHERE sku = 'mug'",
  );
  return { onHand: Number(row?.on_hand), reserved: Number(row?.reserved) };
};

/** The last movement that both have. */
async function lastShared(stock: Inventory): Promise<Cursor> {
  const rows = await database.rows<{ stamp: string }>("SELECT stamp FROM holdfast.ledger_movements");
  const known = new Set(rows.map(({ stamp }) => stamp));
  let shared: Cursor = { sequence: 0, stamp: "" };
  for await (const { sequence, stamp } of stock.movements()) if (known.has(stamp)) shared = { sequence, stamp };
  return shared;
}

/** 50 mugs, four sold; then five sold and one put in a cart, which the ledger has and the new master never got; then `made` sold there. */
async function failedOver(made: number): Promise<Inventory> {
  const master = await started({ config: { "repl-diskless-sync-delay": 0 } });
  const replica = await started({ config: { replicaof: `${master.host} ${master.port}` } });
  const before = at(master);
  await before.restock({ operationId: "k", lines: [line("mug", 50)] });
  await sell(before, 0, 4);
  await applyMovements(database.pool, before);
  await pollUntil(
    "the replica has it all",
    async () => {
      const key = `holdfast:{inventory:${name}}:log`;
      return (await replica.call("XLEN", key)) === (await master.call("XLEN", key));
    },
    { timeoutMs: 90_000 },
  );
  await replica.call("REPLICAOF", "NO", "ONE");
  await sell(before, 100, 5);
  await before.reserve({ reservationId: "cart", lines: [line("mug", 1)] });
  await applyMovements(database.pool, before);
  expect(await balance()).toEqual({ onHand: 41, reserved: 1 });
  await master.kill();
  const stock = at(replica);
  await sell(stock, 200, made);
  return stock;
}

describe("a failover that takes acknowledged sales back", () => {
  it.each([
    ["more", 9],
    ["as many", 6],
    ["fewer", 2],
    ["no", 0],
  ])(
    "P5 V6 %s new movements than were lost: the ledger stands, says so at every call, and stays as it is",
    async (_, made) => {
      const stock = await failedOver(made);
      const before = await ledger();
      for (let call = 0; call < 2; call += 1) {
        expect(await failure(applyMovements(database.pool, stock))).toMatchObject({
          name: "ForkedLogError",
          effect: "none",
          sequence: 11,
        });
        expect(await failure(reconcile(database.pool, stock))).toMatchObject({ name: "ForkedLogError" });
      }
      expect(await ledger()).toEqual(before);
    },
  );

  it("P5 V6 is put right: what was sold on both sides is gone from both, and what is nowhere reserved is free in both", async () => {
    const stock = await failedOver(8);
    // The ledger hears of what was sold since, and has what Redis lost as well.
    await resetLedger(database.pool, name, await lastShared(stock));
    expect(await applyMovements(database.pool, stock)).toMatchObject({ applied: 8 });
    expect(await reconcile(database.pool, stock)).toMatchObject({
      drift: [{ sku: "mug", ledger: { onHand: 33, reserved: 1 }, stock: { onHand: 38, reserved: 0 } }],
    });
    // Redis gets the count of the ledger, and the ledger stands behind this seed: what it sets was the ledger's already.
    const seeded = await stock.seed({ mug: 33 }, { ifCursor: await stock.cursor() });
    if (seeded.kind !== "seeded") throw new Error(`not seeded: ${seeded.kind}`);
    const balances = await stock.levels(["mug"]);
    await resetLedger(database.pool, name, seeded.cursor, { balances });
    expect(await reconcile(database.pool, stock)).toEqual({ checked: 1, drift: [], unsettled: [] });
    await sell(stock, 300, 3);
    expect(await applyMovements(database.pool, stock)).toMatchObject({ applied: 3 });
    expect(await balance()).toEqual({ onHand: 30, reserved: 0 });
    expect(await stock.level("mug")).toMatchObject({ onHand: 30, reserved: 0 });
    // Nothing that was ever sold is missing in the ledger.
    const [sold] = await database.rows(
      "SELECT count(*)::int AS n FROM holdfast.ledger_movements WHERE kind = 'decrement'",
    );
    expect(sold).toEqual({ n: 4 + 5 + 8 + 3 });
  });
});

it("P5 balances that a reset sets are those of all buckets together", async () => {
  const client = new Redis((await started()).url);
  clients.push(client);
  const stock = new Inventory(client, name, { ...patient, buckets: { mug: 3 } });
  for (let index = 0; index < 9; index += 1) {
    await stock.restock({ operationId: `k${index}`, lines: [line("mug", 2), line("cup", 1)] });
  }
  await stock.reserve({ reservationId: "cart", lines: [line("mug", 1)] });
  await applyMovements(database.pool, stock);
  await database.pool.query("UPDATE holdfast.ledger_balances SET on_hand = on_hand + 5, reserved = 7");
  expect((await reconcile(database.pool, stock)).drift).toHaveLength(2);
  const balances = await stock.levels(["mug", "cup"]);
  await resetLedger(database.pool, name, await stock.cursor(), { balances });
  expect(await reconcile(database.pool, stock)).toEqual({ checked: 2, drift: [], unsettled: [] });
  const wrong = new Map([["mug", { onHand: 1.5, reserved: 0 }]]);
  const cursor = await ledgerCursor(database.pool, name);
  expect(await failure(resetLedger(database.pool, name, cursor, { balances: wrong }))).toMatchObject({
    name: "RangeError",
    message: expect.stringContaining('balances["mug"].onHand') as string,
  });
});

describe("a Redis that was killed", () => {
  it("P5 without an append-only file: the ledger stands with a gap, and seeds what it has", async () => {
    const server = await started();
    const before = at(server);
    await before.restock({ operationId: "k", lines: [line("mug", 50), line("cup", 2)] });
    await sell(before, 0, 4);
    await before.reserve({ reservationId: "cart", lines: [line("mug", 1)] });
    await applyMovements(database.pool, before);
    await server.restart();
    const stock = at(server);
    const standing = await ledger();
    expect(await failure(applyMovements(database.pool, stock))).toMatchObject({ name: "MovementGapError" });
    await sell(stock, 10, 3);
    expect(await failure(applyMovements(database.pool, stock))).toMatchObject({ name: "MovementGapError" });
    expect(await ledger()).toEqual(standing);
    const rows = await database.rows<{ sku: string; on_hand: string }>(
      "SELECT sku, on_hand FROM holdfast.ledger_balances",
    );
    const seeded = await stock.seed(
      rows.map(({ sku, on_hand }) => ({ sku, onHand: Number(on_hand) })),
      { ifCursor: await stock.cursor() },
    );
    if (seeded.kind !== "seeded") throw new Error(`not seeded: ${seeded.kind}`);
    await resetLedger(database.pool, name, seeded.cursor, { balances: await stock.levels(rows.map(({ sku }) => sku)) });
    await sell(stock, 20, 2);
    expect(await reconcile(database.pool, stock)).toEqual({ checked: 2, drift: [], unsettled: [] });
    expect(await balance()).toEqual({ onHand: 44, reserved: 0 });
  });

  it("P5 with one, the ledger goes on where it stood", async () => {
    const server = await started({ aof: "always" });
    const before = at(server);
    await before.restock({ operationId: "k", lines: [line("mug", 50)] });
    await sell(before, 0, 4);
    await applyMovements(database.pool, before);
    const cursor = await ledgerCursor(database.pool, name);
    await sell(before, 4, 3);
    await server.restart();
    const stock = at(server);
    expect((await ledgerCursor(database.pool, name)).sequence).toBe(cursor.sequence);
    expect(await applyMovements(database.pool, stock)).toMatchObject({ applied: 3 });
    expect(await balance()).toEqual({ onHand: 43, reserved: 0 });
  });

  it("P5 and comes back from an older snapshot: the ledger is ahead of the log, and stands", async () => {
    const server = await started({ config: { dbfilename: "dump.rdb" } });
    const before = at(server);
    await before.restock({ operationId: "k", lines: [line("mug", 50)] });
    await sell(before, 0, 4);
    await server.call("SAVE");
    await sell(before, 4, 3);
    await applyMovements(database.pool, before);
    await server.restart();
    const stock = at(server);
    expect((await stock.level("mug")).onHand).toBe(46);
    const standing = await ledger();
    expect(await failure(applyMovements(database.pool, stock))).toMatchObject({ name: "ForkedLogError", found: null });
    await sell(stock, 10, 5);
    expect(await failure(applyMovements(database.pool, stock))).toMatchObject({ name: "ForkedLogError" });
    expect(await ledger()).toEqual(standing);
  });
});
