/**
 * The order service of the examples, a replica in every pod: customers place orders and pay some of them, close to the deadline as well,
 * and repeat what was not answered under the same key. PostgreSQL is the judge: it never fails here.
 */
import { setTimeout as delay } from "node:timers/promises";
import { PostgresServer, pollUntil } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import pg from "pg";
import { readConfig } from "../../examples/order-service/src/config.ts";
import { OrderService } from "../../examples/order-service/src/order-service.ts";
import { checkOrders } from "../checkers/orders.ts";
import type { Values } from "../history/event.ts";
import { aborted, pace } from "./pace.ts";
import type { Bench, Scenario } from "./scenario.ts";
import type { Workplace } from "./workplace.ts";

const paymentTimeoutMs = 900;
const requestTimeoutMs = 2_500;
const decidedWithinMs = 60_000;

async function prepare(bench: Bench): Promise<Values> {
  const server = await PostgresServer.start();
  bench.own(server);
  return { databaseUrl: server.url };
}

/** A replica that may be started while Redis is away. */
async function start(place: Workplace): Promise<OrderService | undefined> {
  // Only for one server: the service takes an address, no list of them.
  const { host = "", port = 0 } = (place.redis as Redis).options;
  const config = readConfig({
    HOST: "127.0.0.1",
    PORT: "0",
    DATABASE_URL: String(place.given["databaseUrl"]),
    REDIS_URL: `redis://${host}:${port}`,
    REDIS_PREFIX: `${place.prefix}-orders`,
    PAYMENT_TIMEOUT_MS: String(paymentTimeoutMs),
    SHUTDOWN_GRACE_MS: "2000",
    TIMER_LEASE_MS: "700",
    TIMER_POLL_MS: "150",
    RECONCILE_EVERY_MS: "1000",
    RECONCILE_MIN_AGE_MS: "1000",
    SETTLEMENT_CRON: "off",
    LOG_LEVEL: "silent",
  });
  while (!place.quiet.aborted) {
    try {
      return await OrderService.start(config);
    } catch (error) {
      place.note("not-started", place.pod, { error: String(error).slice(0, 200) });
      await delay(100);
    }
  }
  return undefined;
}

/** A request that was refused says so; any other failure leaves it open whether it was carried out. */
class AnswerError extends Error {
  readonly effect: "none" | "possible";

  constructor(status: number, text: string) {
    super(`${status}: ${text.slice(0, 120)}`);
    this.effect = status === 409 || status === 402 || status === 404 ? "none" : "possible";
  }
}

async function post(url: string, key: string, body?: object): Promise<Record<string, unknown>> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "idempotency-key": key, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(requestTimeoutMs),
  });
  const text = await response.text();
  if (!response.ok) throw new AnswerError(response.status, text);
  return JSON.parse(text) as Record<string, unknown>;
}

async function buy(place: Workplace, url: string): Promise<void> {
  const { random } = place;
  const key = `place-${random.id()}`;
  const amountCents = random.int(100, 9_999);
  let id: string | undefined;
  for (let tries = 0; id === undefined && tries < 3 && !place.stopping.aborted; tries += 1) {
    const placed = await place.call(
      { call: "place", resource: key, operation: key, values: { amountCents } },
      () => post(`${url}/orders`, key, { amountCents }),
      (order) => ({ id: String(order["id"]) }),
    );
    if (placed.outcome === "ok") id = String(placed.value["id"]);
    else await pace(random.int(50, 200), place.stopping);
  }
  if (id === undefined || random.chance(0.4)) return;
  const order = id;
  await pace(random.chance(0.3) ? paymentTimeoutMs - random.int(0, 60) : random.int(0, 500), place.stopping);
  const payment = `pay-${random.id()}`;
  for (let tries = 0; tries < 3 && !place.stopping.aborted; tries += 1) {
    const paid = await place.call({ call: "pay", resource: order, operation: payment, values: { amountCents } }, () =>
      post(`${url}/orders/${order}/payment`, payment),
    );
    if (paid.outcome !== "unknown") return;
    await pace(random.int(50, 200), place.stopping);
  }
}

async function work(place: Workplace): Promise<void> {
  const service = await start(place);
  if (service === undefined) return;
  const url = `http://127.0.0.1:${service.port}`;
  const customers = Array.from({ length: 4 }, async () => {
    while (!place.quiet.aborted) {
      await buy(place, url);
      await pace(place.random.int(20, 120), place.quiet);
    }
  });
  await Promise.all([...customers, aborted(place.stopping)]);
  await service.stop();
}

/** An order as the database has it. */
export interface StoredOrder {
  readonly id: string;
  readonly amountCents: number;
  readonly status: string;
  /** What was decided about it, in order: `paid`, `timed-out`, `payment-refused`, … */
  readonly events: readonly string[];
  /** The decision's time less the deadline, in milliseconds; null while it is pending. */
  readonly decidedAfterDueMs: number | null;
}

/** What the database says at the end. */
export interface OrderFindings {
  readonly orders: readonly StoredOrder[];
}

async function settle(bench: Bench): Promise<void> {
  const client = new pg.Client({ connectionString: String(bench.given["databaseUrl"]) });
  await client.connect();
  try {
    await pollUntil(
      "no order is pending",
      async () => {
        const { rows } = await client.query("SELECT 1 FROM orders WHERE status = 'PENDING_PAYMENT' LIMIT 1");
        return rows.length === 0;
      },
      { timeoutMs: decidedWithinMs, intervalMs: 50 },
      // Orders that are stuck show in the findings.
    ).catch(() => undefined);
  } finally {
    await client.end();
  }
}

const readOrders = `
  SELECT orders.id, amount_cents::float8 AS "amountCents", status,
         (extract(epoch FROM decided_at - payment_due_at) * 1000)::float8 AS "decidedAfterDueMs",
         coalesce(array_agg(kind ORDER BY order_events.id) FILTER (WHERE kind IS NOT NULL), '{}') AS events
  FROM orders LEFT JOIN order_events ON order_id = orders.id GROUP BY orders.id`;

async function inspect(bench: Bench): Promise<OrderFindings> {
  const client = new pg.Client({ connectionString: String(bench.given["databaseUrl"]) });
  await client.connect();
  try {
    const { rows } = await client.query<StoredOrder>(readOrders);
    return { orders: rows };
  } finally {
    await client.end();
  }
}

/** The scenario of examples/order-service. */
export const scenario: Scenario = {
  name: "orders",
  topologies: ["single"],
  prepare,
  work,
  settle,
  inspect,
  check: checkOrders,
};
