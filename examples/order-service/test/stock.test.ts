import { randomUUID } from "node:crypto";
import { Inventory, type Level } from "@holdfast/inventory";
import { ledgerCursor } from "@holdfast/postgres";
import { pollUntil } from "@holdfast/testkit";
import { DurableTimer } from "@holdfast/timer";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { TestDatabase } from "./database.ts";
import { Replica } from "./replica.ts";
import type { Answer } from "./requests.ts";
import { TestServers } from "./servers.ts";
import { WAIT } from "./wait.ts";

const MUG = "mug";
const TIMEOUT_MS = 1_500;
/** Whatever a replica that is killed had begun is free for another one after this. */
const LEASE_MS = 2_000;
/** Nobody times out, however long the machine stands still. */
const LATER = { PAYMENT_TIMEOUT_MS: "3600000" };
/** Where nobody is killed nothing is taken over either. */
const CALM = { ...LATER, TIMER_LEASE_MS: "60000" };

let servers: TestServers;
beforeAll(async () => {
  servers = await TestServers.start();
});
afterAll(() => servers.stop());

let database: TestDatabase;
let stock: Inventory;
let env: Record<string, string>;
beforeEach(async () => {
  database = await servers.database();
  stock = new Inventory(servers.client, "warehouse-1", { prefix: database.name, commandTimeoutMs: 60_000 });
  await stock.restock({ operationId: "delivery", lines: [{ sku: MUG, quantity: 3 }] });
  env = {
    ...servers.env(database),
    STOCK_NAME: "warehouse-1",
    STOCK_LEDGER_EVERY_MS: "100",
    PAYMENT_TIMEOUT_MS: String(TIMEOUT_MS),
    TIMER_POLL_MS: "100",
    TIMER_LEASE_MS: String(LEASE_MS),
  };
});
afterEach(() => database[Symbol.asyncDispose]());

function order(replica: Replica, quantity: number, key: string = randomUUID()): Promise<Answer> {
  return replica.insist("/orders", { body: { amountCents: 1_000, lines: [{ sku: MUG, quantity }] }, key });
}

/** Resolves when the stock is at this level, with the ledger at the end of its log. */
async function stands(wanted: Level): Promise<void> {
  const isSo = async (): Promise<boolean> => {
    const level = await stock.level(MUG);
    if (JSON.stringify(level) !== JSON.stringify(wanted)) return false;
    const [{ sequence }, log] = [await ledgerCursor(database.pool, "warehouse-1"), await stock.cursor()];
    if (sequence !== log.sequence) return false;
    const { rows } = await database.pool.query<{ on_hand: string; reserved: string }>(
      "SELECT on_hand, reserved FROM holdfast.ledger_balances WHERE sku = $1",
      [MUG],
    );
    return Number(rows[0]?.on_hand) === wanted.onHand && Number(rows[0]?.reserved) === wanted.reserved;
  };
  await pollUntil(`stock and ledger stand at ${JSON.stringify(wanted)}`, isSo, WAIT);
}

describe("the stock", () => {
  it("is reserved with the order, taken with the payment, and the ledger has every movement", async () => {
    await using replica = await Replica.start({ ...env, ...CALM });
    await replica.ready();
    const { status, body } = await order(replica, 2);
    expect(status).toBe(201);
    await stands({ onHand: 3, reserved: 2, available: 1 });
    expect((await replica.pay(String(body["id"]))).status).toBe(200);
    await stands({ onHand: 1, reserved: 0, available: 1 });
  });

  it("is free again after the timeout", async () => {
    await using replica = await Replica.start(env);
    await replica.ready();
    const { body } = await order(replica, 2);
    await database.becomes(String(body["id"]), "PAYMENT_TIMEOUT");
    await stands({ onHand: 3, reserved: 0, available: 3 });
  });

  it("is reserved once for a request that comes twice", async () => {
    await using replica = await Replica.start({ ...env, ...CALM });
    await replica.ready();
    const key = randomUUID();
    const first = await order(replica, 2, key);
    expect(await order(replica, 2, key)).toEqual({ ...first, replayed: true });
    await stands({ onHand: 3, reserved: 2, available: 1 });
  });

  it("goes to as many as there are: ten customers at once, three mugs", async () => {
    await using replica = await Replica.start({ ...env, ...CALM });
    await replica.ready();
    const answers = await Promise.all(Array.from({ length: 10 }, () => order(replica, 1)));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(3);
    const refused = answers.filter(({ status }) => status === 409);
    expect(refused).toHaveLength(7);
    expect(refused[0]?.body["shortages"]).toEqual([{ sku: MUG, wanted: 1, available: 0 }]);
    await stands({ onHand: 3, reserved: 3, available: 0 });
  });

  it("is confirmed by another replica when the one that took the payment is killed", async () => {
    await using victim = await Replica.start({ ...env, ...LATER });
    await victim.ready();
    const { body } = await order(victim, 1);
    expect((await victim.pay(String(body["id"]))).status).toBe(200);
    await victim.pod.kill();
    await using fresh = await Replica.start({ ...env, ...LATER });
    await fresh.ready();
    await stands({ onHand: 2, reserved: 0, available: 2 });
  });

  it("stands in the ledger although the replica that was writing it is killed", async () => {
    await using victim = await Replica.start({ ...env, ...LATER });
    await victim.ready();
    await stands({ onHand: 3, reserved: 0, available: 3 });
    const release = await database.holdLedger("warehouse-1");
    expect((await order(victim, 1)).status).toBe(201);
    await database.waiting(1);
    await victim.pod.kill();
    await using fresh = await Replica.start({ ...env, ...LATER });
    await fresh.ready();
    await release();
    await stands({ onHand: 3, reserved: 1, available: 2 });
  });
});

describe("a reservation whose order was never stored", () => {
  const orphan = { reservationId: "orphan", lines: [{ sku: MUG, quantity: 2 }] };

  it("comes back through the replica's job, though nobody asks for the stock, and the ledger has that", async () => {
    await using replica = await Replica.start(env);
    await replica.ready();
    expect((await stock.reserve({ ...orphan, holdMs: 300 })).kind).toBe("reserved");
    // Only the ledger is looked at: a look at the level would return it.
    await pollUntil(
      "the ledger has the end of the hold",
      async () => {
        const { rows } = await database.pool.query("SELECT kind FROM holdfast.ledger_movements WHERE id = 'orphan'");
        return (rows as { kind: string }[]).some(({ kind }) => kind === "expire");
      },
      WAIT,
    );
    expect(await stock.level(MUG)).toEqual({ onHand: 3, reserved: 0, available: 3 });
    expect((await stock.confirm({ reservationId: "orphan" })).kind).toBe("expired");
  });

  it("comes back through a timer that is set with it, and by nothing else", async () => {
    const ends = new DurableTimer(servers.client, "holds", { prefix: database.name });
    const swept: number[] = [];
    const worker = ends.worker({ pollMs: 100 }, async () => {
      swept.push((await stock.sweep()).expired);
    });
    await worker.start();
    try {
      const held = await stock.reserve({ ...orphan, holdMs: 300 });
      const at = new Date(held.kind === "reserved" ? held.expiresAtMs : Number.NaN);
      await ends.schedule({ id: orphan.reservationId, at });
      await pollUntil("the timer has fired", () => swept.length > 0, WAIT);
      // A timer is never early, so its first firing finds the hold due.
      expect(swept[0]).toBe(1);
    } finally {
      await worker.stop({ graceMs: 5_000 });
      await ends.close();
    }
    const kinds: string[] = [];
    for await (const { kind } of stock.movements()) kinds.push(kind);
    expect(kinds).toEqual(["restock", "reserve", "expire"]);
  });
});

describe("an order", () => {
  it("needs lines where there is a stock", async () => {
    await using replica = await Replica.start(env);
    await replica.ready();
    expect((await replica.send("POST", "/orders", { body: { amountCents: 1 } })).status).toBe(400);
    expect((await order(replica, 0)).status).toBe(400);
  });
});
