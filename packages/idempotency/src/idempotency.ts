/**
 * The public control flow: a call claims its key, replays what is stored, or runs and stores.
 *
 * Invariants, and where they are kept: I1, I2, I4, I8 in the scripts; I3 in claim.lua; I5 in executions.ts; I6 in codec.ts; I7 in
 * fingerprint.ts; I9 in insistence.ts, which repeats what may be repeated before anybody hears "unknown".
 */
import {
  callback,
  ClosedError,
  Connection,
  EventSink,
  integerOr,
  NotReplicatedError,
  optionsObject,
  RedisUnavailableError,
  text,
} from "@holdfast/core";
import type { Effect, HoldfastError, RedisLike } from "@holdfast/core";
import { UnguardedAttempt } from "./attempt.ts";
import type { Attempt } from "./attempt.ts";
import { Claims, deadlineOfClaim } from "./claims.ts";
import type { Grant } from "./claims.ts";
import { jsonCodec } from "./codec.ts";
import type { Codec } from "./codec.ts";
import { eventChannel } from "./events.ts";
import type { IdempotencyEvent } from "./events.ts";
import { Executions } from "./executions.ts";
import { effectOf } from "./failure.ts";
import type { FailureDecision } from "./failure.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { KeyLayout } from "./keys.ts";
import type { IdempotencyKey, KeyPlace } from "./keys.ts";
import { keyStateOf } from "./key-state.ts";
import type { KeyState } from "./key-state.ts";
import { resolveIdempotencyOptions, resolveRunOptions } from "./options.ts";
import type { IdempotencyOptions, ResolvedIdempotencyOptions, RunOptions } from "./options.ts";
import { replayed } from "./replay.ts";
import { encodeResolution } from "./resolution.ts";
import type { Resolution, ResolveAnswer } from "./resolution.ts";
import { AttemptStore } from "./store.ts";
import { unfinishedKeys } from "./unfinished.ts";
import { Waiting } from "./waiting.ts";
import type { StoredOutcome } from "./waiting.ts";

/** What a run resolves to. */
export interface RunResult<Value> {
  /** The decoded stored form, also on the first run. */
  readonly value: Value;
  /** True when an earlier attempt made the value. */
  readonly replayed: boolean;
  /** False when nothing was stored: the handler said `skipStoring`, or the store was unreachable and `whenUnreachable` is `"open"`. */
  readonly stored: boolean;
}

/** Options of a call that changes a key. */
export interface OperationOptions {
  /** Names the call; a repetition with the same id gets its first answer, as long as it is among the last 16 that changed the key. */
  readonly operationId?: string | undefined;
}

type Handler<Value> = (attempt: Attempt) => Promise<Value> | Value;

/** Idempotency keys of one name. */
export class Idempotency implements AsyncDisposable {
  readonly #options: ResolvedIdempotencyOptions;
  readonly #layout: KeyLayout;
  readonly #store: AttemptStore;
  readonly #claims: Claims;
  readonly #waiting: Waiting;
  readonly #executions: Executions;
  readonly #events: EventSink<IdempotencyEvent>;
  readonly #name: string;
  #closed = false;

  /**
   * @param redis an ioredis client, which stays the caller's
   * @param name the set of keys, 1 to 256 bytes: what is done under them, such as `payments`
   * @throws TypeError, RangeError naming the field, the allowed range and the value got
   */
  constructor(redis: RedisLike, name: string, options: IdempotencyOptions = {}) {
    this.#options = resolveIdempotencyOptions(options);
    this.#layout = new KeyLayout(this.#options.prefix, name);
    this.#name = name;
    const connection = Connection.of(redis, this.#options.clock);
    this.#events = new EventSink(eventChannel, this.#options.onEvent);
    this.#store = new AttemptStore(connection, this.#options);
    this.#waiting = new Waiting(connection.wakeUps, this.#options.clock);
    this.#claims = new Claims(this.#store, this.#waiting, this.#options, this.#events);
    const parts = { store: this.#store, claims: this.#claims, waiting: this.#waiting };
    this.#executions = new Executions(connection, parts, this.#options, this.#events);
  }

  /**
   * Runs a function once for a key, and answers every further call with what the first one stored.
   * @param key with its tenant, or a text where there is a single tenant
   * @param fn gets the attempt; what it returns is stored together with the key's state
   * @throws InProgressError, FingerprintMismatchError, OutcomeUnknownError, AttemptSupersededError, ResultNotStoredError,
   *   ResultUnreadableError, RedisUnavailableError (nothing ran), the function's own error, or a StoredError for a stored one
   */
  run<Value>(key: IdempotencyKey | string, fn: Handler<Value>): Promise<RunResult<Value>>;
  run<Value>(key: IdempotencyKey | string, options: RunOptions, fn: Handler<Value>): Promise<RunResult<Value>>;
  async run<Value>(
    key: IdempotencyKey | string,
    optionsOrFn: RunOptions | Handler<Value>,
    maybeFn?: Handler<Value>,
  ): Promise<RunResult<Value>> {
    const { clock } = this.#options;
    // Before the payload is read, which takes as long as it is.
    const deadlineMs = deadlineOfClaim(clock);
    const fn = typeof optionsOrFn === "function" ? optionsOrFn : maybeFn;
    callback("fn", fn);
    const options = resolveRunOptions(typeof optionsOrFn === "function" ? {} : optionsOrFn, this.#options);
    const place = this.#place(key);
    const fingerprint = fingerprintOf(place.resource, options.fingerprint);
    const { waitMs, signal } = options;
    let claimed: Grant | StoredOutcome;
    try {
      claimed = await this.#claims.claim({ place, fingerprint, waitMs, signal, deadlineMs });
    } catch (error) {
      if (this.#options.whenUnreachable !== "open" || !(error instanceof RedisUnavailableError)) throw error;
      // Redis is there, only its replicas are not: to run without protection would be beside those who are protected.
      if (error.cause instanceof NotReplicatedError || clock.monotonicMs() >= deadlineMs) throw error;
      this.#refuseClosed();
      return this.#runUnguarded(place, options.codec, fn as Handler<Value>, error);
    }
    if (claimed.kind === "stored")
      return { value: this.#replay(place, options.codec, claimed) as Value, replayed: true, stored: true };
    // Closed while it asked: nothing begins that could not be stored any more.
    if (this.#closed) this.#claims.abandon(place, claimed.owner);
    this.#refuseClosed();
    const downstreamKey = (): string => this.#layout.downstreamKey(place);
    const { codec } = options;
    const execution = { place, fingerprint, codec, grant: claimed, downstreamKey, fn: fn as Handler<Value> };
    const { value, stored } = await this.#executions.execute(execution);
    return { value: value as Value, replayed: false, stored };
  }

  /**
   * Runs a function once for a message of a source that delivers at least once. Acknowledge the message when it resolves; do not when it
   * throws, so that it comes again.
   * @returns `"processed"`, or `"duplicate"` when an earlier delivery was processed
   * @throws as `run`
   */
  onceOnly(
    message: { readonly messageId: string; readonly tenant?: string | undefined },
    fn: Handler<void>,
  ): Promise<{ readonly kind: "processed" | "duplicate" }>;
  onceOnly(
    message: { readonly messageId: string; readonly tenant?: string | undefined },
    options: RunOptions,
    fn: Handler<void>,
  ): Promise<{ readonly kind: "processed" | "duplicate" }>;
  async onceOnly(
    message: { readonly messageId: string; readonly tenant?: string | undefined },
    optionsOrFn: RunOptions | Handler<void>,
    maybeFn?: Handler<void>,
  ): Promise<{ readonly kind: "processed" | "duplicate" }> {
    optionsObject("message", message);
    text("messageId", message.messageId);
    const fn = typeof optionsOrFn === "function" ? optionsOrFn : maybeFn;
    callback("fn", fn);
    const options = typeof optionsOrFn === "function" ? {} : optionsOrFn;
    const { replayed } = await this.run<void>(
      { key: message.messageId, tenant: message.tenant },
      // That it was done is all there is to store.
      { codec: jsonCodec, ...options },
      async (attempt) => {
        await fn?.(attempt);
      },
    );
    return { kind: replayed ? "duplicate" : "processed" };
  }

  /** What is known of a key; null when nothing is. */
  async inspect(key: IdempotencyKey | string): Promise<KeyState | null> {
    const place = this.#place(key);
    const record = await this.#store.inspect(place);
    return record === null ? null : keyStateOf(place, record);
  }

  /**
   * Keys that have started and not ended, the dead and the living, by the start of their last attempt within each of 256 groups. Each key
   * that is unfinished all the time is there exactly once; one that begins or ends meanwhile may or may not be.
   * @param options.olderThanMs only attempts that started at least this long ago; default `leaseMs`
   */
  stuck(options: { readonly olderThanMs?: number | undefined } = {}): AsyncIterable<KeyState> {
    optionsObject("options", options);
    const range = { min: 0, max: 366 * 86_400_000 };
    const olderThanMs = integerOr(this.#options.leaseMs, "olderThanMs", options.olderThanMs, range);
    this.#refuseClosed();
    return unfinishedKeys(this.#store, this.#layout, olderThanMs);
  }

  /**
   * Settles a key that no live attempt holds: an operator knows what became of it.
   * @throws OutcomeUnknownError: repeat with its `operationId`; TypeError when a value cannot be stored
   */
  async resolve(
    key: IdempotencyKey | string,
    outcome: Resolution,
    options: OperationOptions = {},
  ): Promise<ResolveAnswer> {
    const place = this.#place(key);
    const decision = encodeResolution(place.resource, outcome, this.#options);
    const reply = await this.#store.resolve(place, this.#operationId(options), decision);
    switch (reply.kind) {
      case "resolved":
        this.#waiting.ask(place);
        return { kind: "resolved" };
      case "busy":
        return { kind: "in-progress", retryAfterMs: reply.remainingMs };
      case "settled":
        return { kind: `already-${reply.outcome}` };
      case "absent":
        return { kind: "absent" };
    }
  }

  /**
   * Removes a key with its outcome, whoever holds it, and leaves a tombstone that no earlier attempt can write over. The next call runs, with
   * `recovered: true` unless it is proven that nothing happened. The `downstreamKey` stays the same.
   * @throws OutcomeUnknownError: repeat with its `operationId`
   */
  async forget(
    key: IdempotencyKey | string,
    options: OperationOptions = {},
  ): Promise<{ readonly kind: "forgotten" | "absent" }> {
    const place = this.#place(key);
    const kind = await this.#store.forget(place, this.#operationId(options));
    this.#waiting.ask(place);
    return { kind };
  }

  /** Longest result that is stored, in bytes. */
  get resultBytesMax(): number {
    return this.#options.resultBytesMax;
  }

  /** What `onError` decides on an error of a handler, and the effect that the error admits: for layers that turn errors into results. */
  decide(error: unknown, attempt: Attempt): { readonly decision: FailureDecision; readonly effect: Effect } {
    return { decision: this.#executions.decide(error, attempt), effect: effectOf(error) };
  }

  /** Ends all waiting with a ClosedError and refuses further calls. Attempts that run go on and are stored. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting.close(new ClosedError(`idempotency ${this.#name}`));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #refuseClosed(): void {
    if (this.#closed) throw new ClosedError(`idempotency ${this.#name}`);
  }

  #place(key: IdempotencyKey | string): KeyPlace {
    this.#refuseClosed();
    if (typeof key === "string") return this.#layout.place({ key });
    optionsObject("key", key);
    return this.#layout.place(key);
  }

  #operationId({ operationId }: OperationOptions): string {
    return operationId === undefined ? this.#options.random.id() : text("operationId", operationId);
  }

  #replay({ resource }: KeyPlace, codec: Codec, stored: StoredOutcome): unknown {
    this.#events.emit(() => ({ type: "replayed", resource, outcome: stored.outcome }));
    return replayed(resource, stored, [codec, this.#options.codec, ...this.#options.formerCodecs, jsonCodec]);
  }

  async #runUnguarded<Value>(
    place: KeyPlace,
    codec: Codec,
    fn: Handler<Value>,
    error: HoldfastError,
  ): Promise<RunResult<Value>> {
    const { resource } = place;
    this.#events.emit(() => ({ type: "unguarded", resource, error }));
    const value = await fn(new UnguardedAttempt(place, () => this.#layout.downstreamKey(place)));
    let decoded: unknown = value;
    try {
      decoded = codec.decode(Buffer.from(codec.encode(value)));
    } catch {
      // Nothing is stored, so that nothing is lost by handing the value over as it is.
      decoded = value;
    }
    return { value: decoded as Value, replayed: false, stored: false };
  }
}
