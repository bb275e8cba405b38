/**
 * Owns the stock that orders take from: reserved with the order, confirmed with the payment, released with the timeout. Redis decides who
 * gets the last unit; PostgreSQL has the ledger, movement by movement. A reservation that nobody confirms or releases, since its order was
 * never stored, ends by itself a while after the time to pay.
 */
import type { Attempt } from "@holdfast/idempotency";
import { DifferentRequestError, Inventory, type Shortage } from "@holdfast/inventory";
import { applyMovements } from "@holdfast/postgres";
import { DeadLetterError } from "@holdfast/timer";
import type { Redis } from "ioredis";
import type { Pool } from "pg";
import type { OrderLine } from "./orders.ts";

/** What became of a reservation. */
export type Reservation = { readonly kind: "reserved" } | NotReserved;

/**
 * Why nothing is reserved. `busy`: ask again. `ended`: it was made under this id before, and is over. `mismatch`: it was made under this id
 * before, for something else.
 */
export type NotReserved =
  | { readonly kind: "busy" | "ended" | "mismatch" }
  | { readonly kind: "sold-out"; readonly shortages: readonly Shortage[] };

/** Which stock. */
export interface StockOptions {
  readonly name: string;
  readonly prefix: string;
  readonly commandTimeoutMs: number;
  readonly paymentTimeoutMs: number;
}

/** A payment at the last moment, or a timeout that another replica has to take over, finds its units still reserved. */
export const HOLD_LONGER_MS = 300_000;

/** The stock of one warehouse. */
export class Stock {
  private readonly pool: Pool;
  private readonly inventory: Inventory;
  private readonly holdMs: number;

  constructor(redis: Redis, pool: Pool, { name, prefix, commandTimeoutMs, paymentTimeoutMs }: StockOptions) {
    this.pool = pool;
    this.holdMs = paymentTimeoutMs + HOLD_LONGER_MS;
    this.inventory = new Inventory(redis, name, { prefix, commandTimeoutMs, holdMs: this.holdMs });
  }

  /**
   * Reserves everything or nothing. Safe to repeat: the order's id decides.
   *
   * @param attempt at the request. What an earlier one has reserved lasts from now on as long as what this one would have.
   */
  async reserve(orderId: string, lines: readonly OrderLine[], attempt: Attempt | null): Promise<Reservation> {
    const result = await this.inventory.reserve({ reservationId: orderId, orderId, lines }).catch(differs);
    switch (result.kind) {
      case "busy":
      case "mismatch":
        return result;
      case "insufficient":
        return { kind: "sold-out", shortages: result.shortages };
      case "reserved":
        if (result.state === "confirmed") return { kind: "reserved" };
        if (result.state !== "held") return { kind: "ended" };
        return attempt === null || attempt.number === 1 ? { kind: "reserved" } : this.lengthen(orderId, attempt);
    }
  }

  /** The hold may be about to end: an order that is stored now has its whole time to pay before it. */
  private async lengthen(orderId: string, { token }: Attempt): Promise<Reservation> {
    const operationId = `${orderId}/${token}`;
    const { kind } = await this.inventory.extend({ reservationId: orderId, holdMs: this.holdMs, operationId });
    return { kind: kind === "extended" || kind === "already-confirmed" ? "reserved" : "ended" };
  }

  /**
   * The order is paid: its units are gone.
   *
   * @throws DeadLetterError when its hold had ended and somebody else has them: a case for a person.
   */
  async confirm(orderId: string): Promise<void> {
    const { kind } = await this.inventory.confirm({ reservationId: orderId, retakeIfExpired: true });
    if (kind === "confirmed" || kind === "already-confirmed") return;
    if (kind === "busy") throw new Error(`The units of order ${orderId} are not confirmed yet.`);
    throw new DeadLetterError(`Order ${orderId} is paid and its units cannot be confirmed: ${kind}.`);
  }

  /** The order timed out: its units are free. */
  async release(orderId: string): Promise<void> {
    await this.inventory.release({ reservationId: orderId });
  }

  /** Returns what has expired, and brings the ledger in PostgreSQL up to the last movement. */
  async keepLedger(signal: AbortSignal): Promise<void> {
    await this.inventory.sweep();
    await applyMovements(this.pool, this.inventory, { signal });
  }
}

/** @throws the error, unless it says that something else was reserved under the id. */
function differs(error: unknown): { readonly kind: "mismatch" } {
  if (error instanceof DifferentRequestError && error.field === "lines") return { kind: "mismatch" };
  throw error;
}
