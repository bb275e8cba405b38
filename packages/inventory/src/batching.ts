/**
 * Sends the orders and ends of one tick to a bucket as one script, as far as it has room for their lines (layouts of a hot sku and of a
 * thousand skus alike), else as several, each after the one before it.
 */
import { Coalescer, nextStartMs, RedisUnavailableError, UnexpectedReplyError } from "@holdfast/core";
import type { CallOptions } from "@holdfast/core";
import {
  asOneOrAlone,
  inParts,
  linesOfOrder,
  linesOfSettlement,
  orderArguments,
  settlementArguments,
  untilAll,
} from "./batch.ts";
import type { Settlement } from "./batch.ts";
import type { Answer, Bucket, Unconfirmed } from "./bucket.ts";
import type { ResolvedInventoryOptions } from "./options.ts";
import type { Order } from "./order.ts";
import { applyScript, settleScript } from "./scripts.ts";
import type { Answers, Refusal } from "./scripts.ts";

function notLookedAt(result: Answer | Error): boolean {
  return !(result instanceof Error) && result.answer === "l";
}

/** What is sent to one bucket together. */
export class Batching {
  readonly #bucket: Bucket;
  readonly #options: ResolvedInventoryOptions;
  readonly #orders: Coalescer<Order, Answer>;
  readonly #trials: Coalescer<Order, Answer>;
  readonly #settlements: Coalescer<Settlement, Answer>;
  readonly #trialSettlements: Coalescer<Settlement, Answer>;

  constructor(bucket: Bucket, options: ResolvedInventoryOptions) {
    this.#bucket = bucket;
    this.#options = options;
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

  #answers(reply: (Answers | Refusal) & Unconfirmed, count: number): Answer[] {
    const { unconfirmed } = reply;
    const { nowUs, lapsed, answers } = this.#bucket.accepted<Answers>(reply);
    if (answers.length !== count) throw new UnexpectedReplyError(this.#bucket.resource, `${count} answers`, answers);
    this.#bucket.connection.observeTime(this.#bucket.keys.stock, nowUs);
    this.#bucket.returned(lapsed);
    const nowMs = Math.floor(nowUs / 1_000);
    return answers.map((answer) => (unconfirmed === undefined ? { answer, nowMs } : { answer, nowMs, unconfirmed }));
  }

  /** The options of the scripts of one batch, of which each waits for the one before: all of them have the time that one call has. */
  #inTurn(verb: string): (operationId: string) => CallOptions {
    const { clock } = this.#bucket.connection;
    const { durability } = this.#options;
    let startMs: number | undefined;
    return (operationId) => {
      const call = this.#bucket.call(verb, undefined, operationId);
      startMs = startMs === undefined ? clock.monotonicMs() : nextStartMs(startMs, { clock, durability });
      const timeoutMs = Math.ceil(call.timeoutMs - (clock.monotonicMs() - startMs));
      if (timeoutMs > 0) return { ...call, timeoutMs };
      const advice = "the scripts before it in its batch took all of its time; try again";
      throw new RedisUnavailableError(call.operation, "UNREACHABLE", advice);
    };
  }

  #applyAll(items: readonly Order[], final: boolean): Promise<readonly (Answer | Error)[]> {
    const callOf = this.#inTurn("apply");
    return inParts(items, linesOfOrder, (part) =>
      asOneOrAlone(part, async (orders) => {
        const args = {
          ...this.#bucket.common(),
          rememberMs: this.#options.rememberMs,
          ...orderArguments(orders, final, this.#options.bucketCount > 1),
        };
        const call = callOf((orders[0] as Order).id.given);
        return this.#answers(await this.#bucket.ran(applyScript, this.#bucket.stockKeys(), args, call), orders.length);
      }),
    );
  }

  #settleAll(items: readonly Settlement[], final: boolean): Promise<readonly (Answer | Error)[]> {
    const callOf = this.#inTurn("settle");
    const send = async (settlements: readonly Settlement[]): Promise<Answer[]> => {
      const args = { ...this.#bucket.common(), ...settlementArguments(settlements, final) };
      const call = callOf((settlements[0] as Settlement).operationId);
      const reply = await this.#bucket.ran(settleScript, this.#bucket.stockKeys(), args, call);
      return this.#answers(reply, settlements.length);
    };
    return inParts(items, linesOfSettlement, (part) => untilAll(part, notLookedAt, (some) => asOneOrAlone(some, send)));
  }
}
