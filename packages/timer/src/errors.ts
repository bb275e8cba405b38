/** What can go wrong with timers beyond what all primitives share. Expected outcomes are values, not errors. */
import { HoldfastError } from "@holdfast/core";
import type { Effect } from "@holdfast/core";

/** Of a refusal: `effect` is "possible" where it is one of several parts of a call, and others were carried out. */
interface RefusalOptions extends ErrorOptions {
  readonly effect?: Effect;
}

function done(effect: Effect | undefined): string {
  return effect === "possible" ? "not all was done" : "nothing was done";
}

/** Thrown by a handler to give a timer up now: it goes to the dead letters whatever attempts are left. */
export class DeadLetterError extends HoldfastError {
  override readonly name = "DeadLetterError";
  readonly code = "TIMER_DEAD_LETTER";
  readonly effect = "possible";
}

/** Thrown by a handler to choose when it is tried again. The attempt counts. */
export class RetryInError extends HoldfastError {
  override readonly name = "RetryInError";
  readonly code = "TIMER_RETRY_IN";
  readonly effect = "possible";
  readonly delayMs: number;

  /** @param delayMs milliseconds until the next attempt, 0 to 366 days */
  constructor(delayMs: number, options?: ErrorOptions) {
    super(`try again in ${delayMs} ms`, options);
    if (!Number.isSafeInteger(delayMs) || delayMs < 0 || delayMs > 31_622_400_000) {
      throw new RangeError(`delayMs must be a whole number from 0 to 31622400000, got ${String(delayMs)}`);
    }
    this.delayMs = delayMs;
  }
}

/** The lease of a firing ended while its handler ran; the reason of its signal. */
export class FiringLostError extends HoldfastError {
  override readonly name = "FiringLostError";
  readonly code = "TIMER_FIRING_LOST";
  readonly effect = "possible";
  readonly resource: string;
  readonly token: number;
  /** `expired`: no renewal succeeded in time. `lost`: another worker has it. `cancelled`: the timer was cancelled. `closed`: the worker stopped. */
  readonly reason: "expired" | "lost" | "cancelled" | "closed";

  constructor(resource: string, token: number, reason: FiringLostError["reason"]) {
    super(
      `${resource}: the firing with token ${token} is no longer this worker's (${reason}); stop, and write only where the token is checked`,
    );
    this.resource = resource;
    this.token = token;
    this.reason = reason;
  }
}

/** A payload that cannot be stored: not serialisable, too large, or refused by the schema. */
export class PayloadError extends HoldfastError {
  override readonly name = "PayloadError";
  readonly code = "TIMER_PAYLOAD";
  readonly effect: Effect;
  readonly resource: string;
  readonly reason: "unserialisable" | "too-large" | "invalid" | "undecodable";
  readonly detail: string;

  constructor(resource: string, reason: PayloadError["reason"], detail: string, options?: RefusalOptions) {
    super(`${resource}: the payload is ${reason}: ${detail}`, options);
    this.effect = options?.effect ?? "none";
    this.detail = detail;
    this.resource = resource;
    this.reason = reason;
  }
}

/** The timer was cancelled by somebody else after this schedule was asked for and before it arrived. Nothing was done for this timer. */
export class SupersededError extends HoldfastError {
  override readonly name = "SupersededError";
  readonly code = "TIMER_SUPERSEDED";
  readonly effect: Effect;
  readonly resource: string;

  constructor(resource: string, options?: RefusalOptions) {
    super(
      `${resource}: ${done(options?.effect)}, since the timer was cancelled while this schedule was on its way; schedule again if it is still wanted`,
      options,
    );
    this.effect = options?.effect ?? "none";
    this.resource = resource;
  }
}

/** As many timers are pending as `pendingMax` allows. Nothing was done for this timer. */
export class PendingLimitError extends HoldfastError {
  override readonly name = "PendingLimitError";
  readonly code = "TIMER_PENDING_LIMIT";
  readonly effect: Effect;
  readonly resource: string;
  readonly pendingMax: number;

  constructor(resource: string, pendingMax: number, options?: RefusalOptions) {
    super(
      `${resource}: ${done(options?.effect)}, since pendingMax (${pendingMax}) is reached; find out why timers pile up, or raise it`,
      options,
    );
    this.effect = options?.effect ?? "none";
    this.resource = resource;
    this.pendingMax = pendingMax;
  }
}

/** The caller of `idle` must be done, and the worker is not idle. It goes on. */
export class NotIdleError extends HoldfastError {
  override readonly name = "NotIdleError";
  readonly code = "TIMER_NOT_IDLE";
  readonly effect = "none";
  readonly timer: string;

  constructor(timer: string, running: number, waiting: number) {
    super(
      `timer ${timer}: the worker was not idle when the ambient deadline came (${running} handlers running, ${waiting} firings waiting); it goes on`,
    );
    this.timer = timer;
  }
}

/** The timers are kept in another number of shards. */
export class ShardsMismatchError extends HoldfastError {
  override readonly name = "ShardsMismatchError";
  readonly code = "TIMER_SHARDS_MISMATCH";
  readonly effect: Effect;
  readonly timer: string;
  readonly shards: number;
  readonly shardsStored: number;

  constructor(timer: string, shards: number, shardsStored: number, options?: RefusalOptions) {
    super(
      `timer ${timer}: ${done(options?.effect)}, since its timers are kept in ${shardsStored} shards and this client was told ${shards}; give every client shards: ${shardsStored}, or call migrateShards() once`,
      options,
    );
    this.effect = options?.effect ?? "none";
    this.timer = timer;
    this.shards = shards;
    this.shardsStored = shardsStored;
  }
}

/**
 * The timers are on their way to another number of shards: it works again when `migrateShards()` has come to its end. Nothing was done, unless
 * it is `migrateShards()` itself that waited in vain for running firings.
 */
export class ShardsMovingError extends HoldfastError {
  override readonly name = "ShardsMovingError";
  readonly code = "TIMER_SHARDS_MOVING";
  readonly effect: Effect;
  readonly timer: string;
  readonly shardsWanted: number;

  constructor(timer: string, shardsWanted: number, options?: RefusalOptions) {
    super(
      `timer ${timer}: ${done(options?.effect)}, since its timers are being moved to ${shardsWanted} shards; try again, and if it lasts, call migrateShards() to bring it to its end`,
      options,
    );
    this.effect = options?.effect ?? "none";
    this.timer = timer;
    this.shardsWanted = shardsWanted;
  }
}

/** `reconcile` was asked about a time that the server no longer, or not yet, knows enough about. Nothing was done with this batch. */
export class ReconcileWindowError extends HoldfastError {
  override readonly name = "ReconcileWindowError";
  readonly code = "TIMER_RECONCILE_WINDOW";
  readonly effect: Effect;
  readonly timer: string;
  readonly asOfMs: number;
  /** The earliest `asOfMs` that can be answered now. */
  readonly earliestMs: number;
  /** The latest one, which is the server's time. */
  readonly latestMs: number;

  constructor(timer: string, asOfMs: number, earliestMs: number, latestMs: number, options?: RefusalOptions) {
    super(
      `timer ${timer}: cannot say what ended after asOfMs ${asOfMs}; it must lie from ${earliestMs} to ${latestMs} in server time. Read the pending items again and reconcile in smaller pages, or raise rememberMs`,
      options,
    );
    this.effect = options?.effect ?? "none";
    this.timer = timer;
    this.latestMs = latestMs;
    this.asOfMs = asOfMs;
    this.earliestMs = earliestMs;
  }
}
