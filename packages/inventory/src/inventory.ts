/**
 * Stock of one place, sold by many processes: taken in one step or reserved and confirmed, never oversold, never lost, never taken twice.
 *
 * This file is what callers see, in reading order. How orders are answered is in ordering.ts, counting in census.ts and stock-taking.ts, the
 * log in movement-log.ts and consumer.ts, several places in across.ts.
 */
import {
  ClosedError,
  Connection,
  EventSink,
  integer,
  integerOr,
  leaseRangeMs,
  optionsObject,
  text,
} from "@holdfast/core";
import type { RedisLike } from "@holdfast/core";
import { Census } from "./census.ts";
import { MovementConsumer } from "./consumer.ts";
import type { ConsumerOptions } from "./consumer.ts";
import { inventoryChannel } from "./events.ts";
import type { InventoryEvent } from "./events.ts";
import { checkCursor } from "./movement.ts";
import type { Cursor, Movement } from "./movement.ts";
import { resolveReadOptions } from "./movement-log.ts";
import { resolveInventoryOptions } from "./options.ts";
import type { InventoryOptions, ResolvedInventoryOptions } from "./options.ts";
import { adjustOrder, checkId, choice, decrementOrder, reserveOrder, restockOrder } from "./order.ts";
import type { AdjustRequest, DecrementRequest, Order, ReserveRequest, RestockRequest } from "./order.ts";
import { Ordering } from "./ordering.ts";
import type { Applied } from "./ordering.ts";
import type { ConfirmRequest, ExtendRequest, MovementsOptions, ReleaseRequest, SeedOptions } from "./requests.ts";
import type { AdjustResult, ConfirmResult, DecrementResult, ExtendResult, Level, OutcomeResult } from "./results.ts";
import type { ReleaseResult, ReserveResult, RestockResult, SeedResult, SweepResult } from "./results.ts";
import { checkSnapshot } from "./stock-taking.ts";
import type { Reconciliation, Snapshot } from "./stock-taking.ts";
import { Stockroom } from "./stockroom.ts";

/** Stock of one place. */
export class Inventory implements AsyncDisposable {
  readonly name: string;
  readonly #options: ResolvedInventoryOptions;
  readonly #events: EventSink<InventoryEvent>;
  readonly #ordering: Ordering;
  readonly #census: Census;
  #closed = false;

  /**
   * Makes a client; talks to Redis with the first call.
   * @param redis an ioredis client without keyPrefix; never closed by the inventory
   * @param name the place; 1 to 256 bytes. All its stock lies in one Cluster slot, apart from hot skus (`buckets`)
   * @throws TypeError, RangeError naming the field, the allowed range and the value got
   */
  constructor(redis: RedisLike, name: string, options: InventoryOptions = {}) {
    this.name = text("name", name);
    this.#options = resolveInventoryOptions(options);
    const { clock, onEvent } = this.#options;
    this.#events = new EventSink(inventoryChannel, onEvent);
    const stockroom = new Stockroom(Connection.of(redis, clock), name, this.#options, this.#events);
    this.#ordering = new Ordering(name, stockroom, this.#options);
    this.#census = new Census(stockroom, this.#options);
  }

  /** Number of buckets; each has a log of its own. 1 without hot skus. */
  get bucketCount(): number {
    return this.#options.bucketCount;
  }

  /**
   * Takes units in one step.
   * @returns what was taken, or every shortage; the same for the same id, whenever it is asked again
   * @throws TypeError, RangeError for bad input; DifferentRequestError, IdForgottenError, IdSealedError, and what every call of Redis
   *   throws (RedisUnavailableError; OutcomeUnknownError: repeat the call under the same id)
   */
  async decrement(request: DecrementRequest): Promise<DecrementResult> {
    const applied = await this.#apply(decrementOrder(request));
    const result: DecrementResult = applied.kind === "done" ? { kind: "decremented", lines: applied.lines } : applied;
    return this.#answered("decrement", request.operationId, result);
  }

  /**
   * Reserves units until they are confirmed, released, or the hold ends.
   * @returns the first decision for this id, and the state of the reservation now
   * @throws as decrement
   */
  async reserve(request: ReserveRequest): Promise<ReserveResult> {
    const applied = await this.#apply(reserveOrder(request, this.#options.holdMs));
    const result = applied.kind === "done" ? (applied.reservation as ReserveResult) : applied;
    return this.#answered("reserve", request.reservationId, result);
  }

  /**
   * Ends a reservation by selling it: all of it, or a part and the rest is released.
   * @returns `expired` when the hold has ended and `retakeIfExpired` was not asked for, `insufficient` when it was and the units are gone
   * @throws TypeError, RangeError for bad input; ExceedsReservationError; DifferentRequestError when the id is not a reservation's; and
   *   what every call of Redis throws (OutcomeUnknownError: repeat the call with its `operationId`)
   */
  async confirm(request: ConfirmRequest): Promise<ConfirmResult> {
    this.#assertOpen();
    optionsObject("request", request);
    const { reservationId, operationId, lines } = request;
    const what = choice("retakeIfExpired", request.retakeIfExpired) ? "k" : "c";
    const result = await this.#ordering.confirm({ reservationId, operationId, lines, what });
    return this.#answered("confirm", reservationId, result);
  }

  /**
   * Ends a reservation by giving it back. One that is absent stays so: a reserve under this id that comes later is refused.
   * @throws as confirm
   */
  async release(request: ReleaseRequest): Promise<ReleaseResult> {
    this.#assertOpen();
    optionsObject("request", request);
    const { reservationId, operationId } = request;
    const result = await this.#ordering.release({ reservationId, operationId, lines: undefined, what: "r" });
    return this.#answered("release", reservationId, result);
  }

  /**
   * Lets a live hold last longer.
   * @throws as decrement
   */
  async extend(request: ExtendRequest): Promise<ExtendResult> {
    this.#assertOpen();
    optionsObject("request", request);
    const holdMs = integer("holdMs", request.holdMs, leaseRangeMs);
    const operation = checkId("operationId", request.operationId);
    return this.#ordering.extend(operation, checkId("reservationId", request.reservationId), holdMs);
  }

  /**
   * Tells what became of an id. When nothing did, nothing will: a request under it that is still on its way is refused.
   * @throws TypeError, RangeError, and what every call of Redis throws
   */
  async outcome(id: string): Promise<OutcomeResult> {
    this.#assertOpen();
    return this.#ordering.outcome(checkId("id", id));
  }

  /**
   * Adds goods that arrived. A sku that was never there begins with them.
   * @throws as decrement; StockOverflowError
   */
  async restock(request: RestockRequest): Promise<RestockResult> {
    const applied = await this.#apply(restockOrder(request));
    const result: RestockResult = { kind: "restocked", lines: applied.kind === "done" ? applied.lines : [] };
    return this.#answered("restock", request.operationId, result);
  }

  /**
   * Corrects what is on hand, up or down, never below what is reserved.
   * @throws as decrement; StockOverflowError
   */
  async adjust(request: AdjustRequest): Promise<AdjustResult> {
    const applied = await this.#apply(adjustOrder(request));
    const result: AdjustResult = applied.kind === "done" ? { kind: "adjusted", lines: applied.lines } : applied;
    return this.#answered("adjust", request.operationId, result);
  }

  /**
   * Stock of a sku; holds that are due are returned first, once the ambient deadline has passed no more than 100 of them. A sku that was
   * never there has none.
   * @throws TypeError, RangeError, and what every call of Redis throws
   */
  async level(sku: string): Promise<Level> {
    return (await this.levels([sku])).get(sku) as Level;
  }

  /**
   * Stock of many skus, 1,000 at a time.
   * @throws as level
   */
  async levels(skus: readonly string[]): Promise<Map<string, Level>> {
    this.#assertOpen();
    if (!Array.isArray(skus)) throw new TypeError(`skus must be an array, got ${typeof skus}`);
    for (const sku of skus) text("sku", sku);
    return this.#census.levels(skus);
  }

  /**
   * All skus that were ever there, in no order.
   * @throws what every call of Redis throws
   */
  async *skus(): AsyncGenerator<string, void, undefined> {
    this.#assertOpen();
    yield* this.#census.skus();
  }

  /**
   * Sets what is on hand, if nothing has moved since `ifCursor`: take the snapshot at a known place of the log, so that sales that come
   * meanwhile are not overwritten. Up to 1,000 skus are set in one step, more in several, each if nothing has moved since the one before.
   * @param snapshot skus and what is on hand; others stay as they are. Of a spread inventory it goes into one bucket: the one that is named,
   *   else bucket 0, if no other has any of the skus
   * @throws TypeError, RangeError; SpreadStockError when another has; ForkedLogError, MovementGapError when the log is not the one of `ifCursor`; DifferentRequestError,
   *   IdForgottenError, StockOverflowError; and what every call of Redis throws
   */
  async seed(snapshot: Snapshot, options: SeedOptions): Promise<SeedResult> {
    this.#assertOpen();
    const counts = checkSnapshot(snapshot);
    optionsObject("options", options);
    const ifCursor = checkCursor("ifCursor", options.ifCursor);
    const { operationId = this.#options.random.id() } = options;
    return this.#census.seed(counts, ifCursor, checkId("operationId", operationId), options.bucket);
  }

  /**
   * Compares what is on hand with what a ledger had at a place of the log. Reports, changes nothing; sales that come meanwhile are
   * followed and are no drift.
   * @param expected on hand by sku as the ledger has it; of a spread inventory in one bucket, bucket 0 unless told which
   * @param at how far the ledger has come
   * @throws TypeError, RangeError, ForkedLogError, MovementGapError, and what every call of Redis throws
   */
  async reconcile(expected: Snapshot, at: Cursor, options: { readonly bucket?: number } = {}): Promise<Reconciliation> {
    this.#assertOpen();
    const counts = checkSnapshot(expected);
    return this.#census.of(options.bucket).reconcile(counts, checkCursor("at", at));
  }

  /**
   * Movements in order, each with the cursor of its place. Ends at the end of the log, or goes on with `follow` until the ambient deadline
   * or `close`.
   * @throws TypeError, RangeError; while reading ForkedLogError, MovementGapError, the reason of `signal`, and what every call of Redis
   *   throws
   */
  movements(options: MovementsOptions = {}): AsyncGenerator<Movement, void, undefined> {
    this.#assertOpen();
    optionsObject("options", options);
    return this.#census.of(options.bucket).log.read(resolveReadOptions(options), () => this.#closed);
  }

  /**
   * A reader of the log whose position is stored under its name.
   * @param name 1 to 256 bytes
   * @throws TypeError, RangeError
   */
  consumer(name: string, options: ConsumerOptions = {}): MovementConsumer {
    this.#assertOpen();
    optionsObject("options", options);
    const { bucket, log } = this.#census.of(options.bucket);
    const pageMax = integerOr(500, "pageMax", options.pageMax, { min: 1, max: 10_000 });
    const assertOpen = (): void => this.#assertOpen();
    return new MovementConsumer(text("consumer", name), this.name, bucket, log, pageMax, this.#events, assertOpen);
  }

  /**
   * Where the log stands now.
   * @throws TypeError, RangeError, and what every call of Redis throws
   */
  async cursor(options: { readonly bucket?: number } = {}): Promise<Cursor> {
    this.#assertOpen();
    return (await this.#census.of(options.bucket).levels([])).cursor;
  }

  /**
   * Returns holds that are due, at most so many. Every call that touches stock does the same for up to 100 of them; call this from a
   * timer, so that idle stock comes back too.
   * @throws TypeError, RangeError, and what every call of Redis throws
   */
  async sweep(options: { readonly holdsMax?: number } = {}): Promise<SweepResult> {
    this.#assertOpen();
    optionsObject("options", options);
    const holdsMax = integerOr(100, "holdsMax", options.holdsMax, { min: 1, max: 1_000 });
    return this.#census.sweep(holdsMax);
  }

  /** Refuses further calls, those of its consumers too; what follows the log ends. The redis client stays open. */
  async close(): Promise<void> {
    this.#closed = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #apply(order: Order): Promise<Applied> {
    this.#assertOpen();
    return this.#ordering.apply(order);
  }

  #answered<Result extends { readonly kind: string }>(
    operation: Extract<InventoryEvent, { type: "answered" }>["operation"],
    id: string,
    result: Result,
  ): Result {
    this.#events.emit(() => ({ type: "answered", inventory: this.name, operation, id, kind: result.kind }));
    return result;
  }

  #assertOpen(): void {
    if (this.#closed) throw new ClosedError(`inventory ${this.name}`);
  }
}
