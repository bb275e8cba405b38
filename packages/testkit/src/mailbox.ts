/**
 * What has arrived and was not taken yet. Each item is taken once, by whoever asked for it first.
 */

interface Waiter<T> {
  readonly accepts: (item: T) => boolean;
  readonly resolve: (item: T) => void;
  readonly reject: (error: Error) => void;
}

/** An inbox with selective receive. */
export class Mailbox<T> {
  readonly #items: T[] = [];
  readonly #itemsMax: number;
  readonly #waiters = new Set<Waiter<T>>();
  #closedBy: (() => Error) | undefined;

  /** @param itemsMax of more that nobody takes the oldest go. Default none go. */
  constructor(itemsMax: number = Number.POSITIVE_INFINITY) {
    this.#itemsMax = itemsMax;
  }

  /** Adds an item; the oldest waiter that accepts it gets it. */
  put(item: T): void {
    for (const waiter of this.#waiters) {
      if (!waiter.accepts(item)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(item);
      return;
    }
    if (this.#items.push(item) > this.#itemsMax) this.#items.shift();
  }

  /** Nothing will arrive any more: waiters are rejected with `error`. Items that are there can still be taken. */
  close(error: () => Error): void {
    this.#closedBy = error;
    for (const waiter of this.#waiters) waiter.reject(error());
    this.#waiters.clear();
  }

  /**
   * Takes the oldest item that `accepts` accepts, waiting for it when there is none.
   *
   * @throws Error after `timeoutMs`, or when the mailbox is closed.
   */
  take(accepts: (item: T) => boolean, what: string, timeoutMs: number): Promise<T> {
    const index = this.#items.findIndex(accepts);
    const [item] = index === -1 ? [] : this.#items.splice(index, 1);
    if (item !== undefined) return Promise.resolve(item);
    if (this.#closedBy !== undefined) return Promise.reject(this.#closedBy());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => {
          this.#waiters.delete(waiter);
          reject(new Error(`Waited ${timeoutMs} ms in vain: ${what}.`));
        },
        Math.min(timeoutMs, 0x7fffffff),
      );
      const waiter: Waiter<T> = {
        accepts,
        resolve(taken) {
          clearTimeout(timer);
          resolve(taken);
        },
        reject(error) {
          clearTimeout(timer);
          reject(error);
        },
      };
      this.#waiters.add(waiter);
    });
  }
}
