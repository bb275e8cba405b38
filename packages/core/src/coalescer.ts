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
import { follow } from "./follow.ts";
import type { WorkOwner } from "./follow.ts";

/** What a caller waits for, and for how long. */
interface Waiting<Result> {
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
  /** The batch of this tick, and who waits for each of its items. */
  #items: Item[] = [];
  #waiting: Waiting<Result>[] = [];
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
      this.#items.push(item);
      const length = this.#waiting.push({ patienceMs, patienceClock, resolve, reject });
      if (length >= this.#itemsMax) this.#flush();
      else if (length === 1) process.nextTick(this.#onTick);
    });
  }

  #flush(): void {
    const items = this.#items;
    if (items.length === 0) return;
    const batch = new Batch(this.#waiting);
    this.#items = [];
    this.#waiting = [];
    const { patienceMs, patienceClock } = batch.last;
    const send = (): Promise<readonly (Result | Error)[]> => this.#send(items);
    const within = patienceClock === undefined ? send : () => withAmbientDeadline(patienceMs, send, patienceClock);
    let sent: Promise<readonly (Result | Error)[]>;
    try {
      sent = withoutAmbientDeadline(within);
    } catch (error) {
      batch.onError(error);
      return;
    }
    follow(batch, sent);
  }
}

/** The callers of one batch, until it is answered. */
class Batch<Result> implements WorkOwner {
  /** Who waits for the longest. */
  readonly last: Waiting<Result>;
  readonly #waiting: readonly Waiting<Result>[];
  /** Disarms those who leave earlier. */
  #hurried: (() => void)[] | undefined;

  constructor(waiting: readonly Waiting<Result>[]) {
    let last = waiting[0] as Waiting<Result>;
    for (const each of waiting) if (each.patienceMs > last.patienceMs) last = each;
    this.last = last;
    this.#waiting = waiting;
    for (const each of waiting) {
      if (each.patienceMs < last.patienceMs) (this.#hurried ??= []).push(leaveInTime(each));
    }
  }

  onValue(value: unknown): void {
    const results = value as readonly (Result | Error)[];
    this.#disarm();
    const { length } = this.#waiting;
    for (const [index, { resolve, reject }] of this.#waiting.entries()) {
      const result = results[index];
      if (index >= results.length) reject(new Error(`a batch of ${length} items got ${results.length} results`));
      else if (result instanceof Error) reject(result);
      else resolve(result as Result);
    }
  }

  onError(error: unknown): void {
    this.#disarm();
    for (const { reject } of this.#waiting) reject(error);
  }

  #disarm(): void {
    if (this.#hurried !== undefined) for (const disarm of this.#hurried) disarm();
  }
}

/** Rejects when the caller's ambient deadline has come before the answer; returns what disarms it. */
function leaveInTime<Result>({ patienceMs, patienceClock, reject }: Waiting<Result>): () => void {
  if (patienceClock === undefined) return () => undefined;
  const clock = patienceClock;
  const why = `no answer within ${Math.ceil(patienceMs)} ms, which is all that the ambient deadline left`;
  const leave = (): void => reject(new OutcomeUnknownError("a request of many callers", "none", { why }));
  const timer: TimerHandle = clock.setTimer(leave, patienceMs, true);
  return () => clock.clearTimer(timer);
}
