/**
 * Owns the figures: what was ordered, what the provider has booked, and what the books say.
 */
import type { Database } from "./billing.ts";
import type { Order } from "./course.ts";
import type { Booking } from "./payment-provider.ts";

/** What became of the orders of one run. */
export interface Outcome {
  readonly orders: number;
  /** Charges that the provider has booked. */
  readonly charges: number;
  /** Customers who were charged more than once. */
  readonly chargedTwice: number;
  /** What they paid too much, all together. */
  readonly overchargedCents: number;
  readonly notCharged: number;
  /** Charges that came again and were not booked again, since the provider knew their key. */
  readonly recognised: number;
  /** Orders without a receipt. */
  readonly notEntered: number;
  /** By how much the earnings of the books differ from the orders. */
  readonly booksWrongByCents: number;
}

/** What the books say. */
export interface Books {
  readonly receipts: number;
  readonly earningsCents: number;
}

/** Reads the books. */
export async function readBooks(database: Database): Promise<Books> {
  const { rows } = await database.query(
    `SELECT (SELECT count(*)::int FROM receipts) AS "receipts", (SELECT total_cents::float8 FROM earnings) AS "earningsCents"`,
  );
  return rows[0] as Books;
}

/** Counts. */
export function tally(
  orders: readonly Order[],
  bookings: readonly Booking[],
  recognised: number,
  books: Books,
): Outcome {
  const charges = new Map<string, number>();
  for (const { orderId } of bookings) charges.set(orderId, (charges.get(orderId) ?? 0) + 1);
  const timesCharged = ({ id }: Order): number => charges.get(id) ?? 0;
  const ordered = orders.reduce((sum, { amountCents }) => sum + amountCents, 0);
  return {
    orders: orders.length,
    charges: bookings.length,
    chargedTwice: orders.filter((order) => timesCharged(order) > 1).length,
    overchargedCents: orders.reduce((sum, order) => sum + Math.max(0, timesCharged(order) - 1) * order.amountCents, 0),
    notCharged: orders.filter((order) => timesCharged(order) === 0).length,
    recognised,
    notEntered: orders.length - books.receipts,
    booksWrongByCents: Math.abs(books.earningsCents - ordered),
  };
}
