/**
 * Owns the buyers of one sale: lets them come as planned, and counts what they were told.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { PlannedBuyer } from "./buyers-plan.ts";
import type { Course } from "./course.ts";
import type { ShopClient } from "./shop-client.ts";

/** What the buyers were told. */
export interface CrowdCounts {
  arrived: number;
  /** Carts with a unit. */
  carts: number;
  abandoned: number;
  /** Who was told that the unit is theirs. */
  readonly bought: Set<string>;
  /** Carts that were gone when their buyer paid. */
  gone: number;
  /** Who left without. */
  without: number;
  /** Who waits for returned units at the moment. */
  waiting: number;
}

/** The buyers of one sale. */
export class Crowd {
  readonly counts: CrowdCounts = {
    arrived: 0,
    carts: 0,
    abandoned: 0,
    bought: new Set(),
    gone: 0,
    without: 0,
    waiting: 0,
  };
  private readonly client: ShopClient;
  private readonly quietMs: number;
  private lastCartMs = performance.now();

  constructor(client: ShopClient, { quietMs }: Course) {
    this.client = client;
    this.quietMs = quietMs;
  }

  /**
   * Lets them come. Resolves when the last one has gone.
   *
   * @throws the signal's reason; Error when the shop does not answer any more.
   */
  async run(buyers: readonly PlannedBuyer[], signal: AbortSignal): Promise<void> {
    const startMs = performance.now();
    this.lastCartMs = startMs;
    const failure = new AbortController();
    const either = AbortSignal.any([signal, failure.signal]);
    const visits = buyers.map(async (buyer) => {
      try {
        await sleep(Math.max(0, startMs + buyer.atMs - performance.now()), undefined, { signal: either });
        this.counts.arrived += 1;
        await this.serve(buyer, either);
      } catch (error) {
        failure.abort(error);
      }
    });
    await Promise.all(visits);
    either.throwIfAborted();
  }

  private async serve(buyer: PlannedBuyer, signal: AbortSignal): Promise<void> {
    const { bought } = this.counts;
    for (let visit = 1; ; visit += 1) {
      signal.throwIfAborted();
      const askedMs = performance.now();
      const cart = await this.cart(buyer, visit);
      if (cart !== null) {
        if (buyer.abandons) {
          this.counts.abandoned += 1;
          return;
        }
        await sleep(buyer.payAfterMs, undefined, { signal });
        if ((await this.client.post("/pay", { cart, buyer: buyer.name }, buyer.losesPayAnswer)) === true) {
          bought.add(buyer.name);
          return;
        }
        this.counts.gone += 1;
      }
      // Asked when no cart could be held any more: on a machine that stands still the answer alone may be that late.
      if (!buyer.patient || askedMs - this.lastCartMs > this.quietMs) break;
      this.counts.waiting += 1;
      await sleep(buyer.againMs, undefined, { signal });
      this.counts.waiting -= 1;
    }
    this.counts.without += 1;
  }

  private async cart({ name, losesCartAnswer }: PlannedBuyer, visit: number): Promise<string | null> {
    const answer = await this.client.post("/cart", { request: `${name}-${visit}` }, losesCartAnswer && visit === 1);
    if (typeof answer !== "string") return null;
    this.counts.carts += 1;
    this.lastCartMs = performance.now();
    return answer;
  }
}
