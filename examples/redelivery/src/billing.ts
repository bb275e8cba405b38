/**
 * What both ways of billing have in common: an order comes as a message of a stream, is charged at the provider, and is entered into the
 * books, together with what the day has earned.
 */
import type { Order } from "./course.ts";

/** Takes messages, until it is stopped. */
export interface Billing {
  start(): Promise<void>;
  /** Takes no further messages, and waits for those that are being billed. */
  stop(): Promise<void>;
}

/** Told of each delivery of a message, the first one and those that follow. */
export type OnDelivery = (messageId: string) => void;

/** Where a replica works. */
export interface BillingOptions {
  /** This replica: member of the consumer group, and client of the provider. */
  readonly name: string;
  readonly databaseUrl: string;
  readonly redisUrl: string;
  /** In front of all keys. */
  readonly prefix: string;
  readonly providerUrl: string;
  readonly takeOverAfterMs: number;
  readonly leaseMs: number;
}

/** A pool, a client or a transaction. */
export interface Database {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: unknown[] }>;
}

/** The consumer group. */
export const GROUP = "billing";

/** Messages that one replica bills at the same time. */
export const CONCURRENCY_MAX = 8;

const SCHEMA = `
  CREATE TABLE receipts (order_id text PRIMARY KEY, amount_cents integer NOT NULL, charge text NOT NULL);
  CREATE TABLE earnings (total_cents bigint NOT NULL);
  INSERT INTO earnings VALUES (0)`;

/** Where orders wait. */
export function streamKey(prefix: string): string {
  return `${prefix}:orders`;
}

/** Creates the tables. */
export async function openBooks(database: Database): Promise<void> {
  await database.query(SCHEMA);
}

/** The order in a message. */
export function orderOf(fields: Readonly<Record<string, string>>): Order {
  const { order, amountCents } = fields;
  if (order === undefined || amountCents === undefined) throw new Error("The message is no order.");
  return { id: order, amountCents: Number(amountCents) };
}

/**
 * Takes the customer's money.
 *
 * @param key what the provider recognises a repetition by
 * @returns the provider's number of the charge
 */
export async function charge(
  { providerUrl, name }: BillingOptions,
  { id, amountCents }: Order,
  key: string,
): Promise<string> {
  const response = await fetch(providerUrl, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": key, "user-agent": name },
    body: JSON.stringify({ orderId: id, amountCents }),
  });
  if (!response.ok) throw new Error(`The provider answered ${response.status}.`);
  const { charge: number } = (await response.json()) as { charge: string };
  return number;
}

/** Whether the books have the order. */
export async function isEntered(database: Database, { id }: Order): Promise<boolean> {
  const { rows } = await database.query("SELECT FROM receipts WHERE order_id = $1", [id]);
  return rows.length > 0;
}

/** Enters a charge into the books. Within a transaction. */
export async function enter(database: Database, { id, amountCents }: Order, number: string): Promise<void> {
  await database.query("INSERT INTO receipts VALUES ($1, $2, $3)", [id, amountCents, number]);
  await database.query("UPDATE earnings SET total_cents = total_cents + $1", [amountCents]);
}
