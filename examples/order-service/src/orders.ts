/**
 * Owns the orders in PostgreSQL. Whether an order was paid or timed out is decided here and nowhere else: by one compare-and-set on the
 * status, so of a payment and a timeout that arrive together exactly one wins, whoever calls, how often, and in whatever order.
 */
import { randomUUID } from "node:crypto";
import type { Pool } from "pg";

/** Where an order stands. The last two are final. */
export type OrderStatus = "PENDING_PAYMENT" | "PAID" | "PAYMENT_TIMEOUT";

/** An order as customers see it. */
export interface Order {
  readonly id: string;
  readonly amountCents: number;
  readonly status: OrderStatus;
  readonly createdAt: Date;
  readonly paymentDueAt: Date;
}

/** Whether a compare-and-set decided the order, or found it decided (with that status), or found no order. */
export type Decision =
  | { readonly kind: "decided" }
  | { readonly kind: "lost"; readonly status: OrderStatus }
  | { readonly kind: "absent" };

/** A pending order, and the time it has left. Negative when it is overdue. */
export interface PendingOrder {
  readonly id: string;
  readonly remainingMs: number;
}

interface OrderRow {
  readonly id: string;
  readonly amount_cents: string;
  readonly status: OrderStatus;
  readonly created_at: Date;
  readonly payment_due_at: Date;
}

const COLUMNS = "id, amount_cents, status, created_at, payment_due_at";

const PLACE = `
  WITH placed AS (
    INSERT INTO orders (id, amount_cents, status, created_at, payment_due_at)
    VALUES ($1, $2, 'PENDING_PAYMENT', now(), now() + $3 * interval '1 millisecond')
    RETURNING ${COLUMNS}
  ), noted AS (
    INSERT INTO order_events (order_id, kind) SELECT id, 'placed' FROM placed
  )
  SELECT ${COLUMNS} FROM placed`;

/**
 * The compare-and-set and its entry in the history are one statement. A concurrent one waits for the row and then looks at the status
 * again. Statements of one WITH see the same snapshot, so who lost reads the status in a query of its own.
 */
const DECIDE = `
  WITH decided AS (
    UPDATE orders SET status = $2, decided_at = clock_timestamp()
    WHERE id = $1 AND status = 'PENDING_PAYMENT'
    RETURNING id
  ), noted AS (
    INSERT INTO order_events (order_id, kind)
    SELECT id, CASE WHEN EXISTS (SELECT FROM decided) THEN $3 ELSE $4 END FROM orders WHERE id = $1
  )
  SELECT id FROM decided`;

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

/** The orders of one database. */
export class Orders {
  private readonly pool: Pool;

  constructor(pool: Pool) {
    this.pool = pool;
  }

  /** Stores a new order that waits for its payment until `paymentTimeoutMs` from now, on the database's clock. */
  async place(amountCents: number, paymentTimeoutMs: number): Promise<Order> {
    const { rows } = await this.pool.query<OrderRow>(PLACE, [randomUUID(), amountCents, paymentTimeoutMs]);
    const row = rows[0];
    if (row === undefined) throw new Error("INSERT … RETURNING returned no row.");
    return orderOf(row);
  }

  async find(id: string): Promise<Order | null> {
    const { rows } = await this.pool.query<OrderRow>(`SELECT ${COLUMNS} FROM orders WHERE id = $1`, [id]);
    return rows[0] === undefined ? null : orderOf(rows[0]);
  }

  /** Pays a pending order. */
  pay(id: string): Promise<Decision> {
    return this.decide(id, "PAID", "paid", "payment-refused");
  }

  /** Times a pending order out. Safe to repeat: the second call changes nothing and only leaves an entry in the history. */
  timeOut(id: string): Promise<Decision> {
    return this.decide(id, "PAYMENT_TIMEOUT", "timed-out", "timeout-refused");
  }

  /** Pending orders placed more than `minAgeMs` ago, oldest first, in pages. A page is read when it is asked for. */
  async *pendingPages(minAgeMs: number): AsyncGenerator<readonly PendingOrder[], void, undefined> {
    let after = { created: "-infinity", id: FIRST_ID };
    for (;;) {
      const { rows } = await this.pool.query<{ id: string; created_text: string; remaining_ms: number }>(SCAN, [
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

  /** Resolves when the database answers. */
  async ping(): Promise<void> {
    await this.pool.query("SELECT 1");
  }

  private async decide(id: string, status: OrderStatus, won: string, lost: string): Promise<Decision> {
    const { rowCount } = await this.pool.query(DECIDE, [id, status, won, lost]);
    if (rowCount === 1) return { kind: "decided" };
    const order = await this.find(id);
    return order === null ? { kind: "absent" } : { kind: "lost", status: order.status };
  }
}

function orderOf(row: OrderRow): Order {
  return {
    id: row.id,
    // bigint arrives as text; the route admits no amount above 2^53.
    amountCents: Number(row.amount_cents),
    status: row.status,
    createdAt: row.created_at,
    paymentDueAt: row.payment_due_at,
  };
}
