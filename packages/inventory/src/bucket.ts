/**
 * One bucket of an inventory: everything of one Cluster slot. Sends orders of one tick as one script (layouts of a hot sku and of a
 * thousand skus alike), turns refusals into errors, and tells observers of holds that were returned in passing.
 */
import { createHash } from "node:crypto";
import {
  Coalescer,
  NewerFormatError,
  NotReplicatedError,
  OutcomeUnknownError,
  UnexpectedReplyError,
} from "@holdfast/core";
import type { CallOptions, Connection, EventSink } from "@holdfast/core";
import { BucketsMismatchError, InconsistentStockError } from "./errors.ts";
import type { InventoryEvent } from "./events.ts";
import { bucketKeys } from "./keys.ts";
import type { BucketKeys } from "./keys.ts";
import type { Basket } from "./lines.ts";
import type { CheckedId, Order } from "./order.ts";
import type { ResolvedInventoryOptions } from "./options.ts";
import {
  applyScript,
  clearScript,
  extendScript,
  lendScript,
  levelsScript,
  openScript,
  outcomeScript,
  receiveScript,
  settleScript,
  sweepScript,
} from "./scripts.ts";
import type { Answers, ExtendReply, LevelsReply, OutcomeReply, Refusal, SweepReply } from "./scripts.ts";

/** The answer to one order, a letter and what follows it, with the server's time. */
export interface Answer {
  readonly answer: string;
  readonly nowMs: number;
}

/** An end of a reservation as settle.lua gets it. */
export interface Settlement {
  readonly id: CheckedId;
  readonly what: "c" | "k" | "r";
  readonly operationId: string;
  /** The part to confirm; all without it. */
  readonly part: Basket | undefined;
}

/** Units on their way from one bucket to another. */
export interface Parcel {
  readonly from: number;
  readonly to: number;
  readonly number: string;
  /** Escaped. */
  readonly sku: string;
  readonly quantity: string;
  /** As it is on record. */
  readonly text: string;
}

/** The parcel on record in bucket `from` for bucket `to`. */
export function parcelOf(from: number, to: number, text: string): Parcel {
  const [number = "", sku = "", quantity = ""] = text.split(" ");
  return { from, to, number, sku, quantity, text };
}

/** Most holds that one script ends in passing, about 1 ms of the server's time, and about how many lines of them. */
const expireMax = 100;
const expireLinesMax = 1_000;
/** Lines in one script: longer baskets travel alone. */
const batchLinesMax = 1_000;
const formatSupported = 1;

/** A name for an operation, short enough to be kept with each record. */
export function markOf(operationId: string): string {
  return createHash("sha256").update(operationId).digest("base64url").slice(0, 8);
}

/** What became of a shared request, as the caller of one part of it needs it: under its own operation id. */
export function named(error: unknown, operation: string, operationId: string, durabilityMs = 0): unknown {
  if (error instanceof NotReplicatedError) {
    const { replicasWanted, replicasConfirmed } = error;
    return new NotReplicatedError(operation, operationId, replicasWanted, replicasConfirmed, durabilityMs);
  }
  if (!(error instanceof OutcomeUnknownError)) return error;
  return new OutcomeUnknownError(operation, operationId, { cause: error, why: "its request was lost" });
}

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
  readonly #orders: Coalescer<Order, Answer>;
  readonly #trials: Coalescer<Order, Answer>;
  readonly #settlements: Coalescer<Settlement, Answer>;
  readonly #trialSettlements: Coalescer<Settlement, Answer>;

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
    const { coalesceMax } = options;
    this.#orders = new Coalescer(coalesceMax, (items) => this.#applyAll(items, true));
    this.#trials = new Coalescer(coalesceMax, (items) => this.#applyAll(items, false));
    this.#settlements = new Coalescer(coalesceMax, (items) => this.#settleAll(items, true));
    this.#trialSettlements = new Coalescer(coalesceMax, (items) => this.#settleAll(items, false));
  }

  /** Carries out an order. @param final whether a shortage here is a "no" */
  apply(order: Order, final: boolean): Promise<Answer> {
    return (final ? this.#orders : this.#trials).add(order);
  }

  /** Ends a reservation. @param final whether a shortage here is a "no" */
  settle(settlement: Settlement, final: boolean): Promise<Answer> {
    return (final ? this.#settlements : this.#trialSettlements).add(settlement);
  }

  /** Lets a hold last longer. */
  async extend(operation: CheckedId, reservation: CheckedId, holdMs: number): Promise<Exclude<ExtendReply, Refusal>> {
    const reply = this.accepted(
      await this.connection.run(
        extendScript,
        this.#stockKeys(),
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
    if (reply.kind === "extended" || reply.kind === "ended") this.#returned(reply.lapsed);
    return reply;
  }

  /** Tells what became of an id, and marks one that is absent: sealed, or forwarded to bucket 0. */
  async outcome(id: CheckedId, seal: "s" | "f" = "s"): Promise<Exclude<OutcomeReply, Refusal>> {
    const reply = this.accepted(
      await this.connection.run(
        outcomeScript,
        this.#stockKeys(),
        { ...this.common(), rememberMs: this.#options.rememberMs, id: id.word, bornMs: id.bornMs, seal },
        this.call("outcome", id.given, id.given),
      ),
    );
    if (reply.kind !== "forgotten") this.#returned(reply.lapsed);
    return reply;
  }

  /** Agrees on the number of buckets; asked of bucket 0. */
  async open(): Promise<void> {
    const { stock } = this.keys;
    const call = this.call("open", undefined, "none");
    this.accepted(await this.connection.run(openScript, { stock }, { layout: this.#layout }, call));
  }

  /** Takes units out for another bucket. Resolves to the parcel that is to be delivered, or null when there is nothing to lend. */
  async lend(to: number, sku: string, quantity: number): Promise<Parcel | null> {
    const { layout, keepMs } = this.common();
    const reply = this.accepted(
      await this.connection.run(
        lendScript,
        { ...this.#stockKeys(), transit: this.keys.transit },
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
        { ...this.#stockKeys(), transit: this.keys.transit },
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
        { ...this.#stockKeys(), transit },
        { ...this.common(), skus },
        this.call("levels", undefined, "none"),
      ),
    );
    this.#returned(reply.lapsed);
    return reply;
  }

  /** Returns due holds. */
  async sweep(holdsMax: number): Promise<SweepReply> {
    const reply = this.accepted(
      await this.connection.run(
        sweepScript,
        this.#stockKeys(),
        { ...this.common(), expireMax: holdsMax, linesMax: holdsMax * 10, holdMs: this.#options.holdMs },
        this.call("sweep", undefined, "none"),
      ),
    );
    this.#returned(reply.lapsed);
    return reply;
  }

  /** The options of a call, for messages too. */
  call(verb: string, id: string | undefined, operationId: string): CallOptions {
    const { commandTimeoutMs, durability } = this.#options;
    const operation = `inventory.${verb} ${this.resource}${id === undefined ? "" : ` ${id}`}`;
    return { operation, operationId, timeoutMs: commandTimeoutMs, durability };
  }

  /** The reply, unless it is a refusal. @throws NewerFormatError, BucketsMismatchError, InconsistentStockError */
  accepted<Reply extends { readonly kind: string }>(reply: Reply | Refusal): Exclude<Reply, Refusal> {
    const refusal = reply as Refusal;
    switch (refusal.kind) {
      case "form": {
        const [format, buckets] = refusal.form.split(":");
        if (Number(format) !== formatSupported)
          throw new NewerFormatError(this.resource, Number(format), formatSupported);
        throw new BucketsMismatchError(this.resource, this.#options.bucketCount, Number(buckets));
      }
      case "bad-stock":
        throw new InconsistentStockError(this.resource, refusal.field);
      case "bad-order":
        throw new UnexpectedReplyError(this.resource, "an order that was checked", refusal.id);
      default:
        return reply as Exclude<Reply, Refusal>;
    }
  }

  #stockKeys(): Pick<BucketKeys, "stock" | "recordsA" | "recordsB" | "due" | "log"> {
    const { stock, recordsA, recordsB, due, log } = this.keys;
    return { stock, recordsA, recordsB, due, log };
  }

  /** Arguments that most scripts take. */
  common(): { layout: string; keepMs: number; expireMax: number; linesMax: number } {
    return { layout: this.#layout, keepMs: this.#options.keepMs, expireMax, linesMax: expireLinesMax };
  }

  #returned(lapsed: number): void {
    if (lapsed === 0) return;
    this.#events.emit(() => ({ type: "expired", inventory: this.#inventory, bucket: this.index, count: lapsed }));
  }

  #answers(reply: Answers | Refusal, count: number): Answer[] {
    const { nowUs, lapsed, answers } = this.accepted(reply);
    if (answers.length !== count) throw new UnexpectedReplyError(this.resource, `${count} answers`, answers);
    this.connection.observeTime(this.keys.stock, nowUs);
    this.#returned(lapsed);
    const nowMs = Math.floor(nowUs / 1_000);
    return answers.map((answer) => ({ answer, nowMs }));
  }

  #applyAll(items: readonly Order[], final: boolean): Promise<readonly Answer[]> {
    return inParts(
      items,
      ({ basket }) => basket.skus.length,
      async (orders) => {
        const fields = new Set<string>();
        const ids: string[] = [];
        const list: (string | number)[] = [];
        for (const { id, operation, holdMs, flag, reference, basket } of orders) {
          const { skus, quantities, text } = basket;
          ids.push(id.word);
          const born = id.bornMs === 0 ? "" : String(id.bornMs).padStart(13, "0");
          const letter = born === "" ? operation : operation.toUpperCase();
          list.push(operation === "v" ? `${letter}${born}${holdMs}` : `${letter}${born}`);
          list.push(`${flag} ${reference} ${text}`, skus.length);
          const sign = operation === "k" || operation === "j" ? -1 : 1;
          for (let index = 0; index < skus.length; index += 1) {
            const sku = skus[index] as string;
            list.push(sku, sign * (quantities[index] as number));
            fields.add(sku);
            if (operation !== "d") fields.add(`r#${sku}`);
          }
        }
        const [{ id }] = orders as [Order];
        const reply = await this.connection.run(
          applyScript,
          this.#stockKeys(),
          {
            ...this.common(),
            rememberMs: this.#options.rememberMs,
            final: final ? "1" : "0",
            itemCount: orders.length,
            fieldCount: fields.size,
            items: [...fields, ...ids, ...list],
          },
          this.call("apply", undefined, id.given),
        );
        return this.#answers(reply, orders.length);
      },
    );
  }

  #settleAll(items: readonly Settlement[], final: boolean): Promise<readonly Answer[]> {
    return inParts(
      items,
      ({ part }) => part?.skus.length ?? 1,
      async (settlements) => {
        const list: (string | number)[] = [];
        for (const { id, what, operationId, part } of settlements) {
          list.push(id.word, what, markOf(operationId), part?.skus.length ?? 0);
          for (const [index, sku] of part?.skus.entries() ?? []) list.push(sku, part?.quantities[index] as number);
        }
        const [{ operationId }] = settlements as [Settlement];
        const reply = await this.connection.run(
          settleScript,
          this.#stockKeys(),
          { ...this.common(), final: final ? "1" : "0", itemCount: settlements.length, items: list },
          this.call("settle", undefined, operationId),
        );
        return this.#answers(reply, settlements.length);
      },
    );
  }
}

/** Sends items so that no script sees an id twice or too many lines, each part after the one before it. */
async function inParts<Item extends { readonly id: CheckedId }>(
  items: readonly Item[],
  linesOf: (item: Item) => number,
  send: (part: readonly Item[]) => Promise<readonly Answer[]>,
): Promise<readonly Answer[]> {
  const ids = new Set<string>();
  let lines = 0;
  for (const [index, item] of items.entries()) {
    lines += linesOf(item);
    if (index > 0 && (lines > batchLinesMax || ids.has(item.id.word))) {
      const first = await send(items.slice(0, index));
      return [...first, ...(await inParts(items.slice(index), linesOf, send))];
    }
    ids.add(item.id.word);
  }
  return send(items);
}
