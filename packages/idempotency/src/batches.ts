/**
 * Claims, and outcomes, that are asked for in one tick travel as one script: what a request costs on both sides is then paid once for many
 * keys. The keys do not depend on each other, and one that meets an error asks again by itself, where the error is its own.
 *
 * On a Cluster keys lie in different slots, and each goes by itself. So does a call that must be done before others of its tick need to be.
 */
import { ambientPatienceMs, Coalescer, RedisRefusedError } from "@holdfast/core";
import type { CallOptions } from "@holdfast/core";
import type { LeaseData } from "./attempt.ts";
import type { ResolvedIdempotencyOptions } from "./options.ts";

/** The answer to one of many that fails, and would fail the others. */
export interface Alone {
  readonly kind: "alone";
}

/** The answers to many: one for each, or one that all of them get. */
export type Replies<Reply> = Reply | readonly (Reply | Alone)[];

/** Where larger batches were slower: the server begins with one when it has it all. */
const itemsMax = 32;

/** What is sent together. */
export interface BatchSettings<Item, Reply> {
  readonly verb: string;
  /** False where every call goes by itself. */
  readonly together: boolean;
  readonly options: Pick<ResolvedIdempotencyOptions, "commandTimeoutMs" | "durability">;
  readonly send: (items: readonly Item[], call: CallOptions) => Promise<Replies<Reply>>;
}

/** The requests of one kind. */
export class Batches<Item extends LeaseData, Reply extends { readonly kind: string }> {
  readonly #settings: BatchSettings<Item, Reply>;
  readonly #together: Coalescer<Item, Reply | Alone> | undefined;

  constructor(settings: BatchSettings<Item, Reply>) {
    this.#settings = settings;
    this.#together = settings.together ? new Coalescer(itemsMax, (items) => this.#send(items)) : undefined;
  }

  /**
   * Asks; the answer to one of many may be that it has to ask again, alone.
   * @param alone whether it goes by itself in any case
   */
  ask(item: Item, alone: boolean): Promise<Reply | Alone> {
    const hurried = ambientPatienceMs() < this.#settings.options.commandTimeoutMs;
    if (!alone && !hurried && this.#together !== undefined) return this.#together.add(item);
    return this.#send([item]).then(([reply]) => reply as Reply);
  }

  async #send(items: readonly Item[]): Promise<readonly (Reply | Alone)[]> {
    const [first] = items as readonly [Item];
    const verb = `idempotency.${this.#settings.verb}`;
    if (items.length === 1) return this.#ask(items, this.#call(`${verb} ${first.place.resource}`, first.owner));
    try {
      // An error is told to all of them, and the keys of one are not the business of another.
      return await this.#ask(items, this.#call(`${verb} of ${items.length} keys`, "of each key"));
    } catch (error) {
      // Refused as a whole, be it for one key that this user may not touch. What was done before is found by the repeat (K1).
      if (error instanceof RedisRefusedError) return items.map(() => ({ kind: "alone" }));
      withholdCommand(error);
      throw error;
    }
  }

  async #ask(items: readonly Item[], call: CallOptions): Promise<readonly (Reply | Alone)[]> {
    const replies = await this.#settings.send(items, call);
    return "kind" in replies ? items.map(() => replies) : replies;
  }

  #call(operation: string, operationId: string): CallOptions {
    const { commandTimeoutMs: timeoutMs, durability } = this.#settings.options;
    return { operation, operationId, timeoutMs, durability };
  }
}

/** The client attaches the command to its errors, with the keys and the results of all. */
function withholdCommand(error: unknown): void {
  for (let part = error; part instanceof Error; part = part.cause) {
    if ("command" in part) delete part.command;
  }
}
