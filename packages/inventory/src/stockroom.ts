/**
 * Which bucket does what. Without hot skus there is one, and every call is one request. With hot skus an id is decided by the bucket that
 * it hashes to: a basket of hot skus is carried out right there, any other in bucket 0, to which the deciding bucket then points. Units
 * that are short in one bucket are gathered from the others (gathering.ts).
 */
import type { Connection, EventSink } from "@holdfast/core";
import { Bucket } from "./bucket.ts";
import type { Answer, Settlement } from "./bucket.ts";
import type { InventoryEvent } from "./events.ts";
import { bucketOf } from "./keys.ts";
import type { CheckedId, Order } from "./order.ts";
import type { ResolvedInventoryOptions } from "./options.ts";

/** The buckets of one inventory. */
export class Stockroom {
  readonly buckets: readonly Bucket[];
  readonly main: Bucket;

  constructor(
    connection: Connection,
    name: string,
    options: ResolvedInventoryOptions,
    events: EventSink<InventoryEvent>,
  ) {
    this.buckets = Array.from(
      { length: options.bucketCount },
      (_, index) => new Bucket(connection, name, index, options, events),
    );
    this.main = this.buckets[0] as Bucket;
  }

  /** The bucket that decides an id. */
  homeOf(id: CheckedId): Bucket {
    return this.buckets[bucketOf(id.word, this.buckets.length)] as Bucket;
  }

  /** Carries out an order. */
  apply(order: Order): Promise<Answer> {
    return this.main.apply(order, true);
  }

  /** Ends a reservation. */
  settle(settlement: Settlement): Promise<Answer> {
    return this.main.settle(settlement, true);
  }

  /** Lets a hold last longer. */
  extend(operation: CheckedId, reservation: CheckedId, holdMs: number): ReturnType<Bucket["extend"]> {
    return this.main.extend(operation, reservation, holdMs);
  }

  /** Tells what became of an id. */
  outcome(id: CheckedId): ReturnType<Bucket["outcome"]> {
    return this.main.outcome(id);
  }
}
