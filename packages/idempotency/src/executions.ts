/**
 * What happens between a grant and its end: the handler runs under a renewed lease, and its outcome is stored, released or held. The server
 * decides whether an outcome still counts; a lease that has ended here only tells the handler.
 */
import { tracingChannel } from "node:diagnostics_channel";
import {
  LeaseKeeper,
  NotReplicatedError,
  OutcomeUnknownError,
  RedisUnavailableError,
  warn,
  wordsOf,
} from "@holdfast/core";
import type { Connection, EventSink, HoldfastError } from "@holdfast/core";
import { LeasedAttempt } from "./attempt.ts";
import type { Attempt, LeaseData } from "./attempt.ts";
import type { Claims, Grant } from "./claims.ts";
import type { Codec } from "./codec.ts";
import { AttemptLostError, AttemptSupersededError, ResultNotStoredError } from "./errors.ts";
import { eventChannel } from "./events.ts";
import type { IdempotencyEvent } from "./events.ts";
import { effectOf } from "./failure.ts";
import type { FailureDecision } from "./failure.ts";
import type { KeyPlace } from "./keys.ts";
import type { ResolvedIdempotencyOptions } from "./options.ts";
import { renewed } from "./renewal.ts";
import { encodeFailure, failureCodecId } from "./stored-error.ts";
import type { AttemptStore, EncodedOutcome } from "./store.ts";
import type { StoredOutcome, Waiting } from "./waiting.ts";

/** A call that may run. */
export interface Execution<Value> {
  readonly place: KeyPlace;
  readonly fingerprint: string;
  readonly codec: Codec;
  readonly grant: Grant;
  readonly downstreamKey: () => string;
  readonly fn: (attempt: Attempt) => Promise<Value> | Value;
}

/** What a run that ran resolves to. */
export interface Executed {
  readonly value: unknown;
  /** False when the handler said `skipStoring`. */
  readonly stored: boolean;
}

/** A result on its way to the store. */
interface EncodedResult extends EncodedOutcome {
  readonly decoded: unknown;
}

/** What the ends of an attempt share. */
interface Running {
  readonly place: KeyPlace;
  readonly fingerprint: string;
  readonly attempt: LeasedAttempt;
  readonly codec: Codec;
}

const tracing = tracingChannel<unknown, { resource: string; token: number; number: number }>(eventChannel);

/** A copy: those who wait may keep it. */
function storedOutcomeOf({ outcome, codecId, bytes }: EncodedOutcome): StoredOutcome {
  return { kind: "stored", outcome, codecId, result: Buffer.from(bytes) };
}

/** The executions of one instance. */
export class Executions {
  readonly #store: AttemptStore;
  readonly #claims: Claims;
  readonly #waiting: Waiting;
  readonly #options: ResolvedIdempotencyOptions;
  readonly #events: EventSink<IdempotencyEvent>;
  readonly #leases: LeaseKeeper<LeaseData>;

  constructor(
    connection: Connection,
    parts: { store: AttemptStore; claims: Claims; waiting: Waiting },
    options: ResolvedIdempotencyOptions,
    events: EventSink<IdempotencyEvent>,
  ) {
    this.#store = parts.store;
    this.#claims = parts.claims;
    this.#waiting = parts.waiting;
    this.#options = options;
    this.#events = events;
    this.#leases = new LeaseKeeper<LeaseData>({
      clock: connection.clock,
      renew: ({ data }) => renewed(this.#store, data),
      onRenewalFailed: ({ resource, token }, error) =>
        this.#events.emit(() => ({ type: "renewal-failed", resource, token, error })),
    });
  }

  /**
   * Runs the handler.
   * @throws the handler's error, OutcomeUnknownError, AttemptSupersededError, ResultNotStoredError, NotReplicatedError
   */
  async execute<Value>(execution: Execution<Value>): Promise<Executed> {
    const { place, fingerprint, codec, grant, fn } = execution;
    const attempt = this.#begin(execution);
    const running: Running = { place, fingerprint, attempt, codec };
    try {
      let value: Value;
      try {
        const { resource, token, number } = attempt;
        value = tracing.hasSubscribers
          ? await tracing.tracePromise(async () => fn(attempt), { resource, token, number })
          : await fn(attempt);
      } catch (error) {
        throw await this.#failed(running, grant, error);
      }
      if (attempt.skipped !== undefined) {
        await this.#release(running, attempt.skipped, value, undefined);
        return { value, stored: false };
      }
      const result = this.#encode(running, value);
      if (result instanceof ResultNotStoredError) throw await this.#close(running, result);
      await this.#finish(running, result, value, undefined);
      return { value: result.decoded, stored: true };
    } finally {
      attempt.lease.end("released");
    }
  }

  #begin<Value>({ place, grant, downstreamKey }: Execution<Value>): LeasedAttempt {
    const { leaseMs, attemptMaxMs } = this.#options;
    const { resource } = place;
    const { owner, token, sentAt } = grant;
    const lease = this.#leases.keep({
      resource,
      token,
      data: { place, owner },
      leaseMs,
      sentAt,
      renewEveryMs: Math.max(1, Math.floor(leaseMs / 3)),
      holdMaxMs: attemptMaxMs,
      endError: (end) => new AttemptLostError(resource, token, end),
    });
    if (lease.remainingMs() <= 0) {
      lease.end("expired");
      this.#claims.abandon(place, owner);
      const advice = `the answer took as long as leaseMs (${leaseMs} ms); try again`;
      throw new RedisUnavailableError(`idempotency.run ${resource}`, "UNREACHABLE", advice);
    }
    const attempt = new LeasedAttempt(lease, grant, downstreamKey);
    if (this.#events.active) this.#tellStarted(attempt);
    return attempt;
  }

  #tellStarted({ resource, token, number, recovered }: LeasedAttempt): void {
    this.#events.emit(() => ({ type: "started", resource, token, number, recovered }));
  }

  /** A result as it will be stored, with its decoded form, or why it cannot be. */
  #encode({ place, codec }: Running, value: unknown): EncodedResult | ResultNotStoredError {
    let bytes: Uint8Array;
    let decoded: unknown;
    try {
      bytes = codec.encode(value);
      // A codec may keep or change what it reads.
      decoded = codec.decode(Buffer.from(bytes));
    } catch (error) {
      const detail = wordsOf(error);
      return new ResultNotStoredError(place.resource, "not-serializable", detail, { cause: error });
    }
    const { resultBytesMax } = this.#options;
    if (bytes.length > resultBytesMax) {
      const detail = `${bytes.length} bytes, resultBytesMax is ${resultBytesMax}`;
      return new ResultNotStoredError(place.resource, "too-large", detail);
    }
    return { outcome: "completed", codecId: codec.id, bytes, decoded };
  }

  /** Closes the key with a failure, since running again would repeat the effect. Resolves to the error to throw. */
  async #close(running: Running, error: unknown): Promise<unknown> {
    const bytes = encodeFailure(error, this.#options.resultBytesMax);
    await this.#finish(running, { outcome: "failed", codecId: failureCodecId, bytes }, undefined, error);
    return error;
  }

  /** Decides on the handler's error, acts on it, and resolves to what the caller is to be thrown. */
  async #failed(running: Running, grant: Grant, error: unknown): Promise<unknown> {
    switch (this.decide(error, running.attempt)) {
      case "store":
        return this.#close(running, error).catch((failure: unknown) => failure);
      case "release":
        return this.#release(running, effectOf(error), undefined, error).then(
          () => error,
          (failure: unknown) => failure,
        );
      case "unknown":
        return this.#hold(running, grant, error);
    }
  }

  /** What `onError` says of an error; an `onError` that throws, or says nothing known, decides nothing. */
  decide(error: unknown, attempt: Attempt): FailureDecision {
    let decision: unknown;
    try {
      decision = this.#options.onError(error, attempt);
    } catch (failure) {
      warn(failure);
    }
    return decision === "release" || decision === "store" ? decision : "unknown";
  }

  async #finish(running: Running, outcome: EncodedOutcome, value: unknown, cause: unknown): Promise<void> {
    const { place, fingerprint, attempt } = running;
    const { token, number, recovered } = attempt;
    const { owner } = attempt.lease.data;
    let reply;
    try {
      reply = await this.#store.finish({ place, owner, token, number, recovered, fingerprint }, outcome);
    } catch (error) {
      if (error instanceof NotReplicatedError) {
        this.#tellNotReplicated(attempt, error);
        throw error;
      }
      throw this.#unknown(running, "its outcome could not be stored", cause ?? error);
    }
    if (reply.kind === "refused") {
      const operation = outcome.outcome === "completed" ? "complete" : "fail";
      throw this.#superseded(running, operation, reply.currentToken, value, cause);
    }
    if (this.#events.active) this.#tellStored(attempt, outcome);
    if (this.#waiting.hasWaiters(place)) this.#waiting.tell(place, fingerprint, storedOutcomeOf(outcome));
  }

  #tellNotReplicated({ resource, token }: LeasedAttempt, error: NotReplicatedError): void {
    this.#events.emit(() => ({ type: "not-replicated", resource, token, error }));
  }

  #tellStored({ resource, token }: LeasedAttempt, { outcome, bytes }: EncodedOutcome): void {
    this.#events.emit(() => ({ type: "stored", resource, token, outcome, resultBytes: bytes.length }));
  }

  /** Frees the key. What fails here does not hide the handler's own answer; only that it was overtaken does. */
  async #release(running: Running, effect: "none" | "possible", value: unknown, cause: unknown): Promise<void> {
    const { place, attempt } = running;
    const { resource, token } = attempt;
    let reply;
    try {
      reply = await this.#store.release(attempt.lease.data, effect);
    } catch (error) {
      this.#events.emit(() => ({ type: "release-failed", resource, token, error }));
      return;
    }
    // A record that Redis has lost holds nothing that could be freed.
    if (reply.kind === "refused" && reply.state !== "absent") {
      throw this.#superseded(running, "release", reply.currentToken, value, cause);
    }
    this.#events.emit(() => ({ type: "released", resource, token, effect }));
    this.#waiting.ask(place);
  }

  async #hold(running: Running, grant: Grant, error: unknown): Promise<HoldfastError> {
    const { place, attempt } = running;
    const { resource, token } = attempt;
    try {
      const reply = await this.#store.hold({ place, owner: grant.owner });
      if (reply.kind === "refused" && reply.state !== "absent") {
        return this.#superseded(running, "hold", reply.currentToken, undefined, error);
      }
    } catch (failure) {
      // The lease ends by itself, which holds the key just as well.
      this.#events.emit(() => ({ type: "release-failed", resource, token, error: failure }));
    }
    this.#waiting.ask(place);
    return this.#unknown(running, wordsOf(error), error);
  }

  #superseded(
    { attempt }: Running,
    operation: "complete" | "fail" | "release" | "hold",
    currentToken: number,
    value: unknown,
    cause: unknown,
  ): AttemptSupersededError {
    const { resource, token } = attempt;
    this.#events.emit(() => ({ type: "stale-refused", resource, token, currentToken, operation }));
    return new AttemptSupersededError(resource, token, currentToken, value, cause === undefined ? {} : { cause });
  }

  #unknown({ place, attempt }: Running, why: string, cause: unknown): OutcomeUnknownError {
    const { resource, token } = attempt;
    this.#events.emit(() => ({ type: "unknown", resource, token, cause }));
    const advice =
      this.#options.onUnknown === "hold"
        ? "the key stays closed until `resolve` says what became of it"
        : "run it again under the same key: it replays what was stored, or recovers after the lease";
    return new OutcomeUnknownError(`idempotency.run ${resource}`, place.key, { why, cause, advice });
  }
}
