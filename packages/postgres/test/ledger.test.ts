/** P5: the inventory's log as rows, applied once and in order, and stopped by what does not fit. */
import { Inventory, ForkedLogError, MovementGapError } from "@holdfast/inventory";
import { random, RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import type { Pool } from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  applyMovements,
  ledgerCursor,
  LedgerStoppedError,
  type Movement,
  type MovementSource,
  reconcile,
  resetLedger,
} from "../src/index.ts";
import { collector, Database, failure } from "./database.ts";

let database: Database;
let pool: Pool;
let redisServer: RedisServer;
let redis: Redis;
let stocks = 0;
let stock: Inventory;
/** A machine that stands still loses no answer. */
const patient = { commandTimeoutMs: 60_000 };

beforeAll(async () => {
  [database, redisServer] = await Promise.all([Database.start(), RedisServer.start()]);
  pool = database.pool;
  redis = new Redis(redisServer.port, redisServer.host);
});
afterAll(async () => {
  redis.disconnect();
  await Promise.all([database.stop(), redisServer.stop()]);
});
beforeEach(() => {
  stocks += 1;
  stock = new Inventory(redis, `warehouse-${stocks}`, patient);
});

interface BalanceRow {
  readonly sku: string;
  readonly on_hand: string;
  readonly reserved: string;
}

const balances = (): Promise<BalanceRow[]> =>
  database.rows("SELECT sku, on_hand, reserved FROM holdfast.ledger_balances WHERE inventory = $1 ORDER BY sku", [
    stock.name,
  ]);
const sequences = async (): Promise<number[]> =>
  (
    await database.rows<{ sequence: string }>(
      "SELECT sequence FROM holdfast.ledger_movements WHERE inventory = $1 ORDER BY sequence",
      [stock.name],
    )
  ).map(({ sequence }) => Number(sequence));

let operations = 0;

/** Some orders. @returns how many movements they may be at most */
async function trade(rounds: number, seed: number): Promise<void> {
  const chance = random(seed);
  const skus = ["mug", "pen", "cap"];
  for (let round = 0; round < rounds; round += 1) {
    operations += 1;
    const operationId = `op-${operations}`;
    const lines = [{ sku: chance.pick(skus), quantity: chance.int(1, 3) }];
    const what = chance.int(0, 5);
    if (what <= 1) await stock.restock({ operationId, lines });
    if (what === 2) await stock.decrement({ operationId, lines });
    if (what < 3) continue;
    const reservationId = operationId;
    const held = await stock.reserve({ reservationId, lines });
    if (held.kind !== "reserved") continue;
    if (what === 3) await stock.confirm({ reservationId });
    if (what === 4) await stock.release({ reservationId });
  }
}

async function agrees(): Promise<void> {
  const rows = await balances();
  const levels = await stock.levels(rows.map(({ sku }) => sku));
  for (const row of rows) {
    const level = levels.get(row.sku);
    expect([row.sku, Number(row.on_hand), Number(row.reserved)]).toEqual([row.sku, level?.onHand, level?.reserved]);
  }
}

/** A log that is whatever it is told to be. */
function source(name: string, movements: readonly Movement[]): MovementSource & { readonly commits: number[] } {
  const commits: number[] = [];
  return {
    name,
    commits,
    bucketCount: 1,
    async *movements({ after }) {
      yield* movements.filter(({ sequence }) => sequence > (after?.sequence ?? 0));
    },
    consumer: () => ({ commit: async ({ sequence }) => commits.push(sequence) }),
  };
}

function movement(sequence: number, onHand = 1): Movement {
  const changes = [{ sku: "mug", onHand, reserved: 0 }];
  return { sequence, stamp: `s${sequence}`, kind: "restock", id: `m${sequence}`, atMs: 0, changes };
}

describe("movements", () => {
  it("P5 are applied once and in order, also when many apply them at once, and end in the inventory's levels", async () => {
    const { events, onEvent } = collector();
    for (let round = 0; round < 5; round += 1) {
      await trade(40, round);
      await Promise.all(Array.from({ length: 6 }, () => applyMovements(pool, stock, { batchMax: 7, onEvent })));
      await agrees();
    }
    const found = await sequences();
    expect(found.length).toBeGreaterThan(100);
    expect(found).toEqual(Array.from({ length: found.length }, (_, index) => index + 1));
    const applied = events.map((event) => (event.type === "applied" ? event.movements : 0));
    expect(applied.reduce((sum, count) => sum + count, 0)).toBe(found.length);
    expect(await applyMovements(pool, stock)).toMatchObject({ applied: 0, cursors: [{ sequence: found.length }] });
  });

  it("P5 counter-test: without the cursor's lock two appliers count movements twice", async () => {
    await pool.query("CREATE TABLE naive_balances (sku text PRIMARY KEY, on_hand int NOT NULL)");
    await pool.query("INSERT INTO naive_balances VALUES ('mug', 0)");
    const movements = [movement(1, 5), movement(2, 5)];
    await Promise.all(
      [1, 2].map(async () => {
        for (const { changes } of movements) {
          await pool.query("UPDATE naive_balances SET on_hand = on_hand + $1", [changes[0]?.onHand]);
        }
      }),
    );
    expect(await database.value("SELECT on_hand FROM naive_balances")).toBe(20);
  });

  it("P5 of a spread inventory are applied per bucket, and balances add up", async () => {
    stock = new Inventory(redis, `spread-${stocks}`, { ...patient, buckets: { mug: 4 } });
    await stock.restock({
      operationId: "r",
      lines: [
        { sku: "mug", quantity: 40 },
        { sku: "pen", quantity: 5 },
      ],
    });
    for (let index = 0; index < 20; index += 1) {
      await stock.decrement({ operationId: `d-${index}`, lines: [{ sku: "mug", quantity: 1 }] });
    }
    const { cursors, applied } = await applyMovements(pool, stock);
    expect(cursors).toHaveLength(4);
    expect(applied).toBeGreaterThanOrEqual(21);
    expect(await reconcile(pool, stock)).toEqual({ checked: 2, drift: [], unsettled: [] });
    expect(
      await database.value(
        "SELECT sum(on_hand)::int FROM holdfast.ledger_balances WHERE inventory = $1 AND sku = 'mug'",
        [stock.name],
      ),
    ).toBe(20);
  });

  it("P5 are cut off the inventory's log only when the ledger has them", async () => {
    await trade(20, 1);
    const reader = stock.consumer("ledger");
    expect(await reader.position()).toMatchObject({ sequence: 0 });
    const { cursors } = await applyMovements(pool, stock);
    expect(await reader.position()).toEqual(cursors[0]);
    // Somebody applied and died before telling: the next call tells.
    await reader.reset({ sequence: 0, stamp: "" });
    await applyMovements(pool, stock);
    expect(await reader.position()).toEqual(cursors[0]);
  });

  it("P5 a gap stops the ledger: nothing of the batch is applied, now and at every further call", async () => {
    const gapped = source("gapped", [movement(1), movement(2), movement(4)]);
    for (let call = 0; call < 2; call += 1) {
      const error = await failure(applyMovements(pool, gapped));
      expect(error).toBeInstanceOf(LedgerStoppedError);
      expect(error).toMatchObject({ inventory: "gapped", sequenceWanted: 3, sequenceFound: 4, effect: "none" });
    }
    expect(await ledgerCursor(pool, "gapped")).toEqual({ sequence: 0, stamp: "" });
    // In smaller batches it comes as far as the gap.
    await failure(applyMovements(pool, gapped, { batchMax: 1 }));
    expect(await ledgerCursor(pool, "gapped")).toEqual({ sequence: 2, stamp: "s2" });
    expect(gapped.commits).toEqual([]);
  });

  it("P5 a log that repeats or reorders movements stops the ledger, too", async () => {
    for (const [name, order] of [
      ["repeats", [1, 1]],
      ["reorders", [2, 1]],
      ["begins-late", [5]],
    ] as const) {
      const error = await failure(
        applyMovements(
          pool,
          source(
            name,
            order.map((each) => movement(each)),
          ),
        ),
      );
      expect(error).toBeInstanceOf(LedgerStoppedError);
      expect((await ledgerCursor(pool, name)).sequence).toBe(0);
    }
  });

  it("P5 a log that forked, or lost movements, stops the ledger with the inventory's error, until it is reset", async () => {
    await trade(20, 2);
    const before = await applyMovements(pool, stock);
    const forked = { sequence: before.cursors[0]?.sequence ?? 0, stamp: `${before.cursors[0]?.stamp}x` };
    await resetLedger(pool, stock.name, forked);
    expect(await failure(applyMovements(pool, stock))).toBeInstanceOf(ForkedLogError);
    await resetLedger(pool, stock.name, before.cursors[0] as { sequence: number; stamp: string });
    await redis.flushall();
    await trade(20, 3);
    const lost = await failure(applyMovements(pool, stock));
    expect([ForkedLogError, MovementGapError].some((type) => lost instanceof type)).toBe(true);
    // An operator looks at it, and goes on from where the inventory is.
    await resetLedger(pool, stock.name, await stock.cursor());
    await trade(20, 4);
    expect((await applyMovements(pool, stock)).applied).toBeGreaterThan(0);
  });

  it("P5 of ids and skus with a NUL, which the inventory takes, are applied, and no two become one", async () => {
    const odd = ["mug\0", "mug␀", "mug␀0", "mug"];
    await stock.restock({ operationId: "r\0", lines: odd.map((sku, index) => ({ sku, quantity: 10 + index })) });
    await stock.reserve({ reservationId: "order\0-1", lines: [{ sku: "mug\0", quantity: 1 }] });
    expect(await applyMovements(pool, stock)).toMatchObject({ applied: 2, cursors: [{ sequence: 2 }] });
    expect(await balances()).toHaveLength(odd.length);
    expect(await reconcile(pool, stock)).toEqual({ checked: odd.length, drift: [], unsettled: [] });
    await pool.query("UPDATE holdfast.ledger_balances SET on_hand = 0 WHERE inventory = $1", [stock.name]);
    const { drift } = await reconcile(pool, stock);
    expect(drift.map(({ sku }) => sku).toSorted()).toEqual(odd.toSorted());
    // The way back of a repair takes them, too.
    await resetLedger(pool, stock.name, await stock.cursor(), { balances: await stock.levels(odd) });
    expect(await reconcile(pool, stock)).toMatchObject({ drift: [] });
  });

  it("P5 that cannot be applied, since another one moves the ledger each time, end in an error, not as if all were done", async () => {
    const log = source("contended", [movement(1), movement(2)]);
    let turns = 0;
    const contended: MovementSource = {
      ...log,
      async *movements(from) {
        turns += 1;
        await resetLedger(pool, log.name, { sequence: 0, stamp: `turn ${turns}` });
        yield* log.movements(from);
      },
    };
    const error = await failure(applyMovements(pool, contended));
    expect(error).toMatchObject({ name: "TransactionConflictError", attempts: turns, effect: "none" });
    expect(log.commits).toEqual([]);
  });

  it("end between two batches when the signal aborts, and what was applied stays", async () => {
    const aborter = new AbortController();
    const long = source(
      "long",
      Array.from({ length: 10 }, (_, index) => movement(index + 1)),
    );
    const onEvent = (): void => aborter.abort(new Error("enough"));
    const run = applyMovements(pool, long, { batchMax: 4, signal: aborter.signal, onEvent });
    await expect(run).rejects.toThrow("enough");
    expect((await ledgerCursor(pool, "long")).sequence).toBe(4);
    expect(await applyMovements(pool, long)).toMatchObject({ applied: 6 });
  });
});

describe("reconcile", () => {
  it("reports drift and writes nothing", async () => {
    await stock.restock({
      operationId: "r",
      lines: [
        { sku: "mug", quantity: 10 },
        { sku: "pen", quantity: 5 },
      ],
    });
    expect(await reconcile(pool, stock)).toEqual({ checked: 2, drift: [], unsettled: [] });
    await pool.query("UPDATE holdfast.ledger_balances SET on_hand = 7 WHERE inventory = $1 AND sku = 'mug'", [
      stock.name,
    ]);
    const expected = {
      checked: 2,
      drift: [{ sku: "mug", ledger: { onHand: 7, reserved: 0 }, stock: { onHand: 10, reserved: 0 } }],
      unsettled: [],
    };
    expect(await reconcile(pool, stock)).toEqual(expected);
    expect(await reconcile(pool, stock)).toEqual(expected);
    expect((await stock.level("mug")).onHand).toBe(10);
  });

  it("takes no movement under way for drift", async () => {
    await trade(30, 5);
    const over = new AbortController();
    const traffic = (async () => {
      for (let seed = 100; !over.signal.aborted; seed += 1) await trade(3, seed);
    })();
    try {
      for (let look = 0; look < 10; look += 1) {
        const { drift, checked } = await reconcile(pool, stock, { attemptsMax: 2 });
        expect(drift).toEqual([]);
        expect(checked).toBe(3);
      }
    } finally {
      over.abort();
      await traffic;
    }
    expect(await reconcile(pool, stock)).toEqual({ checked: 3, drift: [], unsettled: [] });
  });
});
