import { randomUUID } from "node:crypto";
import { PostgresServer } from "@holdfast/testkit";
import type { Pool } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { migrate } from "../src/migrations.ts";
import {
  beginPayment,
  endPayment,
  insertOrder,
  payOrder,
  pendingPages,
  timeOutOrder,
  type Decision,
  type Order,
} from "../src/orders.ts";
import { TestDatabase } from "./database.ts";

const MINUTE_MS = 60_000;

let postgres: PostgresServer;
let database: TestDatabase;
beforeAll(async () => {
  postgres = await PostgresServer.start();
  database = await TestDatabase.create(postgres);
  await migrate(database.url);
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await postgres.stop();
});

async function place(pool: Pool = database.pool): Promise<Order> {
  const order = await insertOrder(pool, { id: randomUUID(), amountCents: 100, lines: [] }, MINUTE_MS);
  if (order === null) throw new Error("there is such an order");
  return order;
}
const pay = (id: string): Promise<Decision> => payOrder(database.pool, id);
const timeOut = (id: string): Promise<Decision> => timeOutOrder(database.pool, id);

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
    const { id } = await place();
    const [payment, timeout] = await together(
      id,
      () => pay(id),
      () => timeOut(id),
    );
    expect([payment, timeout]).toEqual([
      { kind: "decided", paymentKey: null, lines: [] },
      { kind: "lost", status: "PAID" },
    ]);
    expect(await database.history(id)).toEqual(["placed", "paid", "timeout-refused"]);
  });

  it("leave the order timed out when the timeout comes first", async () => {
    const { id } = await place();
    const [timeout, payment] = await together(
      id,
      () => timeOut(id),
      () => pay(id),
    );
    expect([timeout, payment]).toEqual([
      { kind: "decided", paymentKey: null, lines: [] },
      { kind: "lost", status: "PAYMENT_TIMEOUT" },
    ]);
    expect(await database.history(id)).toEqual(["placed", "timed-out", "payment-refused"]);
  });

  it("have exactly one winner of forty, whatever their order", async () => {
    const { id } = await place();
    const decisions = await Promise.all(
      Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? pay(id) : timeOut(id))),
    );
    expect(decisions.filter(({ kind }) => kind === "decided")).toHaveLength(1);
  });

  it("counter-test: both win when the status is looked at before it is written", async () => {
    const { id } = await place();
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
  it("is stored once, however often it is placed under its id", async () => {
    const order = { id: randomUUID(), amountCents: 100, lines: [{ sku: "mug", quantity: 2 }] };
    expect(await insertOrder(database.pool, order, MINUTE_MS)).toMatchObject(order);
    expect(await insertOrder(database.pool, order, MINUTE_MS)).toBeNull();
    expect(await database.history(order.id)).toEqual(["placed"]);
  });

  it("is timed out once, however often its timeout fires", async () => {
    const { id } = await place();
    await timeOut(id);
    expect(await timeOut(id)).toEqual({ kind: "lost", status: "PAYMENT_TIMEOUT" });
    expect(await database.history(id)).toEqual(["placed", "timed-out", "timeout-refused"]);
  });

  it("that does not exist is neither paid nor timed out", async () => {
    expect(await pay(randomUUID())).toEqual({ kind: "absent" });
    expect(await timeOut(randomUUID())).toEqual({ kind: "absent" });
  });

  it("is due after its timeout, on the database's clock", async () => {
    const { createdAt, paymentDueAt } = await place();
    expect(paymentDueAt.getTime() - createdAt.getTime()).toBe(MINUTE_MS);
  });
});

describe("a payment", () => {
  const FIRST = randomUUID();
  const SECOND = randomUUID();

  it("is made under the key of the first one, whoever comes next, until that was declined", async () => {
    const { id } = await place();
    const first = { kind: "begun", paymentKey: FIRST, amountCents: 100 };
    expect(await beginPayment(database.pool, id, FIRST)).toEqual(first);
    expect(await beginPayment(database.pool, id, SECOND)).toEqual(first);
    await endPayment(database.pool, id, FIRST);
    expect(await beginPayment(database.pool, id, SECOND)).toEqual({ ...first, paymentKey: SECOND });
  });

  it("that was made is known to its own key, and refused to others", async () => {
    const { id } = await place();
    await beginPayment(database.pool, id, FIRST);
    await pay(id);
    expect(await beginPayment(database.pool, id, FIRST)).toEqual({ kind: "paid" });
    expect(await beginPayment(database.pool, id, SECOND)).toEqual({ kind: "lost", status: "PAID" });
    expect(await database.history(id)).toEqual(["placed", "paid", "payment-refused"]);
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
    for await (const page of pendingPages(fresh.pool, 0)) found.push(...page.map(({ id }) => id));
    expect(found).toHaveLength(1_260);
    expect(new Set(found).size).toBe(1_260);
  });

  it("leaves out orders younger than told, and says how much time the others have", async () => {
    await using fresh = await TestDatabase.create(postgres);
    await migrate(fresh.url);
    const { id } = await place(fresh.pool);
    expect((await pendingPages(fresh.pool, MINUTE_MS).next()).done).toBe(true);
    const { value: page } = await pendingPages(fresh.pool, 0).next();
    const pending = page?.[0];
    expect(pending).toMatchObject({ id });
    expect(pending?.remainingMs).toBeGreaterThan(MINUTE_MS / 2);
    expect(pending?.remainingMs).toBeLessThanOrEqual(MINUTE_MS);
  });
});
