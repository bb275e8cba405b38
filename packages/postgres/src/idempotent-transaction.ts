/**
 * A transaction that commits once per key, together with the key and its result (P3). Nothing is left to a lease: while the transaction is
 * open its lock is the claim, and when the client dies PostgreSQL takes both back.
 */
import { ambientRemainingMs, callback, integerOr, OutcomeUnknownError, withAmbientDeadline } from "@holdfast/core";
import type { Codec } from "@holdfast/idempotency";
import { FingerprintMismatchError, InProgressError, jsonCodec } from "@holdfast/idempotency";
import { claimSql, completeKey, prepareKey } from "./idempotency-claim.ts";
import type { Claim, PreparedKey, TransactionKey } from "./idempotency-claim.ts";
import { PostgresUnavailableError, TransactionIdleError } from "./errors.ts";
import { resolveTransactionOptions } from "./options.ts";
import type { ResolvedTransactionOptions, TransactionOptions } from "./options.ts";
import { waitFor } from "./patience.ts";
import type { PoolLike } from "./pool.ts";
import { pause, runTransaction } from "./run-transaction.ts";
import type { Opened } from "./run-transaction.ts";
import { CommitLostError } from "./session.ts";
import type { Transaction } from "./transaction.ts";

/** Which key, and how. */
export interface IdempotentTransactionOptions extends TransactionKey, TransactionOptions {
  /** How long the key and its result are kept, in milliseconds, 1,000 to 366 days. Default one day. */
  readonly retentionMs?: number | undefined;
  /** Largest result in bytes, 1,024 to 268,435,456. Default 1,048,576. */
  readonly resultBytesMax?: number | undefined;
}

/** One attempt under a key. */
export interface TransactionAttempt {
  readonly resource: string;
  /** Names this attempt. */
  readonly id: string;
  /** The same in every attempt of this key: hand it to whoever acts outside of the transaction. */
  readonly downstreamKey: string;
  /** Counts the runs of the body in this call from 1; more than one after meeting another transaction. */
  readonly number: number;
}

/** What a key stands for. */
export interface IdempotentResult<Value> {
  /** The decoded stored form, also for the call that ran the body. */
  readonly value: Value;
  /** Whether an earlier call had committed it. */
  readonly replayed: boolean;
}

/** The work under a key. */
export type IdempotentBody<Value> = (tx: Transaction, attempt: TransactionAttempt) => Promise<Value>;

interface Settings extends ResolvedTransactionOptions {
  readonly key: PreparedKey;
  readonly codec: Codec;
  readonly retentionMs: number;
  readonly resultBytesMax: number;
}

const dayMs = 86_400_000;

function resolveSettings(options: IdempotentTransactionOptions): Settings {
  const key = prepareKey(options);
  return {
    ...resolveTransactionOptions(`idempotentTransaction ${key.resource}`, options),
    key,
    codec: jsonCodec,
    retentionMs: integerOr(dayMs, "retentionMs", options.retentionMs, { min: 1_000, max: 366 * dayMs }),
    resultBytesMax: integerOr(1_048_576, "resultBytesMax", options.resultBytesMax, { min: 1_024, max: 268_435_456 }),
  };
}

/** Encodes within the transaction, so that a result that cannot be stored takes the business write back with it. */
function encodeResult({ codec, resultBytesMax, key }: Settings, value: unknown): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = codec.encode(value);
  } catch (cause) {
    throw new TypeError(`${key.resource}: the body must return JSON or bytes, or nothing; nothing was committed`, {
      cause,
    });
  }
  if (bytes.length <= resultBytesMax) return bytes;
  throw new RangeError(
    `${key.resource}: the result must have at most resultBytesMax (${resultBytesMax}) bytes, got ${bytes.length}`,
  );
}

/** One attempt, and what is known of it. Times are epoch milliseconds on the server's clock. */
interface Own {
  readonly id: string;
  /** Of the last claim that found nothing. */
  claimedAtMs: number;
  /** Of its result, which may have been committed. */
  storedAtMs: number;
}

/** One run: replays, refuses, or works. */
async function run<Value>(
  pool: PoolLike,
  settings: Settings,
  self: Own,
  body: IdempotentBody<Value>,
): Promise<IdempotentResult<Value>> {
  const { key, codec, idleMs, retentionMs } = settings;
  const { resource, downstreamKey } = key;
  const { id } = self;
  return runTransaction(pool, settings, { first: () => claimSql(key, id, idleMs), body: work });

  async function work(tx: Transaction, number: number, { rows, own }: Opened): Promise<IdempotentResult<Value>> {
    const [claim] = rows as readonly [Claim];
    switch (claim.state) {
      case "busy":
        throw new InProgressError(resource, idleMs);
      case "mismatch":
        throw new FingerprintMismatchError(resource);
      case "replay":
        // An own row is found only after a COMMIT whose answer was lost.
        return { value: codec.decode(claim.result) as Value, replayed: claim.attempt !== id };
      case "claimed": {
        self.claimedAtMs = Number(claim.at_ms);
        const bytes = encodeResult(settings, await body(tx, { resource, id, downstreamKey, number }));
        const storedAtMs = await completeKey(own, key, id, bytes, retentionMs);
        if (storedAtMs === undefined) {
          throw new TypeError(`${resource}: the body removed its own key; leave holdfast.idempotency_keys alone`);
        }
        self.storedAtMs = storedAtMs;
        return { value: codec.decode(Buffer.from(bytes)) as Value, replayed: false };
      }
    }
  }
}

/**
 * Finds out what became of a COMMIT without answer: the row is there with this attempt's id, or the lock is free and it is not. As long as
 * the server has not noticed that the connection is gone, the lock is held and it is asked again. A question may get no answer either: its
 * deadline gives its connection back, and it is not waited for beyond that. After the retention a row that is not there says nothing.
 * @returns the committed result, or undefined when nothing was committed
 */
async function resolveCommit<Value>(
  pool: PoolLike,
  settings: Settings,
  self: Own,
  lost: CommitLostError,
): Promise<IdempotentResult<Value> | undefined> {
  const { clock, signal, operation, events, resolveMs, retentionMs } = settings;
  const unknown = (why: string, advice: string): OutcomeUnknownError =>
    new OutcomeUnknownError(operation, self.id, { cause: lost.cause, why: `COMMIT got no answer, and ${why}`, advice });
  const askUntilMs = clock.monotonicMs() + Math.min(resolveMs, ambientRemainingMs());
  /** Taken back with the transaction, so that to look is not to claim. */
  class NotCommitted extends Error {}
  const ask = (): Promise<IdempotentResult<Value>> =>
    run<Value>(pool, settings, self, () => Promise.reject(new NotCommitted()));
  for (let attempt = 1; ; attempt += 1) {
    const timeoutMs = Math.max(askUntilMs - clock.monotonicMs(), 1);
    try {
      const found = await waitFor(withAmbientDeadline(timeoutMs, ask, clock), { clock, signal, timeoutMs });
      events.emit(() => ({ type: "commit-resolved", operation, committed: true }));
      return found;
    } catch (error) {
      if (error instanceof NotCommitted) {
        // From then on it may have been another call's, or pruned.
        if (self.claimedAtMs - self.storedAtMs >= retentionMs) {
          throw unknown("its key may be forgotten by now", "read what the transaction wrote");
        }
        events.emit(() => ({ type: "commit-resolved", operation, committed: false }));
        return undefined;
      }
      const passes =
        error instanceof InProgressError ||
        error instanceof PostgresUnavailableError ||
        error instanceof TransactionIdleError ||
        error instanceof CommitLostError;
      if (!passes || clock.monotonicMs() >= askUntilMs) {
        throw unknown(
          `neither did the question what became of it within ${resolveMs} ms`,
          "repeat the call under the same key within its retention: it replays what was committed, or does it now",
        );
      }
      // The only reason to reject is the signal, which ends the next question.
      await pause(settings, attempt + 2).catch(() => undefined);
    }
  }
}

/**
 * Runs a transaction once per key. Its result is stored in the same transaction: both are committed, or neither.
 * @param body gets the open transaction; runs again as a whole when it met another transaction
 * @returns the result, and whether it is that of an earlier call
 * @throws InProgressError when a transaction with this key is open; FingerprintMismatchError; what `withFence` throws, OutcomeUnknownError
 *   only when nobody could be asked what became of a COMMIT; TypeError, RangeError for a result that cannot be stored: nothing was
 *   committed then; what the body throws
 */
export async function idempotentTransaction<Value>(
  pool: PoolLike,
  options: IdempotentTransactionOptions,
  body: IdempotentBody<Value>,
): Promise<IdempotentResult<Value>> {
  callback("body", body);
  const settings = resolveSettings(options);
  const { key, random, events, operation, attemptsMax } = settings;
  for (let attempt = 1; ; attempt += 1) {
    // A new one each time: a result that is found under it was committed by this very attempt.
    const self: Own = { id: random.id(), claimedAtMs: 0, storedAtMs: 0 };
    try {
      const result = await run(pool, settings, self, body);
      if (result.replayed) events.emit(() => ({ type: "replayed", resource: key.resource }));
      return result;
    } catch (error) {
      if (!(error instanceof CommitLostError)) throw error;
      const found = await resolveCommit<Value>(pool, settings, self, error);
      if (found !== undefined) return found;
      if (attempt === attemptsMax) {
        throw new PostgresUnavailableError(operation, "connection-lost", { cause: error.cause });
      }
    }
  }
}
