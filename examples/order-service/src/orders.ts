/**
 * Owns the orders in PostgreSQL. Whether an order was paid or timed out is decided here and nowhere else: by one compare-and-set on the
 * status, so of a payment and a timeout that arrive together exactly one wins, whoever calls, how often, and in whatever order.
 */
import type { Database } from "./transaction.ts";

/** Where an order stands. The last two are final. */
export type OrderStatus = "PENDING_PAYMENT" | "PAID" | "PAYMENT_TIMEOUT";

/** So many of one thing. */
export interface OrderLine {
  readonly sku: string;
  readonly quantity: number;
}

/** What a customer asks for. */
export interface NewOrder {
  /** A UUID; the same order is stored once. */
  readonly id: string;
  readonly amountCents: number;
  readonly lines: readonly OrderLine[];
}

/** An order as customers see it. */
export interface Order extends NewOrder {
  readonly status: OrderStatus;
  readonly createdAt: Date;
  readonly paymentDueAt: Date;
}

/** Somebody else has decided the order, or there is none. */
export type Refusal = { readonly kind: "lost"; readonly status: OrderStatus } | { readonly kind: "absent" };

/** Whether a compare-and-set decided the order. `paymentKey`: under which a payment was begun, if one was. */
export type Decision =
  | { readonly kind: "decided"; readonly paymentKey: string | null; readonly lines: readonly OrderLine[] }
  | Refusal;

/** Whether a payment may be made, and under which key. */
export type Begun =
  | { readonly kind: "begun"; readonly paymentKey: string; readonly amountCents: number }
  /** By an earlier attempt at this very payment. */
  | { readonly kind: "paid" }
  | Refusal;

/** A pending order, and the time it has left. Negative when it is overdue. */
export interface PendingOrder {
  readonly id: string;
  readonly remainingMs: number;
}

interface OrderRow {
  readonly id: string;
  readonly amount_cents: string;
  readonly lines: OrderLine[];
  readonly status: OrderStatus;
  readonly created_at: Date;
  readonly payment_due_at: Date;
  readonly payment_key: string | null;
}

const COLUMNS = "id, amount_cents, lines, status, created_at, payment_due_at, payment_key";

const INSERT = `
  WITH placed AS (
    INSERT INTO orders (id, amount_cents, lines, status, created_at, payment_due_at)
    VALUES ($1, $2, $3, 'PENDING_PAYMENT', now(), now() + $4 * interval '1 millisecond')
    ON CONFLICT (id) DO NOTHING
    RETURNING ${COLUMNS}
  ), noted AS (
    INSERT INTO order_events (order_id, kind) SELECT id, 'placed' FROM placed
  )
  SELECT ${COLUMNS} FROM placed`;

/** All payments of one order are made under the key of the first one, so that the provider charges it once, whoever asks. */
const BEGIN_PAYMENT = `
  UPDATE orders SET payment_key = coalesce(payment_key, $2)
  WHERE id = $1 AND status = 'PENDING_PAYMENT'
  RETURNING ${COLUMNS}`;

/**
 * The compare-and-set and its entry in the history are one statement. A concurrent one waits for the row and then looks at the status
 * again. Statements of one WITH see the same snapshot, so who lost reads the status in a query of its own.
 */
const DECIDE = `
  WITH decided AS (
    UPDATE orders SET status = $2, decided_at = clock_timestamp()
    WHERE id = $1 AND status = 'PENDING_PAYMENT'
    RETURNING ${COLUMNS}
  ), noted AS (
    INSERT INTO order_events (order_id, kind)
    SELECT id, CASE WHEN EXISTS (SELECT FROM decided) THEN $3 ELSE $4 END FROM orders WHERE id = $1
  )
  SELECT ${COLUMNS} FROM decided`;

const SCAN = `
  SELECT id, created_at::text AS created_text,
         extract(epoch FROM payment_due_at - clock_timestamp())::float8 * 1000 AS remaining_ms
  FROM orders
  WHERE status = 'PENDING_PAYMENT'
    AND created_at < now() - $1 * interval '1 millisecond'
    AND (created_at, id) > ($2::timestamptz, $3::uuid)
  ORDER BY created_at, id
  LIMIT $4`;

const PAGE = 500;
const FIRST_ID = "00000000-0000-0000-0000-000000000000";

/**
 * Stores a new order that waits for its payment until `paymentTimeoutMs` from now, on the database's clock.
 *
 * @returns null when it is there already.
 */
export async function insertOrder(
  tx: Database,
  { id, amountCents, lines }: NewOrder,
  paymentTimeoutMs: number,
): Promise<Order | null> {
  const { rows } = await tx.query<OrderRow>(INSERT, [id, amountCents, JSON.stringify(lines), paymentTimeoutMs]);
  return rows[0] === undefined ? null : orderOf(rows[0]);
}

export async function findOrder(database: Database, id: string): Promise<Order | null> {
  const row = await readRow(database, id);
  return row === undefined ? null : orderOf(row);
}

/** Says under which key a pending order is paid: the key given, or that of an earlier payment. */
export async function beginPayment(tx: Database, id: string, key: string): Promise<Begun> {
  const { rows } = await tx.query<OrderRow>(BEGIN_PAYMENT, [id, key]);
  const row = rows[0] ?? (await readRow(tx, id));
  if (row?.status === "PENDING_PAYMENT")
    return { kind: "begun", paymentKey: row.payment_key ?? key, amountCents: Number(row.amount_cents) };
  if (row?.status === "PAID" && row.payment_key === key) return { kind: "paid" };
  const refused = await payOrder(tx, id);
  if (refused.kind === "decided") throw new Error(`Order ${id} was decided and is pending again.`);
  return refused;
}

/** The provider has declined: the next payment of the order has a key of its own. */
export async function endPayment(tx: Database, id: string, key: string): Promise<void> {
  await tx.query("UPDATE orders SET payment_key = NULL WHERE id = $1 AND payment_key = $2", [id, key]);
}

/** Makes a pending order a paid one. */
export function payOrder(tx: Database, id: string): Promise<Decision> {
  return decide(tx, id, "PAID", "paid", "payment-refused");
}

/** Times a pending order out. Safe to repeat: the second call changes nothing and only leaves an entry in the history. */
export function timeOutOrder(tx: Database, id: string): Promise<Decision> {
  return decide(tx, id, "PAYMENT_TIMEOUT", "timed-out", "timeout-refused");
}

/** Pending orders placed more than `minAgeMs` ago, oldest first, in pages. A page is read when it is asked for. */
export async function* pendingPages(
  database: Database,
  minAgeMs: number,
): AsyncGenerator<readonly PendingOrder[], void, undefined> {
  let after = { created: "-infinity", id: FIRST_ID };
  for (;;) {
    const { rows } = await database.query<{ id: string; created_text: string; remaining_ms: number }>(SCAN, [
      minAgeMs,
      after.created,
      after.id,
      PAGE,
    ]);
    const last = rows.at(-1);
    if (last === undefined) return;
    yield rows.map((row) => ({ id: row.id, remainingMs: row.remaining_ms }));
    if (rows.length < PAGE) return;
    // As text: a Date holds milliseconds, the column microseconds, and a truncated cursor would read rows again.
    after = { created: last.created_text, id: last.id };
  }
}

async function decide(tx: Database, id: string, status: OrderStatus, won: string, lost: string): Promise<Decision> {
  const { rows } = await tx.query<OrderRow>(DECIDE, [id, status, won, lost]);
  const decided = rows[0];
  if (decided !== undefined) return { kind: "decided", paymentKey: decided.payment_key, lines: decided.lines };
  const order = await readRow(tx, id);
  return order === undefined ? { kind: "absent" } : { kind: "lost", status: order.status };
}

async function readRow(database: Database, id: string): Promise<OrderRow | undefined> {
  const { rows } = await database.query<OrderRow>(`SELECT ${COLUMNS} FROM orders WHERE id = $1`, [id]);
  return rows[0];
}

function orderOf(row: OrderRow): Order {
  return {
    id: row.id,
    // bigint arrives as text; the route admits no amount above 2^53.
    amountCents: Number(row.amount_cents),
    lines: row.lines,
    status: row.status,
    createdAt: row.created_at,
    paymentDueAt: row.payment_due_at,
  };
}
