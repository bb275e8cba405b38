/**
 * Owns the customers of one run: places and pays orders as planned, and counts what they were told.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { AnswerLostError, type ServiceClient } from "./service-client.ts";
import type { PlannedOrder } from "./traffic-plan.ts";

/** What the customers were told. */
export interface TrafficCounts {
  placed: number;
  paid: number;
  /** Payments that were answered with 409: too late. */
  tooLate: number;
  /** Requests whose answer never came, since their replica was killed, or said nothing, from a service that knows no keys. */
  answersLost: number;
}

/** The customers of one run. */
export class Traffic {
  readonly counts: TrafficCounts = { placed: 0, paid: 0, tooLate: 0, answersLost: 0 };
  private readonly client: ServiceClient;

  constructor(client: ServiceClient) {
    this.client = client;
  }

  /**
   * Lets customers come until `isOver`, and `ordersMin` at least. Resolves when the last one has gone.
   *
   * @throws Error on an answer that no customer should get.
   */
  async run(
    customers: Iterable<PlannedOrder>,
    ordersMin: number,
    isOver: () => boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const startMs = performance.now();
    const visits: Promise<void>[] = [];
    const failure = new AbortController();
    for (const customer of customers) {
      if (visits.length >= ordersMin && isOver()) break;
      await sleep(Math.max(0, startMs + customer.atMs - performance.now()), undefined, { signal });
      failure.signal.throwIfAborted();
      visits.push(this.serve(customer, signal).catch((error: unknown) => failure.abort(error)));
    }
    await Promise.all(visits);
    failure.signal.throwIfAborted();
  }

  private async serve(order: PlannedOrder, signal: AbortSignal): Promise<void> {
    try {
      const id = await this.place(order);
      if (order.payAfterMs === null) return;
      await sleep(order.payAfterMs, undefined, { signal });
      await this.pay(id);
    } catch (error) {
      if (!(error instanceof AnswerLostError)) throw error;
      this.counts.answersLost += 1;
    }
  }

  private async place({ amountCents }: PlannedOrder): Promise<string> {
    const { status, body } = await this.client.post("/orders", { amountCents });
    if (status !== 201 || !hasId(body)) throw new Error(`POST /orders answered ${status} ${JSON.stringify(body)}.`);
    this.counts.placed += 1;
    return body.id;
  }

  private async pay(id: string): Promise<void> {
    const { status, body } = await this.client.post(`/orders/${id}/payment`);
    if (status === 200) this.counts.paid += 1;
    else if (status === 409) this.counts.tooLate += 1;
    else throw new Error(`POST /orders/${id}/payment answered ${status} ${JSON.stringify(body)}.`);
  }
}

function hasId(body: unknown): body is { readonly id: string } {
  return typeof body === "object" && body !== null && "id" in body && typeof body.id === "string";
}
