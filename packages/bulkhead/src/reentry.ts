/**
 * Finds calls that would wait for their own caller. Work is marked in its asynchronous context only when it takes the last permit and no
 * other marked work holds one: as long as a permit is free nobody waits, and of callers that hold all permits and wait for each other one
 * is marked, so that its refusal frees the others. All other work pays nothing.
 */
import { AsyncLocalStorage } from "node:async_hooks";

/** Marked work, from its start until it gives its permit back. */
export class HeldPermit {
  readonly #bulkhead: object;
  #outer: HeldPermit | undefined;
  #ended = false;

  constructor(bulkhead: object) {
    this.#bulkhead = bulkhead;
    const outer = HeldPermit.#lasting(storage.getStore());
    // Work that has ended is passed by, so that a loop of calls, each made within the one before, keeps none of them.
    if (outer !== undefined) outer.#outer = HeldPermit.#lasting(outer.#outer);
    this.#outer = outer;
  }

  /** The innermost that still has its permit. */
  static #lasting(held: HeldPermit | undefined): HeldPermit | undefined {
    let lasting = held;
    while (lasting !== undefined && lasting.#ended) lasting = lasting.#outer;
    return lasting;
  }

  /** Whether the running work belongs to marked work of this bulkhead. */
  static isHeldBy(bulkhead: object): boolean {
    let held = storage.getStore();
    while (held !== undefined) {
      if (held.#bulkhead === bulkhead && !held.#ended) return true;
      held = held.#outer;
    }
    return false;
  }

  /** Runs the marked work. */
  run<Value>(work: () => Value): Value {
    return storage.run(this, work);
  }

  /** The permit is back: what the work has left behind may call again. */
  end(): void {
    this.#ended = true;
  }
}

const storage = new AsyncLocalStorage<HeldPermit | undefined>();
