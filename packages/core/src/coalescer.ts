/**
 * Collects the calls of one tick and sends them together: one script for many items of a slot. Each item has its own outcome; when the
 * answer is lost, it is lost for the whole batch, and each item can be repeated under its own operation id.
 *
 * A batch belongs to many callers: it goes on for as long as the one with the latest ambient deadline waits, or one that has none, and
 * whoever must be done earlier leaves it earlier.
 */
import { ambientDeadline, ambientPatienceMs, withAmbientDeadline, withoutAmbientDeadline } from "./ambient-deadline.ts";
import type { Clock, TimerHandle } from "./clock.ts";
import { OutcomeUnknownError } from "./errors.ts";

interface Waiting<Item, Result> {
  readonly item: Item;
  /** What the caller's ambient deadline left when it asked. */
  readonly patienceMs: number;
  readonly patienceClock: Clock | undefined;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** @typeParam Item what is sent, @typeParam Result what each item gets */
export class Coalescer<Item, Result> {
  readonly #itemsMax: number;
  readonly #send: (items: readonly Item[]) => Promise<readonly (Result | Error)[]>;
  #waiting: Waiting<Item, Result>[] = [];
  readonly #onTick = (): void => this.#flush();

  /**
   * @param itemsMax most items in one batch
   * @param send resolves to one result per item, in order; an error is what this item's caller gets
   */
  constructor(itemsMax: number, send: (items: readonly Item[]) => Promise<readonly (Result | Error)[]>) {
    this.#itemsMax = itemsMax;
    this.#send = send;
  }

  /** Joins the batch of this tick. Rejects with what `send` fails with, or has for this item. */
  add(item: Item): Promise<Result> {
    const patienceMs = ambientPatienceMs();
    const patienceClock = patienceMs === Infinity ? undefined : ambientDeadline()?.clock;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, patienceMs, patienceClock, resolve, reject });
      if (this.#waiting.length >= this.#itemsMax) this.#flush();
      else if (this.#waiting.length === 1) process.nextTick(this.#onTick);
    });
  }

  #flush(): void {
    const batch = this.#waiting;
    if (batch.length === 0) return;
    this.#waiting = [];
    let last = batch[0] as Waiting<Item, Result>;
    for (const waiting of batch) if (waiting.patienceMs > last.patienceMs) last = waiting;
    const hurried = batch
      .filter(({ patienceMs }) => patienceMs < last.patienceMs)
      .map((waiting) => leaveInTime(waiting));
    const items = batch.map(({ item }) => item);
    const send = async (): Promise<readonly (Result | Error)[]> => this.#send(items);
    const sent = withoutAmbientDeadline(() =>
      last.patienceClock === undefined ? send() : withAmbientDeadline(last.patienceMs, send, last.patienceClock),
    );
    const settle = (tell: (waiting: Waiting<Item, Result>, index: number) => void): void => {
      for (const cancel of hurried) cancel();
      batch.forEach(tell);
    };
    sent.then(
      (results) =>
        settle(({ resolve, reject }, index) => {
          const result = results[index];
          if (index >= results.length)
            reject(new Error(`a batch of ${batch.length} items got ${results.length} results`));
          else if (result instanceof Error) reject(result);
          else resolve(result as Result);
        }),
      (error: unknown) => settle(({ reject }) => reject(error)),
    );
  }
}

/** Rejects when the caller's ambient deadline has come before the answer; returns what disarms it. */
function leaveInTime<Item, Result>({ patienceMs, patienceClock, reject }: Waiting<Item, Result>): () => void {
  if (patienceClock === undefined) return () => undefined;
  const clock = patienceClock;
  const why = `no answer within ${Math.ceil(patienceMs)} ms, which is all that the ambient deadline left`;
  const leave = (): void => reject(new OutcomeUnknownError("a request of many callers", "none", { why }));
  const timer: TimerHandle = clock.setTimer(leave, patienceMs, true);
  return () => clock.clearTimer(timer);
}
