/**
 * Consumers of sources that deliver at least once, on `idempotency.onceOnly`:
 *
 * ```ts
 * const consumer = new StreamConsumer(redis, idempotency, { stream: "orders", group: "billing", consumer: podName }, async (message, attempt) =>
 *   bill(message.fields, attempt.downstreamKey),
 * );
 * await consumer.start();
 * ```
 */
export {
  consumeOnceOnly,
  type AmqpChannel,
  type AmqpConsumer,
  type AmqpMessage,
  type AmqpOptions,
  type AmqpStopReport,
} from "./amqp.ts";
export {
  StreamConsumer,
  type StreamConsumerEvent,
  type StreamConsumerOptions,
  type StreamStopReport,
} from "./stream.ts";
export type { StreamMessage } from "./stream-group.ts";
