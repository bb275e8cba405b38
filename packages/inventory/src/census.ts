/**
 * Counting over all buckets: what each has of a sku is summed, so that callers see one place however many slots it is spread over. Counting in
 * one bucket is in stock-taking.ts.
 */
import { integerOr, NotReplicatedError, underOwnId } from "@holdfast/core";
import type { ResolvedInventoryOptions } from "./options.ts";
import { SpreadStockError } from "./errors.ts";
import type { Cursor } from "./movement.ts";
import type { CheckedId } from "./order.ts";
import { escapeWord, unescapeWord } from "./packed-text.ts";
import { parcelsIn } from "./parcel.ts";
import type { Level, SeedResult, SweepResult } from "./results.ts";
import { skusMax, StockTaking } from "./stock-taking.ts";
import { preparing } from "./stockroom.ts";
import type { Stockroom } from "./stockroom.ts";

const none: Level = { onHand: 0, reserved: 0, available: 0 };

/** All buckets of one inventory, counted. */
export class Census {
  readonly #stockroom: Stockroom;
  readonly #counting: readonly StockTaking[];

  constructor(stockroom: Stockroom, options: ResolvedInventoryOptions) {
    this.#stockroom = stockroom;
    this.#counting = stockroom.buckets.map((bucket) => new StockTaking(bucket, options));
  }

  /** One bucket, the first unless told which. @throws TypeError, RangeError */
  of(index: number | undefined): StockTaking {
    return this.#counting[integerOr(0, "bucket", index, { min: 0, max: this.#counting.length - 1 })] as StockTaking;
  }

  /** Stock of skus; holds that are due are returned first. */
  async levels(skus: readonly string[]): Promise<Map<string, Level>> {
    const words = [...new Set(skus.map((sku) => escapeWord(sku)))];
    if (this.#counting.length > 1) {
      await this.#stockroom.opened();
      // Units on their way would be counted nowhere. Where too few replicas have that they have arrived, they have.
      await this.#stockroom.gathering.deliverAll().catch((error: unknown) => {
        if (!(error instanceof NotReplicatedError)) throw error;
      });
    }
    const counts = await Promise.all(this.#counting.map((bucket) => bucket.levels(words)));
    const sum = new Map<string, Level>();
    for (const { levels } of counts) {
      for (const [sku, { onHand, reserved, available }] of levels) {
        const before = sum.get(sku) ?? none;
        sum.set(sku, {
          onHand: before.onHand + onHand,
          reserved: before.reserved + reserved,
          available: before.available + available,
        });
      }
    }
    return sum;
  }

  /**
   * Sets what is on hand: in the bucket that is named, else of the skus as a whole, which then have to lie in the first one alone.
   * @param counts on hand by escaped sku
   * @throws SpreadStockError, and as StockTaking.seed
   */
  async seed(
    counts: ReadonlyMap<string, number>,
    ifCursor: Cursor,
    operation: CheckedId,
    index: number | undefined,
  ): Promise<SeedResult> {
    const counting = this.of(index);
    try {
      if (this.#counting.length > 1) await this.#stockroom.opened();
      if (this.#counting.length > 1 && index === undefined) {
        const elsewhere = await preparing(this.#elsewhere([...counts.keys()]));
        // The id decides first (V2): since it was carried out, units may have gone anywhere.
        if (elsewhere !== undefined && !(await counting.knows(operation))) {
          throw new SpreadStockError(counting.bucket.resource, unescapeWord(elsewhere.sku), elsewhere.bucket);
        }
      }
    } catch (error) {
      throw underOwnId(error, `inventory.seed ${counting.bucket.resource}`, operation.given);
    }
    return counting.seed(counts, ifCursor, operation);
  }

  /** All skus that were ever there, each once. */
  async *skus(): AsyncGenerator<string, void, undefined> {
    const seen = new Set<string>();
    for (const bucket of this.#counting) {
      for await (const sku of bucket.skus()) {
        if (!seen.has(sku)) yield sku;
        seen.add(sku);
      }
    }
  }

  /** Returns holds that are due, in each bucket so many at most. */
  async sweep(holdsMax: number): Promise<SweepResult> {
    if (this.#counting.length > 1) await this.#stockroom.opened();
    const replies = await Promise.all(this.#stockroom.buckets.map((bucket) => bucket.sweep(holdsMax)));
    const next = replies.map(({ nextMs }) => nextMs).filter((nextMs) => nextMs !== null);
    return {
      expired: replies.reduce((sum, { lapsed }) => sum + lapsed, 0),
      more: replies.some(({ left }) => left),
      nextExpiryAtMs: next.length === 0 ? null : Math.min(...next),
    };
  }

  /** One of these skus that a bucket other than the first has, or has sent away; what leaves the first one is in its log. */
  async #elsewhere(skus: readonly string[]): Promise<{ readonly sku: string; readonly bucket: number } | undefined> {
    await this.#stockroom.gathering.deliverAll();
    for (let from = 0; from < skus.length; from += skusMax) {
      const part = skus.slice(from, from + skusMax);
      for (const bucket of this.#stockroom.buckets.slice(1)) {
        const { counters, transit } = await bucket.levels(part);
        const sent = new Set(parcelsIn(bucket.index, transit).map(({ sku }) => sku));
        const sku = part.find((each, at) => counters[at * 2] !== 0 || counters[at * 2 + 1] !== 0 || sent.has(each));
        if (sku !== undefined) return { sku, bucket: bucket.index };
      }
    }
    return undefined;
  }
}
