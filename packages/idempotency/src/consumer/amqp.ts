/**
 * A consumer of RabbitMQ. A message is acknowledged once it was processed, by this delivery or by an earlier one. One that fails comes again
 * after a pause; whether and when it is given up is the queue's business (a delivery limit and a dead-letter exchange).
 */
import { callback, integerOr, optionsObject, sleep, systemClock, text } from "@holdfast/core";
import type { Attempt } from "../attempt.ts";
import { InProgressError } from "../errors.ts";
import type { Idempotency } from "../idempotency.ts";

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
  /** What names a message. Default its property `messageId`. A message without a name is rejected, for a dead-letter exchange to keep. */
  readonly messageId?: ((message: Message) => string | undefined) | undefined;
  readonly tenant?: ((message: Message) => string | undefined) | undefined;
  /** The pause before a message that failed comes again, in milliseconds, up to 600,000. Default 1,000. */
  readonly requeueAfterMs?: number | undefined;
  /** Told of each failure; the message comes again. */
  readonly onFailed?: ((message: Message, error: unknown) => void) | undefined;
}

/** A running consumer. */
export interface AmqpConsumer {
  /** Takes no further messages and waits for those that are being processed. */
  stop(): Promise<void>;
}

function defaultMessageId({ properties: { messageId } }: AmqpMessage): string | undefined {
  return typeof messageId === "string" && messageId !== "" ? messageId : undefined;
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
  const { idempotency, onFailed, tenant, messageId: messageIdOf = defaultMessageId } = options;
  const requeueAfterMs = integerOr(1_000, "requeueAfterMs", options.requeueAfterMs, { min: 0, max: 600_000 });
  const stopping = new AbortController();
  const working = new Set<Promise<void>>();

  /** An observer that throws does not disturb the work. */
  const tell = (message: Message, error: unknown): void => {
    try {
      onFailed?.(message, error);
    } catch (failure) {
      process.emitWarning(failure instanceof Error ? failure : String(failure));
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
    const work = handle(message).finally(() => working.delete(work));
    working.add(work);
  });
  return {
    async stop() {
      await channel.cancel(consumerTag);
      stopping.abort(new Error("the consumer stops"));
      await Promise.all(working);
    },
  };
}
