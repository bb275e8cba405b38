/**
 * A consumer of a Redis stream, as a member of a consumer group. A message is acknowledged once it was processed, by this delivery or by an
 * earlier one; one whose consumer died, or whose handler failed, is taken over after `minIdleMs` and comes again.
 */
import {
  backoffMs,
  callback,
  integerOr,
  optionsObject,
  sleep,
  systemClock,
  systemRandom,
  text,
  warn,
  withoutAmbientDeadline,
} from "@holdfast/core";
import type { Clock, RedisLike } from "@holdfast/core";
import type { Attempt } from "../attempt.ts";
import type { Idempotency } from "../idempotency.ts";
import { messageName } from "./message-name.ts";
import { saysNoGroup, StreamGroup } from "./stream-group.ts";
import type { StreamMessage } from "./stream-group.ts";

/** Something that happened to a message, or to the consumer. */
export type StreamConsumerEvent =
  | { readonly type: "processed" | "duplicate"; readonly message: StreamMessage }
  | { readonly type: "failed"; readonly message: StreamMessage; readonly error: unknown }
  | { readonly type: "read-failed"; readonly error: unknown };

/** Options of a {@link StreamConsumer}. */
export interface StreamConsumerOptions {
  readonly stream: string;
  /** The consumer group; made, from the beginning of the stream, whenever it is not there. */
  readonly group: string;
  /** This member's name, unique in the group. */
  readonly consumer: string;
  /**
   * What names a message. Default the stream, the group and the entry's id; a producer that may send one message as two entries needs an id
   * of its own in it. A name of yours is taken as it is: messages of one name are one for all consumers on the same `Idempotency`, so groups
   * that each have something else to do need names, or instances, of their own.
   */
  readonly messageId?: ((message: StreamMessage) => string) | undefined;
  readonly tenant?: ((message: StreamMessage) => string | undefined) | undefined;
  /** Most messages that are processed at the same time, 1 to 1,000. Default 16. */
  readonly concurrencyMax?: number | undefined;
  /** A message that nobody has acknowledged for this long is taken over, in milliseconds, 1 to 86,400,000. Default 60,000. */
  readonly minIdleMs?: number | undefined;
  /** The pause when there is nothing to do, in milliseconds, 1 to 60,000. Default 100. */
  readonly pollMs?: number | undefined;
  /** How long an answer of Redis is waited for, in milliseconds, 1 to 600,000. Default 2,000. */
  readonly commandTimeoutMs?: number | undefined;
  readonly clock?: Clock | undefined;
  readonly onEvent?: ((event: StreamConsumerEvent) => void) | undefined;
}

/** What became of the messages at `stop`. */
export interface StreamStopReport {
  /** True when nothing was being processed any more. */
  readonly drained: boolean;
  /** Messages that are still being processed; they go on, and come again when the process ends before they do. */
  readonly unfinished: number;
}

/** From one `start` to its `stop`. */
interface Session {
  readonly stopping: AbortController;
  /** True when the grace is over: what is read now is not begun, and comes again. */
  graceOver: boolean;
  /** The group is there. */
  started: Promise<void>;
  reading: Promise<void>;
}

/** Reads that fail are made again after longer and longer pauses, up to this one. */
const failedPauseMaxMs = 5_000;

/** One member of a consumer group. */
export class StreamConsumer implements AsyncDisposable {
  readonly #group: StreamGroup;
  readonly #idempotency: Idempotency;
  readonly #options: StreamConsumerOptions;
  readonly #fn: (message: StreamMessage, attempt: Attempt) => Promise<void> | void;
  readonly #clock: Clock;
  readonly #concurrencyMax: number;
  readonly #pollMs: number;
  readonly #working = new Map<string, Promise<void>>();
  #session: Session | undefined;

  /** @throws TypeError, RangeError naming the field */
  constructor(
    redis: RedisLike,
    idempotency: Idempotency,
    options: StreamConsumerOptions,
    fn: (message: StreamMessage, attempt: Attempt) => Promise<void> | void,
  ) {
    optionsObject("options", options);
    for (const field of ["stream", "group", "consumer"] as const) text(field, options[field]);
    callback("fn", fn);
    this.#clock = options.clock ?? systemClock;
    this.#idempotency = idempotency;
    this.#options = options;
    this.#fn = fn;
    this.#concurrencyMax = integerOr(16, "concurrencyMax", options.concurrencyMax, { min: 1, max: 1_000 });
    this.#pollMs = integerOr(100, "pollMs", options.pollMs, { min: 1, max: 60_000 });
    const { stream, group, consumer } = options;
    const minIdleMs = integerOr(60_000, "minIdleMs", options.minIdleMs, { min: 1, max: 86_400_000 });
    const commandTimeoutMs = integerOr(2_000, "commandTimeoutMs", options.commandTimeoutMs, { min: 1, max: 600_000 });
    this.#group = new StreamGroup(redis, this.#clock, { stream, group, consumer, minIdleMs, commandTimeoutMs });
  }

  /** Messages that are being processed. */
  get working(): number {
    return this.#working.size;
  }

  /**
   * Makes the group when it is missing, and begins to read. Safe to repeat.
   * @throws RedisUnavailableError, RedisRefusedError
   */
  async start(): Promise<void> {
    if (this.#session === undefined) {
      const nothing = Promise.resolve();
      const session: Session = {
        stopping: new AbortController(),
        graceOver: false,
        started: nothing,
        reading: nothing,
      };
      // Before the group is asked for, so that a stop meanwhile finds what it has to stop.
      this.#session = session;
      session.started = this.#begin(session);
    }
    await this.#session.started;
  }

  async #begin(session: Session): Promise<void> {
    try {
      await this.#group.make();
    } catch (error) {
      if (this.#session === session) this.#session = undefined;
      throw error;
    }
    if (session.stopping.signal.aborted) return;
    session.reading = withoutAmbientDeadline(() => this.#run(session));
  }

  /**
   * Reads no further, and waits for what is being processed, whether or not Redis answers.
   * @param options.graceMs the longest wait in milliseconds, default 10,000
   */
  async stop({ graceMs = 10_000 }: { readonly graceMs?: number } = {}): Promise<StreamStopReport> {
    const session = this.#session;
    this.#session = undefined;
    session?.stopping.abort(new Error("the consumer stops"));
    const done = (async () => {
      await session?.reading;
      await Promise.all(this.#working.values());
    })();
    const grace = new AbortController();
    const over = sleep(this.#clock, graceMs, grace.signal).catch(() => undefined);
    await Promise.race([done, over]);
    grace.abort(new Error("all is done"));
    if (session !== undefined) session.graceOver = true;
    return { drained: this.#working.size === 0, unfinished: this.#working.size };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop().then(() => undefined);
  }

  async #run(session: Session): Promise<void> {
    const { signal } = session.stopping;
    let failures = 0;
    while (!signal.aborted) {
      let taken = 0;
      try {
        taken = await this.#take(session);
        failures = 0;
      } catch (error) {
        failures += 1;
        this.#tell({ type: "read-failed", error });
        if (saysNoGroup(error)) await this.#makeGroupAgain();
      }
      if (taken > 0) continue;
      const working = [...this.#working.values()];
      const pause = sleep(this.#clock, this.#pauseMs(failures), signal).catch(() => undefined);
      // With no room left there is something to do again as soon as one is done.
      await (working.length < this.#concurrencyMax ? pause : Promise.race([...working, pause]));
    }
  }

  #pauseMs(failures: number): number {
    if (failures === 0) return this.#pollMs;
    const delayMaxMs = Math.max(this.#pollMs, failedPauseMaxMs);
    return backoffMs({ baseMs: this.#pollMs, delayMaxMs, jitter: 0 }, failures, systemRandom);
  }

  /** Redis has lost the group, and what it had acknowledged: what comes again was processed, which its name tells. */
  async #makeGroupAgain(): Promise<void> {
    try {
      await this.#group.make();
    } catch (error) {
      this.#tell({ type: "read-failed", error });
    }
  }

  /** Reads as much as there is room for; resolves to the number of messages that were begun. */
  async #take(session: Session): Promise<number> {
    const room = this.#concurrencyMax - this.#working.size;
    if (room === 0) return 0;
    // Our own slow work looks abandoned, too. It has its room already.
    const abandoned = (await this.#group.takeOver(room)).filter(({ id }) => !this.#working.has(id));
    const left = room - abandoned.length;
    const fresh = left === 0 || session.stopping.signal.aborted ? [] : await this.#group.readNew(left);
    let begun = 0;
    if (session.graceOver) return begun;
    for (const message of [...abandoned, ...fresh]) {
      // To a group that was made again it is new.
      if (this.#working.has(message.id)) continue;
      this.#working.set(
        message.id,
        this.#process(message).finally(() => this.#working.delete(message.id)),
      );
      begun += 1;
    }
    return begun;
  }

  async #process(message: StreamMessage): Promise<void> {
    const { stream, group, messageId, tenant } = this.#options;
    try {
      const { kind } = await this.#idempotency.onceOnly(
        { messageId: messageId?.(message) ?? messageName(stream, group, message.id), tenant: tenant?.(message) },
        (attempt) => this.#fn(message, attempt),
      );
      await this.#group.acknowledge(message);
      this.#tell({ type: kind, message });
    } catch (error) {
      // It stays pending, and comes again.
      this.#tell({ type: "failed", message, error });
    }
  }

  /** An observer that throws does not disturb the work. */
  #tell(event: StreamConsumerEvent): void {
    try {
      this.#options.onEvent?.(event);
    } catch (error) {
      warn(error);
    }
  }
}
