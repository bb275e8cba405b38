/**
 * Collects the calls of one tick and sends them together: one script for many items of a slot. Each item has its own outcome; when the
 * answer is lost, it is lost for the whole batch, and each item can be repeated under its own operation id.
 */
import { withoutAmbientDeadline } from "./ambient-deadline.ts";

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** @typeParam Item what is sent, @typeParam Result what each item gets */
export class Coalescer<Item, Result> {
  readonly #itemsMax: number;
  readonly #send: (items: readonly Item[]) => Promise<readonly Result[]>;
  #waiting: Waiting<Item, Result>[] = [];
  readonly #onTick = (): void => this.#flush();

  /**
   * @param itemsMax most items in one batch
   * @param send resolves to one result per item, in order
   */
  constructor(itemsMax: number, send: (items: readonly Item[]) => Promise<readonly Result[]>) {
    this.#itemsMax = itemsMax;
    this.#send = send;
  }

  /** Joins the batch of this tick. Rejects with what `send` fails with. */
  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (this.#waiting.length >= this.#itemsMax) this.#flush();
      else if (this.#waiting.length === 1) process.nextTick(this.#onTick);
    });
  }

  #flush(): void {
    const batch = this.#waiting;
    if (batch.length === 0) return;
    this.#waiting = [];
    const items = batch.map(({ item }) => item);
    // The batch belongs to many callers, so none of their deadlines is its own.
    const sent = withoutAmbientDeadline(async () => this.#send(items));
    sent.then(
      (results) => {
        for (const [index, { resolve, reject }] of batch.entries()) {
          if (index < results.length) resolve(results[index] as Result);
          else reject(new Error(`a batch of ${batch.length} items got ${results.length} results`));
        }
      },
      (error: unknown) => {
        for (const { reject } of batch) reject(error);
      },
    );
  }
}
