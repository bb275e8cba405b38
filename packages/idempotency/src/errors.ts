/** The failures of an idempotent run. Those of the connection (unknown outcome, unavailable, refused) are core's. */
import { HoldfastError } from "@holdfast/core";
import type { Effect, LeaseEnd } from "@holdfast/core";

/** Another attempt of the same key is running, and the time to wait for it was over. */
export class InProgressError extends HoldfastError {
  override readonly name = "InProgressError";
  readonly code = "IN_PROGRESS";
  readonly effect = "none";
  readonly resource: string;
  /** Milliseconds after which the key is certainly decided or free: what is left of the lease. */
  readonly retryAfterMs: number;

  constructor(resource: string, retryAfterMs: number) {
    super(`${resource}: another attempt is running; try again within ${retryAfterMs} ms, or wait with waitMs`);
    this.resource = resource;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The key was used with another payload. */
export class FingerprintMismatchError extends HoldfastError {
  override readonly name = "FingerprintMismatchError";
  readonly code = "FINGERPRINT_MISMATCH";
  readonly effect = "none";
  readonly resource: string;

  constructor(resource: string) {
    super(`${resource}: the key was used with another payload; take a new key for a new request`);
    this.resource = resource;
  }
}

/** The attempt outlived its lease and another took over, or an operator settled the key: its outcome was not stored. */
export class AttemptSupersededError extends HoldfastError {
  override readonly name = "AttemptSupersededError";
  readonly code = "ATTEMPT_SUPERSEDED";
  readonly effect = "possible";
  readonly resource: string;
  /** The token of this attempt. */
  readonly token: number;
  /** The token that the key is at now. */
  readonly currentToken: number;
  /** What the handler returned, undefined when it threw (then it is in `cause`). */
  readonly value: unknown;

  constructor(resource: string, token: number, currentToken: number, value: unknown, options?: ErrorOptions) {
    super(
      `${resource}: attempt ${token} was overtaken by ${currentToken}, its outcome was not stored; repeat the call to get the one that counts`,
      options,
    );
    this.resource = resource;
    this.token = token;
    this.currentToken = currentToken;
    this.value = value;
  }
}

/** The reason of an attempt's signal: it no longer holds its key, and another attempt may run. */
export class AttemptLostError extends HoldfastError {
  override readonly name = "AttemptLostError";
  readonly code = "ATTEMPT_LOST";
  readonly effect = "possible";
  readonly resource: string;
  readonly token: number;
  readonly reason: LeaseEnd;

  constructor(resource: string, token: number, reason: LeaseEnd) {
    super(
      `${resource}: attempt ${token} no longer holds its key (${reason}); stop, or write only where the token is checked`,
    );
    this.resource = resource;
    this.token = token;
    this.reason = reason;
  }
}

/** Why a result could not be stored. */
export type NotStoredReason = "not-serializable" | "too-large";

/**
 * The handler has succeeded, but its result cannot be stored. The key is closed with this failure, since running again would repeat the
 * effect: every further call throws it, too.
 */
export class ResultNotStoredError extends HoldfastError {
  override readonly name = "ResultNotStoredError";
  readonly code = "RESULT_NOT_STORED";
  readonly effect = "possible";
  readonly resource: string;
  readonly reason: NotStoredReason;

  constructor(resource: string, reason: NotStoredReason, detail: string, options?: ErrorOptions) {
    super(`${resource}: the attempt succeeded, but its result was not stored (${reason}): ${detail}`, options);
    this.resource = resource;
    this.reason = reason;
  }
}

/** The stored result cannot be read by this process: another codec wrote it, or the codec refuses the bytes. */
export class ResultUnreadableError extends HoldfastError {
  override readonly name = "ResultUnreadableError";
  readonly code = "RESULT_UNREADABLE";
  readonly effect: Effect = "none";
  readonly resource: string;
  /** The codec of the stored result. */
  readonly codecId: string;

  constructor(resource: string, codecId: string, known: readonly string[], options?: ErrorOptions) {
    super(
      `${resource}: the result was stored with codec ${JSON.stringify(codecId)}, this process reads ${known.map((id) => JSON.stringify(id)).join(", ")}; add it to formerCodecs`,
      options,
    );
    this.resource = resource;
    this.codecId = codecId;
  }
}

/**
 * A failure that was stored with the key and is thrown again: name, message, code and the error's own JSON-like properties are those of the
 * original, its class and stack are not.
 */
export class StoredError extends Error {
  override readonly name: string;
  /** Always true; tells a repeated failure from the first one. */
  readonly replayed = true;

  constructor(name: string, message: string, properties: Readonly<Record<string, unknown>>) {
    super(message);
    Object.assign(this, properties);
    this.name = name;
  }
}
