/**
 * Owns the figures: read from the database after everything has ended, since what the customers were told and what became of their orders
 * are two things.
 */
import type { Pool } from "pg";

/** What became of the orders of one run. */
export interface Outcome {
  readonly placed: number;
  readonly paid: number;
  readonly timedOut: number;
  /** Pending, and nobody will ever look at them again. */
  readonly stuck: number;
  readonly timedOutTwice: number;
  readonly paidAndTimedOut: number;
  readonly timedOutEarly: number;
  /** Runs of the timeout's code that found the order decided already and changed nothing. */
  readonly refused: number;
  /** From the moment an order was due to the moment it was timed out. `null` when none was. */
  readonly latenessMedianMs: number | null;
  readonly latenessWorstMs: number | null;
}

const OUTCOME = `
  WITH per_order AS (
    SELECT o.id, o.status, o.payment_due_at,
           count(*) FILTER (WHERE e.kind = 'timed-out') AS timed_out,
           count(*) FILTER (WHERE e.kind = 'paid') AS paid,
           count(*) FILTER (WHERE e.kind = 'timeout-refused') AS refused,
           min(e.recorded_at) FILTER (WHERE e.kind = 'timed-out') AS timed_out_at
    FROM orders o LEFT JOIN order_events e ON e.order_id = o.id
    GROUP BY o.id
  ), lateness AS (
    SELECT (extract(epoch FROM timed_out_at - payment_due_at) * 1000)::float8 AS ms FROM per_order WHERE timed_out_at IS NOT NULL
  )
  SELECT count(*)::int AS "placed",
         count(*) FILTER (WHERE status = 'PAID')::int AS "paid",
         count(*) FILTER (WHERE status = 'PAYMENT_TIMEOUT')::int AS "timedOut",
         count(*) FILTER (WHERE status = 'PENDING_PAYMENT')::int AS "stuck",
         count(*) FILTER (WHERE timed_out > 1)::int AS "timedOutTwice",
         count(*) FILTER (WHERE timed_out > 0 AND paid > 0)::int AS "paidAndTimedOut",
         coalesce(sum(refused), 0)::int AS "refused",
         (SELECT count(*)::int FROM lateness WHERE ms < 0) AS "timedOutEarly",
         (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FROM lateness) AS "latenessMedianMs",
         (SELECT max(ms) FROM lateness) AS "latenessWorstMs"
  FROM per_order`;

const PROGRESS = `
  SELECT status, count(*)::int AS orders,
         (extract(epoch FROM max(payment_due_at) - clock_timestamp()) * 1000)::float8 AS last_due_in_ms
  FROM orders GROUP BY status`;

/** How far a run is. */
export interface Progress {
  readonly pending: number;
  readonly paid: number;
  readonly timedOut: number;
  /** Until the last pending order is due. Negative when all are overdue. */
  readonly lastDueInMs: number;
}

/** Reads how far a run is. */
export async function readProgress(database: Pool): Promise<Progress> {
  const { rows } = await database.query<{ status: string; orders: number; last_due_in_ms: number }>(PROGRESS);
  const of = (status: string): number => rows.find((row) => row.status === status)?.orders ?? 0;
  return {
    pending: of("PENDING_PAYMENT"),
    paid: of("PAID"),
    timedOut: of("PAYMENT_TIMEOUT"),
    lastDueInMs: rows.find((row) => row.status === "PENDING_PAYMENT")?.last_due_in_ms ?? 0,
  };
}

/** Reads what became of every order. */
export async function readOutcome(database: Pool): Promise<Outcome> {
  const { rows } = await database.query<Outcome>(OUTCOME);
  const outcome = rows[0];
  if (outcome === undefined) throw new Error("An aggregate without groups returned no row.");
  return outcome;
}
