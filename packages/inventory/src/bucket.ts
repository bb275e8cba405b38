/**
 * One bucket of an inventory: everything of one Cluster slot. Runs its scripts, turns refusals into errors, and tells observers of holds that
 * were returned in passing. Orders and ends of one tick share scripts (batching.ts).
 */
import { NewerFormatError, UnexpectedReplyError } from "@holdfast/core";
import type {
  CallOptions,
  Connection,
  EventSink,
  LuaSource,
  NotReplicatedError,
  Script,
  ScriptArgs,
  ScriptKeys,
} from "@holdfast/core";
import type { Settlement } from "./batch.ts";
import { Batching } from "./batching.ts";
import { BucketsMismatchError, InconsistentStockError } from "./errors.ts";
import type { InventoryEvent } from "./events.ts";
import { bucketKeys } from "./keys.ts";
import type { BucketKeys } from "./keys.ts";
import type { CheckedId, Order } from "./order.ts";
import type { ResolvedInventoryOptions } from "./options.ts";
import { parcelOf } from "./parcel.ts";
import type { Parcel } from "./parcel.ts";
import {
  clearScript,
  extendScript,
  lendScript,
  levelsScript,
  openScript,
  outcomeScript,
  receiveScript,
  sweepScript,
} from "./scripts.ts";
import type { ExtendReply, LevelsReply, OutcomeReply, Refusal, SweepReply } from "./scripts.ts";

/** What was answered. `unconfirmed`: too few replicas have what the answer stands on, if it stands on anything. */
export interface Unconfirmed {
  readonly unconfirmed?: NotReplicatedError | undefined;
}

/** The answer to one order, a letter and what follows it, with the server's time. */
export interface Answer extends Unconfirmed {
  readonly answer: string;
  readonly nowMs: number;
}

/** Most holds that one script ends in passing, about 1 ms of the server's time. */
const expireMax = 100;
const formatSupported = 1;

/** The scripts of one bucket. */
export class Bucket {
  readonly index: number;
  readonly keys: BucketKeys;
  readonly resource: string;
  readonly connection: Connection;
  readonly #options: ResolvedInventoryOptions;
  readonly #events: EventSink<InventoryEvent>;
  readonly #inventory: string;
  readonly #layout: string;
  readonly #batching: Batching;
  /** How many of the holds that end late need no look, since they are as long as they were asked for. */
  #lateSkip = 0;

  constructor(
    connection: Connection,
    name: string,
    index: number,
    options: ResolvedInventoryOptions,
    events: EventSink<InventoryEvent>,
  ) {
    this.connection = connection;
    this.index = index;
    this.keys = bucketKeys(options.prefix, name, index);
    this.resource = index === 0 ? `inventory:${name}` : `inventory:${name} (bucket ${index})`;
    this.#inventory = name;
    this.#options = options;
    this.#events = events;
    this.#layout = `${formatSupported}:${options.bucketCount}:`;
    this.#batching = new Batching(this, options);
  }

  /** Carries out an order. @param final whether a shortage here is a "no" */
  apply(order: Order, final: boolean): Promise<Answer> {
    return this.#batching.apply(order, final);
  }

  /** Ends a reservation. @param final whether a shortage here is a "no" */
  settle(settlement: Settlement, final: boolean): Promise<Answer> {
    return this.#batching.settle(settlement, final);
  }

  /** Lets a hold last longer. */
  async extend(
    operation: CheckedId,
    reservation: CheckedId,
    holdMs: number,
  ): Promise<Exclude<ExtendReply, Refusal> & Unconfirmed> {
    const reply = this.accepted(
      await this.ran(
        extendScript,
        this.stockKeys(),
        {
          ...this.common(),
          rememberMs: this.#options.rememberMs,
          operation: operation.word,
          bornMs: operation.bornMs,
          reservation: reservation.word,
          holdMs,
        },
        this.call("extend", reservation.given, operation.given),
      ),
    );
    if (reply.kind === "extended" || reply.kind === "ended") this.returned(reply.lapsed);
    return reply;
  }

  /** Tells what became of an id, and marks one that is absent: sealed, or forwarded to bucket 0. */
  async outcome(id: CheckedId, seal: "s" | "f" = "s"): Promise<Exclude<OutcomeReply, Refusal> & Unconfirmed> {
    const reply = this.accepted(
      await this.ran(
        outcomeScript,
        this.stockKeys(),
        { ...this.common(), rememberMs: this.#options.rememberMs, id: id.word, bornMs: id.bornMs, seal },
        this.call("outcome", id.given, id.given),
      ),
    );
    if (reply.kind !== "forgotten") this.returned(reply.lapsed);
    return reply;
  }

  /** Agrees on the number of buckets; asked of bucket 0. */
  async open(): Promise<void> {
    const { stock } = this.keys;
    // Every script compares the number again, so that a failover which takes it back does no harm.
    this.accepted(await this.connection.run(openScript, { stock }, { layout: this.#layout }, this.#looking("open")));
  }

  /** Takes units out for another bucket. Resolves to the parcel that is to be delivered, or null when there is nothing to lend. */
  async lend(to: number, sku: string, quantity: number): Promise<Parcel | null> {
    const { layout, keepMs } = this.common();
    const reply = this.accepted(
      await this.connection.run(
        lendScript,
        { ...this.stockKeys(), transit: this.keys.transit },
        { layout, keepMs, from: this.index, to, sku, quantity },
        this.call("lend", undefined, "none"),
      ),
    );
    return reply.kind === "empty" ? null : parcelOf(this.index, to, reply.parcel);
  }

  /** Puts a parcel of another bucket on the shelf, once. */
  async receive({ from, number, sku, quantity }: Parcel): Promise<void> {
    const { layout, keepMs } = this.common();
    this.accepted(
      await this.connection.run(
        receiveScript,
        { ...this.stockKeys(), transit: this.keys.transit },
        { layout, keepMs, from, to: this.index, parcelNumber: number, sku, quantity },
        this.call("receive", undefined, "none"),
      ),
    );
  }

  /** Forgets a parcel that was received. */
  async clear({ to, text }: Parcel): Promise<void> {
    const { transit } = this.keys;
    await this.connection.run(clearScript, { transit }, { to, parcel: text }, this.call("clear", undefined, "none"));
  }

  /** Reads counters of escaped skus. */
  async levels(skus: readonly string[]): Promise<LevelsReply> {
    const { transit } = this.keys;
    const reply = this.accepted(
      await this.connection.run(
        levelsScript,
        { ...this.stockKeys(), transit },
        { ...this.common(), skus },
        this.#looking("levels"),
      ),
    );
    this.returned(reply.lapsed);
    return reply;
  }

  /** Returns due holds. */
  async sweep(holdsMax: number): Promise<SweepReply> {
    const reply = this.accepted(
      await this.connection.run(
        sweepScript,
        this.stockKeys(),
        { ...this.common(), expireMax: holdsMax, holdMs: this.#options.holdMs, lateSkip: this.#lateSkip },
        this.#looking("sweep"),
      ),
    );
    this.returned(reply.lapsed);
    // Each sweep goes on where the last one stopped, or long holds would keep it from those that are too long (K8).
    this.#lateSkip = reply.looked < holdsMax ? 0 : this.#lateSkip + reply.looked - reply.shortened;
    return reply;
  }

  /**
   * Runs a script, for whoever can tell from its reply whether anything was done. One with which too few replicas have what it has written is
   * a reply like any other, and says so.
   */
  ran<const Source extends LuaSource, Reply extends object>(
    script: Script<Source, Reply>,
    keys: ScriptKeys<Source>,
    args: ScriptArgs<Source>,
    call: CallOptions,
  ): Promise<Reply & Unconfirmed> {
    return this.connection.runJudged(script, keys, args, call, (reply, unconfirmed) => ({ ...reply, unconfirmed }));
  }

  /** The options of a call, for messages too. */
  call(verb: string, id: string | undefined, operationId: string): CallOptions {
    const { commandTimeoutMs, durability } = this.#options;
    const operation = `inventory.${verb} ${this.resource}${id === undefined ? "" : ` ${id}`}`;
    return { operation, operationId, timeoutMs: commandTimeoutMs, durability };
  }

  /** Of a call that promises nothing but what it answers, so that no replica has to confirm it. */
  #looking(verb: string): CallOptions {
    return { ...this.call(verb, undefined, "none"), durability: undefined };
  }

  /** The reply, unless it is a refusal. @throws NewerFormatError, BucketsMismatchError, InconsistentStockError */
  accepted<Reply extends { readonly kind: string }>(reply: Reply | Refusal): Exclude<Reply, Refusal> {
    const refusal = reply as Refusal;
    switch (refusal.kind) {
      case "form": {
        this.checkFormat(refusal.form);
        const buckets = Number(refusal.form.split(":")[1]);
        throw new BucketsMismatchError(this.resource, this.#options.bucketCount, buckets);
      }
      case "bad-stock":
        throw new InconsistentStockError(this.resource, refusal.field);
      case "bad-order":
        throw new UnexpectedReplyError(this.resource, "an order that was checked", refusal.id);
      default:
        return reply as Exclude<Reply, Refusal>;
    }
  }

  /** @throws NewerFormatError */
  checkFormat(form: string): void {
    const format = Number(form.split(":")[0]);
    if (format !== formatSupported) throw new NewerFormatError(this.resource, format, formatSupported);
  }

  /** The keys that most scripts take. */
  stockKeys(): Pick<BucketKeys, "stock" | "recordsA" | "recordsB" | "due" | "log"> {
    const { stock, recordsA, recordsB, due, log } = this.keys;
    return { stock, recordsA, recordsB, due, log };
  }

  /** Arguments that most scripts take. */
  common(): { layout: string; keepMs: number; expireMax: number } {
    return { layout: this.#layout, keepMs: this.#options.keepMs, expireMax };
  }

  /** Tells observers of holds that a script has returned in passing. */
  returned(lapsed: number): void {
    if (lapsed === 0) return;
    this.#events.emit(() => ({ type: "expired", inventory: this.#inventory, bucket: this.index, count: lapsed }));
  }
}
