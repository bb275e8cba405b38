/** The Kafka recipe of the README, type-checked against what it needs of KafkaJS; `readme.test.ts` holds the two together. */
import { InProgressError } from "../../src/index.ts";
import type { Idempotency } from "../../src/index.ts";

interface KafkaMessage {
  readonly topic: string;
  readonly partition: number;
  readonly message: {
    readonly offset: string;
    readonly key: Buffer | null;
    readonly value: Buffer | null;
    readonly headers?: Record<string, unknown>;
  };
  readonly heartbeat: () => Promise<void>;
  readonly pause: () => () => void;
}
interface KafkaConsumer {
  run(config: { autoCommit: boolean; eachMessage: (payload: KafkaMessage) => Promise<void> }): Promise<void>;
  commitOffsets(offsets: { topic: string; partition: number; offset: string }[]): Promise<void>;
}

export async function consumePayments(
  consumer: KafkaConsumer,
  idempotency: Idempotency,
  charge: (value: Buffer | null, downstreamKey: string, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  // recipe
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ topic, partition, message, pause }) => {
      // The producer's id, when it has one; topic, partition and offset name the record, but not the producer's second try.
      const messageId = message.headers?.["message-id"]?.toString() ?? `${topic}/${partition}/${message.offset}`;
      try {
        await idempotency.onceOnly({ messageId }, { waitMs: 10_000 }, (attempt) =>
          charge(message.value, attempt.downstreamKey, attempt.signal),
        );
      } catch (error) {
        // Another member has it, as after a rebalance: come back to this offset when its lease is over.
        if (error instanceof InProgressError) setTimeout(pause(), error.retryAfterMs);
        throw error;
      }
      await consumer.commitOffsets([{ topic, partition, offset: String(BigInt(message.offset) + 1n) }]);
    },
  });
  // end
}
