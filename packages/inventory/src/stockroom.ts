/**
 * Which bucket does what. Without hot skus there is one, and every call is one request. With hot skus an id is decided by the bucket that
 * it hashes to: a basket of hot skus is carried out right there, any other in bucket 0, to which the deciding bucket then points. Units
 * that are short in one bucket are gathered from the others (gathering.ts).
 */
import { ambientRemainingMs, NotReplicatedError, OutcomeUnknownError } from "@holdfast/core";
import type { Connection, EventSink } from "@holdfast/core";
import type { Settlement } from "./batch.ts";
import { Bucket } from "./bucket.ts";
import type { Answer, Unconfirmed } from "./bucket.ts";
import type { InventoryEvent } from "./events.ts";
import { Gathering } from "./gathering.ts";
import { bucketOf } from "./keys.ts";
import type { Basket } from "./lines.ts";
import type { CheckedId, Order } from "./order.ts";
import type { ResolvedInventoryOptions } from "./options.ts";
import { escapeWord } from "./packed-text.ts";
import { decodeRecord } from "./record.ts";

type ExtendReply = Awaited<ReturnType<Bucket["extend"]>>;
type OutcomeReply = Awaited<ReturnType<Bucket["outcome"]>>;
type Known = Extract<OutcomeReply, { kind: "known" }>;

/** Says in a record that bucket 0 decides. */
const forwarded = "f";
/** Rounds of looking for units, for each bucket; then it is too busy to tell. */
const roundsPerBucket = 4;

/** The buckets of one inventory. */
export class Stockroom {
  readonly buckets: readonly Bucket[];
  readonly main: Bucket;
  readonly gathering: Gathering;
  readonly #hotSkus: ReadonlySet<string>;
  #isOpen = false;

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
    this.gathering = new Gathering(name, this.buckets, events);
    this.#hotSkus = options.hotSkus;
  }

  /** Makes sure that all clients agree on the number of buckets. Each caller asks, and waits for as long as it may, until one has heard. */
  async opened(): Promise<void> {
    if (this.#isOpen) return;
    await this.main.open();
    this.#isOpen = true;
  }

  /** Carries out an order. */
  apply(order: Order): Promise<Answer> {
    return this.buckets.length === 1 ? this.main.apply(order, true) : this.#applySpread(order);
  }

  /** Ends a reservation. */
  settle(settlement: Settlement): Promise<Answer> {
    return this.buckets.length === 1 ? this.main.settle(settlement, true) : this.#settleSpread(settlement);
  }

  async #applySpread(order: Order): Promise<Answer> {
    await this.opened();
    const { id, basket } = order;
    const home = this.#homeOf(id);
    const wanted = takenBy(order);
    if (home !== this.main && !basket.skus.every((sku) => this.#hotSkus.has(sku))) {
      const claim = await home.outcome(id, forwarded);
      if (claim.kind === "sealed" && claim.unconfirmed !== undefined) throw unprepared(claim.unconfirmed);
      // Bucket 0 knows best whether it is forgotten: a hold may live longer than what points to it.
      if (claim.kind === "known" && !claim.record.startsWith(forwarded)) {
        return this.#unlessInMain(id, answerOf(claim));
      }
      return this.#gathered(
        this.main,
        () => wanted,
        (final) => this.main.apply(order, final),
      );
    }
    const answer = await this.#gathered(
      home,
      () => wanted,
      (final) => home.apply(order, final),
    );
    if (!answer.answer.startsWith(`=${forwarded}`)) return this.#unlessInMain(id, answer);
    return this.#gathered(
      this.main,
      () => wanted,
      (final) => this.main.apply(order, final),
    );
  }

  async #settleSpread(settlement: Settlement): Promise<Answer> {
    await this.opened();
    const { part } = settlement;
    const wantedBy = part === undefined ? heldIn : () => quantitiesOf(part);
    const at = (bucket: Bucket): Promise<Answer> =>
      this.#gathered(bucket, wantedBy, (final) => bucket.settle(settlement, final));
    const home = this.#homeOf(settlement.id);
    const answer = await at(home);
    if (home === this.main || !/^(a|wf)/u.test(answer.answer)) return answer;
    const there = await at(this.main);
    // That nothing can be reserved any more under an id that is nowhere has to hold in both.
    return there.answer.startsWith("a") ? alike(there, answer) : there;
  }

  /** Lets a hold last longer. */
  async extend(operation: CheckedId, reservation: CheckedId, holdMs: number): Promise<ExtendReply> {
    if (this.buckets.length > 1) await this.opened();
    const home = this.#homeOf(reservation);
    const reply = await home.extend(operation, reservation, holdMs);
    const elsewhere = reply.kind === "ended" && /^(|[sf].*)$/u.test(reply.record);
    return home !== this.main && elsewhere ? this.main.extend(operation, reservation, holdMs) : reply;
  }

  /** Tells what became of an id. */
  async outcome(id: CheckedId): Promise<OutcomeReply> {
    if (this.buckets.length > 1) await this.opened();
    const home = this.#homeOf(id);
    const reply = await home.outcome(id);
    const elsewhere = reply.kind !== "known" || /^[sf]/u.test(reply.record);
    if (home === this.main || !elsewhere) return reply;
    const there = await this.main.outcome(id);
    return there.kind === "sealed" ? alike(there, reply) : there;
  }

  /** The answer, unless it is of an id that was sealed after its pointer was forgotten: then what bucket 0 knows of it (V8). */
  async #unlessInMain(id: CheckedId, answer: Answer): Promise<Answer> {
    if (!answer.answer.startsWith("=s") || this.#homeOf(id) === this.main) return answer;
    const reply = await this.main.outcome(id);
    return reply.kind === "known" ? answerOf(reply) : answer;
  }

  #homeOf(id: CheckedId): Bucket {
    return this.buckets[bucketOf(id.word, this.buckets.length)] as Bucket;
  }

  /** Asks, and as long as the bucket is short asks again with what the other buckets have. */
  async #gathered(
    bucket: Bucket,
    wantedBy: (answer: Answer) => ReadonlyMap<string, number>,
    ask: (final: boolean) => Promise<Answer>,
  ): Promise<Answer> {
    for (let round = 0; round < roundsPerBucket * this.buckets.length; round += 1) {
      const answer = await ask(false);
      if (!answer.answer.startsWith("s")) return answer;
      const gathered = await preparing(this.gathering.gather(bucket, wantedBy(answer)));
      if (gathered === "nothing") return ask(true);
      if (ambientRemainingMs() === 0) break;
    }
    return { answer: "b", nowMs: 0 };
  }
}

/** A step before the one that was asked for. When too few replicas have it, that stands, and nothing that was asked for does. */
export async function preparing<Result>(step: Promise<Result>): Promise<Result> {
  try {
    return await step;
  } catch (error) {
    throw error instanceof NotReplicatedError ? unprepared(error) : error;
  }
}

function unprepared(error: NotReplicatedError): OutcomeUnknownError {
  return new OutcomeUnknownError("a step before it", error.operationId, { cause: error, why: error.message });
}

/** A record as the answer of an order. */
function answerOf({ record, nowUs, unconfirmed }: Known): Answer {
  return { answer: `=${record}`, nowMs: Math.floor(nowUs / 1_000), unconfirmed };
}

/** An answer that stands on what two buckets have. */
function alike<Result extends Unconfirmed>(one: Result, other: Unconfirmed): Result {
  return { ...one, unconfirmed: one.unconfirmed ?? other.unconfirmed };
}

/** Quantities by escaped sku. */
function quantitiesOf({ skus, quantities }: Basket): ReadonlyMap<string, number> {
  return new Map(skus.map((sku, index) => [sku, quantities[index] as number]));
}

/** What an order takes off the shelf; an adjustment may also bring. */
function takenBy({ operation, basket }: Order): ReadonlyMap<string, number> {
  if (operation !== "j") return quantitiesOf(basket);
  const taken = [...quantitiesOf(basket)].filter(([, quantity]) => quantity < 0);
  return new Map(taken.map(([sku, quantity]) => [sku, -quantity]));
}

/** The lines of the reservation that an answer of settle.lua carries. */
function heldIn({ answer }: Answer): ReadonlyMap<string, number> {
  const { taken } = decodeRecord("inventory.confirm", answer.slice(1));
  return new Map(taken.map(({ sku, quantity }) => [escapeWord(sku), quantity]));
}
