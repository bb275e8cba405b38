import { randomUUID } from "node:crypto";
import { PostgresServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { migrate } from "../src/migrations.ts";
import { Orders } from "../src/orders.ts";
import { TestDatabase } from "./database.ts";

const MINUTE_MS = 60_000;

let postgres: PostgresServer;
let database: TestDatabase;
let orders: Orders;
beforeAll(async () => {
  postgres = await PostgresServer.start();
  database = await TestDatabase.create(postgres);
  await migrate(database.url);
  orders = new Orders(database.pool);
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await postgres.stop();
});

/** Both are under way and wait for the same row, in this order, before either can decide. */
async function together<A, B>(orderId: string, first: () => Promise<A>, second: () => Promise<B>): Promise<[A, B]> {
  const release = await database.hold(orderId);
  const one = first();
  await database.waiting(1);
  const two = second();
  await database.waiting(2);
  await release();
  return Promise.all([one, two]);
}

/** What everyone writes first: look, then write. */
async function lookThenWrite(
  orderId: string,
  status: string,
  kind: string,
  looked: () => Promise<void>,
): Promise<void> {
  if ((await database.statusOf(orderId)) !== "PENDING_PAYMENT") return;
  await looked();
  await database.pool.query("UPDATE orders SET status = $2, decided_at = now() WHERE id = $1", [orderId, status]);
  await database.pool.query("INSERT INTO order_events (order_id, kind) VALUES ($1, $2)", [orderId, kind]);
}

describe("a payment and a timeout that meet at the deadline", () => {
  it("leave the order paid when the payment comes first", async () => {
    const { id } = await orders.place(100, MINUTE_MS);
    const [payment, timeout] = await together(
      id,
      () => orders.pay(id),
      () => orders.timeOut(id),
    );
    expect([payment, timeout]).toEqual([{ kind: "decided" }, { kind: "lost", status: "PAID" }]);
    expect(await database.history(id)).toEqual(["placed", "paid", "timeout-refused"]);
  });

  it("leave the order timed out when the timeout comes first", async () => {
    const { id } = await orders.place(100, MINUTE_MS);
    const [timeout, payment] = await together(
      id,
      () => orders.timeOut(id),
      () => orders.pay(id),
    );
    expect([timeout, payment]).toEqual([{ kind: "decided" }, { kind: "lost", status: "PAYMENT_TIMEOUT" }]);
    expect(await database.history(id)).toEqual(["placed", "timed-out", "payment-refused"]);
  });

  it("have exactly one winner of forty, whatever their order", async () => {
    const { id } = await orders.place(100, MINUTE_MS);
    const decisions = await Promise.all(
      Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? orders.pay(id) : orders.timeOut(id))),
    );
    expect(decisions.filter(({ kind }) => kind === "decided")).toHaveLength(1);
  });

  it("counter-test: both win when the status is looked at before it is written", async () => {
    const { id } = await orders.place(100, MINUTE_MS);
    const { promise: bothLooked, resolve } = Promise.withResolvers<void>();
    let looks = 0;
    const looked = (): Promise<void> => {
      looks += 1;
      if (looks === 2) resolve();
      return bothLooked;
    };
    await Promise.all([
      lookThenWrite(id, "PAID", "paid", looked),
      lookThenWrite(id, "PAYMENT_TIMEOUT", "timed-out", looked),
    ]);
    expect((await database.history(id)).toSorted()).toEqual(["paid", "placed", "timed-out"]);
  });
});

describe("an order", () => {
  it("is timed out once, however often its timeout fires", async () => {
    const { id } = await orders.place(100, MINUTE_MS);
    await orders.timeOut(id);
    expect(await orders.timeOut(id)).toEqual({ kind: "lost", status: "PAYMENT_TIMEOUT" });
    expect(await database.history(id)).toEqual(["placed", "timed-out", "timeout-refused"]);
  });

  it("that does not exist is neither paid nor timed out", async () => {
    expect(await orders.pay(randomUUID())).toEqual({ kind: "absent" });
    expect(await orders.timeOut(randomUUID())).toEqual({ kind: "absent" });
  });

  it("is due after its timeout, on the database's clock", async () => {
    const { createdAt, paymentDueAt } = await orders.place(100, MINUTE_MS);
    expect(paymentDueAt.getTime() - createdAt.getTime()).toBe(MINUTE_MS);
  });
});

describe("the scan of pending orders", () => {
  it("finds each once over several pages, also those placed in one moment, and none that was decided", async () => {
    await using fresh = await TestDatabase.create(postgres);
    await migrate(fresh.url);
    await fresh.pool.query(
      `INSERT INTO orders (id, amount_cents, status, created_at, payment_due_at, decided_at)
       SELECT gen_random_uuid(), 100, CASE WHEN n % 10 = 0 THEN 'PAID' ELSE 'PENDING_PAYMENT' END,
              now() - (n / 700) * interval '1 microsecond' - interval '1 minute', now() + interval '1 minute', CASE WHEN n % 10 = 0 THEN now() END
       FROM generate_series(1, 1400) AS n`,
    );
    const found: string[] = [];
    for await (const page of new Orders(fresh.pool).pendingPages(0)) found.push(...page.map(({ id }) => id));
    expect(found).toHaveLength(1_260);
    expect(new Set(found).size).toBe(1_260);
  });

  it("leaves out orders younger than told, and says how much time the others have", async () => {
    await using fresh = await TestDatabase.create(postgres);
    await migrate(fresh.url);
    const scanned = new Orders(fresh.pool);
    const { id } = await scanned.place(100, MINUTE_MS);
    expect((await scanned.pendingPages(MINUTE_MS).next()).done).toBe(true);
    const { value: page } = await scanned.pendingPages(0).next();
    const pending = page?.[0];
    expect(pending).toMatchObject({ id });
    expect(pending?.remainingMs).toBeGreaterThan(MINUTE_MS / 2);
    expect(pending?.remainingMs).toBeLessThanOrEqual(MINUTE_MS);
  });
});
