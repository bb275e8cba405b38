/**
 * A consumer of RabbitMQ. A message is acknowledged once it was processed, by this delivery or by an earlier one. One that fails comes again
 * after a pause; whether and when it is given up is the queue's business (a delivery limit and a dead-letter exchange).
 */
import { callback, integerOr, optionsObject, sleep, systemClock, text, warn } from "@holdfast/core";
import type { Attempt } from "../attempt.ts";
import { InProgressError } from "../errors.ts";
import type { Idempotency } from "../idempotency.ts";
import { messageName } from "./message-name.ts";

/** A message, as amqplib delivers it. */
export interface AmqpMessage {
  readonly content: Buffer;
  readonly properties: { readonly messageId?: unknown };
}

/** A channel of amqplib, as far as it is needed here. */
export interface AmqpChannel<Message extends AmqpMessage> {
  consume(queue: string, onMessage: (message: Message | null) => void): Promise<{ readonly consumerTag: string }>;
  ack(message: Message): void;
  nack(message: Message, allUpTo?: boolean, requeue?: boolean): void;
  cancel(consumerTag: string): Promise<unknown>;
}

/** Options of {@link consumeOnceOnly}. */
export interface AmqpOptions<Message extends AmqpMessage> {
  readonly idempotency: Idempotency;
  /**
   * What names a message. Default the queue and its property `messageId`. A message without a name is rejected, for a dead-letter exchange
   * to keep. A name of yours is taken as it is: messages of one name are one for all consumers on the same `Idempotency`, so queues whose
   * consumers each have something else to do need names, or instances, of their own.
   */
  readonly messageId?: ((message: Message) => string | undefined) | undefined;
  readonly tenant?: ((message: Message) => string | undefined) | undefined;
  /** The pause before a message that failed comes again, in milliseconds, up to 600,000. Default 1,000. */
  readonly requeueAfterMs?: number | undefined;
  /** Told of each failure; the message comes again. */
  readonly onFailed?: ((message: Message, error: unknown) => void) | undefined;
}

/** What became of the messages at `stop`. */
export interface AmqpStopReport {
  /** True when nothing was being processed any more. */
  readonly drained: boolean;
  /** Messages that are still being processed; they go on, and come again when the channel is closed before they do. */
  readonly unfinished: number;
}

/** A running consumer. */
export interface AmqpConsumer extends AsyncDisposable {
  /**
   * Takes no further messages and waits for those that are being processed, whether or not the broker answers.
   * @param options.graceMs the longest wait in milliseconds, default 10,000
   * @throws the channel's error, when it could not be told; whoever closes the channel ends the consumer, too
   */
  stop(options?: { readonly graceMs?: number }): Promise<AmqpStopReport>;
}

function defaultMessageId(queue: string, { properties: { messageId } }: AmqpMessage): string | undefined {
  return typeof messageId === "string" && messageId !== "" ? messageName(queue, messageId) : undefined;
}

/**
 * Processes each message of a queue once. Set the channel's prefetch to what may be processed at the same time.
 * @throws TypeError, RangeError naming the field; the channel's errors
 */
export async function consumeOnceOnly<Message extends AmqpMessage>(
  channel: AmqpChannel<Message>,
  queue: string,
  options: AmqpOptions<Message>,
  fn: (message: Message, attempt: Attempt) => Promise<void> | void,
): Promise<AmqpConsumer> {
  optionsObject("options", options);
  text("queue", queue);
  callback("fn", fn);
  const { idempotency, onFailed, tenant } = options;
  const messageIdOf = options.messageId ?? ((message: Message) => defaultMessageId(queue, message));
  const requeueAfterMs = integerOr(1_000, "requeueAfterMs", options.requeueAfterMs, { min: 0, max: 600_000 });
  const stopping = new AbortController();
  const working = new Set<Promise<void>>();

  /** An observer that throws does not disturb the work. */
  const tell = (message: Message, error: unknown): void => {
    try {
      onFailed?.(message, error);
    } catch (failure) {
      warn(failure);
    }
  };
  const settle = (message: Message, answer: () => void): void => {
    try {
      answer();
    } catch (error) {
      // The channel is closed: the broker delivers the message again, and it is recognised then.
      tell(message, error);
    }
  };

  const handle = async (message: Message): Promise<void> => {
    try {
      const messageId = messageIdOf(message);
      if (messageId === undefined) {
        settle(message, () => channel.nack(message, false, false));
        return;
      }
      await idempotency.onceOnly({ messageId, tenant: tenant?.(message) }, (attempt) => fn(message, attempt));
      settle(message, () => channel.ack(message));
    } catch (error) {
      tell(message, error);
      const pauseMs = error instanceof InProgressError ? Math.min(error.retryAfterMs, requeueAfterMs) : requeueAfterMs;
      // Given back at once when the consumer stops: another one may have it.
      await sleep(systemClock, pauseMs, stopping.signal).catch(() => undefined);
      settle(message, () => channel.nack(message, false, true));
    }
  };

  const { consumerTag } = await channel.consume(queue, (message) => {
    if (message === null) return;
    // It was on its way when the consumer stopped: another one may have it.
    if (stopping.signal.aborted) {
      settle(message, () => channel.nack(message, false, true));
      return;
    }
    const work = handle(message).finally(() => working.delete(work));
    working.add(work);
  });
  const stop: AmqpConsumer["stop"] = async ({ graceMs = 10_000 } = {}) => {
    stopping.abort(new Error("the consumer stops"));
    const done = (async () => {
      try {
        await channel.cancel(consumerTag);
      } finally {
        await Promise.all(working);
      }
    })();
    const grace = new AbortController();
    const over = sleep(systemClock, graceMs, grace.signal).catch(() => undefined);
    await Promise.race([done, over]).finally(() => grace.abort(new Error("all is done")));
    return { drained: working.size === 0, unfinished: working.size };
  };
  return { stop, [Symbol.asyncDispose]: () => stop().then(() => undefined) };
}
