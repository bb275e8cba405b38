/**
 * Owns what is done with an order: placed, paid, timed out. Each of them is one transaction that decides, with everything that follows from
 * the decision in it. What cannot be in it, the provider and the stock, is asked before (and may be asked again under the same id) or
 * written down as a follow-up.
 */
import { randomUUID } from "node:crypto";
import type { Attempt } from "@holdfast/idempotency";
import type { FencedHold } from "@holdfast/postgres";
import type { Pool } from "pg";
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
import type { PaymentProvider } from "./payment-provider.ts";
import type { PaymentTimeouts } from "./payment-timeouts.ts";
import type { NotReserved, Stock } from "./stock.ts";
import { inTransaction, type Database } from "./transaction.ts";

/** What became of a request for an order. */
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
    const { timeouts, stock } = this.parts;
    // The same in every attempt at this request: an order that an earlier one has stored is found again.
    const id = attempt?.downstreamKey ?? randomUUID();
    if (attempt?.recovered === true) {
      const order = await findOrder(this.pool, id);
      if (order !== null) return { kind: "placed", order };
    }
    if (stock !== undefined && wanted.lines.length > 0) {
      const reservation = await stock.reserve(id, wanted.lines);
      if (reservation.kind !== "reserved") return reservation;
    }
    const order = await inTransaction(this.pool, attempt, async (tx) => {
      const placed = await insertOrder(tx, { id, ...wanted }, this.paymentTimeoutMs);
      if (placed !== null) await timeouts.schedule(tx, id, this.paymentTimeoutMs);
      return placed ?? (await findOrder(tx, id));
    });
    if (order === null) throw new Error(`Order ${id} was stored and is gone.`);
    return { kind: "placed", order };
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
    const key = attempt?.downstreamKey ?? randomUUID();
    const begun = await inTransaction(this.pool, attempt, (tx) => beginPayment(tx, id, key));
    if (begun.kind !== "begun") return begun;
    const { paymentKey, amountCents } = begun;
    const charged = await provider?.charge(paymentKey, id, amountCents);
    if (charged?.kind === "declined") {
      await inTransaction(this.pool, attempt, (tx) => endPayment(tx, id, paymentKey));
      return { kind: "declined" };
    }
    // A charge that was voided meanwhile finds the order timed out.
    const decision = await inTransaction(this.pool, attempt, (tx) => this.decidePaid(tx, id));
    if (decision.kind !== "decided") return decision;
    timeouts.forget(id);
    return { kind: "paid" };
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
