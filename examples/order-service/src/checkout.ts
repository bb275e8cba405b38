/**
 * Owns what is done with an order: placed, paid, timed out. Each of them is one transaction that decides, with everything that follows from
 * the decision in it. What cannot be in it, the provider and the stock, is asked before (and may be asked again under the same id) or
 * written down as a follow-up.
 */
import { createHash, randomUUID } from "node:crypto";
import type { Attempt } from "@holdfast/idempotency";
import type { FencedHold } from "@holdfast/postgres";
import type { Pool } from "pg";
import { afterEffect } from "./effects.ts";
import type { FollowUp, FollowUps } from "./follow-ups.ts";
import {
  beginPayment,
  endPayment,
  findOrder,
  insertOrder,
  payOrder,
  timeOutOrder,
  type Decision,
  type NewOrder,
  type Order,
  type Refusal,
} from "./orders.ts";
import { ProviderFailedError, type PaymentProvider } from "./payment-provider.ts";
import type { PaymentTimeouts } from "./payment-timeouts.ts";
import type { NotReserved, Stock } from "./stock.ts";
import { inTransaction, type Database } from "./transaction.ts";

/** What became of a request for an order. `mismatch`: its key was used for another one. */
export type Placed = { readonly kind: "placed"; readonly order: Order } | NotReserved;

/** What became of a payment. */
export type Paid = { readonly kind: "paid" | "declined" } | Refusal;

/** What is only there where it is configured, besides the timeouts. */
export interface CheckoutParts {
  readonly timeouts: PaymentTimeouts;
  readonly provider: PaymentProvider | undefined;
  readonly stock: Stock | undefined;
  readonly followUps: FollowUps | undefined;
}

/** The orders of one database. */
export class Checkout {
  private readonly pool: Pool;
  private readonly parts: CheckoutParts;
  private readonly paymentTimeoutMs: number;

  constructor(pool: Pool, paymentTimeoutMs: number, parts: CheckoutParts) {
    this.pool = pool;
    this.paymentTimeoutMs = paymentTimeoutMs;
    this.parts = parts;
  }

  /** @param attempt at the request; null where requests have no keys, and each is another one. */
  async place(wanted: Omit<NewOrder, "id">, attempt: Attempt | null): Promise<Placed> {
    const { stock } = this.parts;
    // The same in every attempt at this request: an order that an earlier one has stored is found again.
    const id = attempt?.downstreamKey ?? randomUUID();
    if (attempt?.recovered === true) {
      const order = await findOrder(this.pool, id);
      if (order !== null) return placedAs(wanted, order);
    }
    const store = (): Promise<Placed> => this.store({ id, ...wanted }, attempt);
    if (stock === undefined || wanted.lines.length === 0) return store();
    const reservation = await stock.reserve(id, wanted.lines, attempt);
    if (reservation.kind !== "reserved") return reservation;
    return afterEffect(`the units of order ${id} are reserved`, store);
  }

  find(id: string): Promise<Order | null> {
    return findOrder(this.pool, id);
  }

  /**
   * Charges the customer and makes the order a paid one; in this order, since a charge can be voided. If the order times out in between, or
   * this process dies, the timeout's follow-up voids it.
   *
   * @throws what the provider throws: repeat it under the same key.
   */
  async pay(id: string, attempt: Attempt | null): Promise<Paid> {
    const { provider, timeouts } = this.parts;
    const key = paymentKeyOf(id, attempt);
    const begun = await inTransaction(this.pool, attempt, (tx) => beginPayment(tx, id, key));
    if (begun.kind !== "begun") return begun;
    const { paymentKey, amountCents } = begun;
    // That a payment was begun is no effect yet: where the provider was not asked, the request's key is free again.
    const charged = await provider?.charge(paymentKey, id, amountCents);
    return afterEffect(`the provider was asked to charge for order ${id}`, async () => {
      if (charged?.kind === "voided") return this.refuseVoided(id);
      if (charged?.kind === "declined") {
        await inTransaction(this.pool, attempt, (tx) => endPayment(tx, id, paymentKey));
        return { kind: "declined" };
      }
      const decision = await inTransaction(this.pool, attempt, (tx) => this.decidePaid(tx, id));
      if (decision.kind !== "decided") return decision;
      timeouts.forget(id);
      return { kind: "paid" };
    });
  }

  /** @param firing of the timeout; null with timeouts in memory. */
  async timeOut(id: string, firing: FencedHold | null): Promise<void> {
    const { provider } = this.parts;
    await inTransaction(this.pool, firing, async (tx) => {
      const decision = await timeOutOrder(tx, id);
      if (decision.kind !== "decided") return;
      const { paymentKey, lines } = decision;
      if (paymentKey !== null && provider !== undefined)
        await this.follow(tx, { kind: "void-payment", orderId: id, paymentKey });
      if (lines.length > 0) await this.follow(tx, { kind: "release-stock", orderId: id });
    });
  }

  private async store(order: NewOrder, attempt: Attempt | null): Promise<Placed> {
    const { timeouts } = this.parts;
    const { id } = order;
    const stored = await inTransaction(this.pool, attempt, async (tx) => {
      const placed = await insertOrder(tx, order, this.paymentTimeoutMs);
      if (placed !== null) await timeouts.schedule(tx, id, this.paymentTimeoutMs);
      return placed ?? (await findOrder(tx, id));
    });
    if (stored === null) throw new Error(`Order ${id} was stored and is gone.`);
    // Keys are forgotten after a day, and orders are not.
    return placedAs(order, stored);
  }

  /** Nobody has paid under a key that was voided. It was voided since the order had timed out; what else the provider means is not known. */
  private async refuseVoided(id: string): Promise<Refusal> {
    const order = await findOrder(this.pool, id);
    if (order === null) return { kind: "absent" };
    if (order.status !== "PENDING_PAYMENT") return { kind: "lost", status: order.status };
    throw new ProviderFailedError(
      `the payment provider refused the charge of order ${id} as voided, and it is pending`,
    );
  }

  private async decidePaid(tx: Database, id: string): Promise<Decision> {
    const { timeouts } = this.parts;
    const decision = await payOrder(tx, id);
    if (decision.kind !== "decided") return decision;
    await timeouts.cancel(tx, id);
    if (decision.lines.length > 0) await this.follow(tx, { kind: "confirm-stock", orderId: id });
    return decision;
  }

  /** @throws Error in a replica that is configured without what the order needs: nothing is committed, and another replica is asked. */
  private async follow(tx: Database, followUp: FollowUp): Promise<void> {
    const { followUps } = this.parts;
    if (followUps === undefined) throw new Error(`Order ${followUp.orderId} has a stock, this replica has none.`);
    await followUps.add(tx, followUp);
  }
}

/** An order that is there already, for who asked for the same. */
function placedAs(wanted: Omit<NewOrder, "id">, order: Order): Placed {
  const same =
    order.amountCents === wanted.amountCents &&
    order.lines.length === wanted.lines.length &&
    order.lines.every(({ sku, quantity }, index) => {
      const line = wanted.lines[index];
      return line?.sku === sku && line.quantity === quantity;
    });
  return same ? { kind: "placed", order } : { kind: "mismatch" };
}

/** The same in every attempt at paying this order, and another one for another order: what the provider charges once is an order, not a request. */
function paymentKeyOf(orderId: string, attempt: Attempt | null): string {
  if (attempt === null) return randomUUID();
  const digest = createHash("sha256").update(`${attempt.downstreamKey}/${orderId}`).digest("hex");
  // As a UUID of version 8, which is for the like.
  return digest.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/u, "$1-$2-8$3-a$4-$5");
}
