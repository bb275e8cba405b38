/**
 * One acquire from its first request to the grant or to giving up: the queue, the poll, the hand-off, the deadline, the signal.
 *
 * A waiter asks again every half `waiterLapseMs`, which also tells Redis that it lives. A hand-off grants to it for `waiterLapseMs` from its
 * last request, so the lease counts without another round trip. Whoever gives up gives back what a request under way may still get (L3).
 */
import {
  cameLate,
  deadlineListOf,
  elapsedMs,
  HoldfastError,
  isTransient,
  leaseMarginMs,
  now,
  onAbort,
} from "@holdfast/core";
import type { AbortRegistration, Clock, DeadlineEntry, Instant, Random, TimerHandle } from "@holdfast/core";
import { LockLostError, LockTimeoutError } from "./errors.ts";
import { hintChannel } from "./keys.ts";
import type { LeaseStore, Owned } from "./lease-store.ts";
import type { AcquireReply } from "./scripts.ts";
import type { TakeReply } from "./turnstile.ts";
import type { Waiter, WaitingRoom } from "./waiting-room.ts";

/** What the server has granted. */
export interface Grant {
  readonly token: number;
  /** The moment before the request from which the lease counts was sent. */
  readonly sentAt: Instant;
  /** Length of the lease when a hand-off granted it, until the first renewal. */
  readonly firstLeaseMs: number | undefined;
  /** Whether another request of this owner may still reach Redis. */
  readonly mayArrive: boolean;
}

/** How an acquire ended without a grant. */
export interface GivenUp {
  readonly reason: "busy" | "timeout" | "cancelled" | "closed" | "failed";
  readonly error: unknown;
  readonly waitedMs: number;
  /** Whether something may be left to give back. */
  readonly mayHold: boolean;
  /** Whether a request of this owner may still reach Redis. */
  readonly mayArrive: boolean;
}

/** A request that was made before, and what became of it. */
export type FirstRequest = { readonly sentAt: Instant; readonly epoch: number } & (
  | { readonly reply: AcquireReply | TakeReply; readonly error?: undefined }
  | { readonly reply?: undefined; readonly error: unknown }
);

/** What an acquisition works with. */
export interface AcquisitionSettings {
  /** Nothing when it begins with its own first request. */
  readonly first: FirstRequest | undefined;
  readonly store: LeaseStore;
  readonly room: WaitingRoom;
  readonly clock: Clock;
  readonly random: Random;
  readonly owned: Owned;
  readonly ttlMs: number;
  readonly waits: boolean;
  /** When to give up, in milliseconds from the start; Infinity for no end but that of a request. */
  readonly endMs: number;
  readonly lapseMs: number;
  readonly signal: AbortSignal | undefined;
  /** A hand-off is not confirmed by replicas, so with durability the waiter asks itself. */
  readonly trustHandOff: boolean;
  /** Told when it ends without a grant. */
  readonly onGivenUp: (given: GivenUp) => void;
}

/** After a failed request it is tried again at this pace. */
const retryMs = { min: 25, max: 500 };
/** An acquire that does not wait asks so often when the answers come too late to hold anything. */
const lateAnswersMax = 3;

/** One acquire. */
export class Acquisition implements Waiter {
  readonly owner: string;
  readonly #settings: AcquisitionSettings;
  readonly #startedAt: Instant;
  readonly #epoch: number;
  readonly #outcome = Promise.withResolvers<Grant | null>();
  #settled = false;
  #asking = false;
  #askAgain = false;
  /** Where it listens for hints, once it does. */
  #channel: string | undefined;
  /** Requests that were sent and whose execution is not known to be over. */
  #underWay = 0;
  #answers = 0;
  #lateAnswers = 0;
  #failures = 0;
  #lastError: unknown;
  #queuedSince: Instant | undefined;
  /** The last token that had been given when the place in the queue was confirmed. */
  #lastToken = 0;
  #next: TimerHandle | undefined;
  #deadline: DeadlineEntry | undefined;
  #abort: AbortRegistration | undefined;

  constructor(settings: AcquisitionSettings) {
    this.owner = settings.owned.owner;
    this.#settings = settings;
    this.#startedAt = settings.first?.sentAt ?? now(settings.clock);
    this.#epoch = settings.first?.epoch ?? settings.store.epoch;
  }

  /** Resolves to the grant, or to null when it is held and the caller does not wait. Rejects with the reason of giving up. */
  run(): Promise<Grant | null> {
    const { signal, endMs, clock } = this.#settings;
    if (signal?.aborted === true) {
      this.#giveUp("cancelled", signal.reason);
    } else if (endMs <= 0) {
      this.#giveUp("timeout", this.#timeoutError());
    } else {
      if (signal !== undefined) this.#abort = onAbort(signal, () => this.#giveUp("cancelled", signal.reason));
      if (Number.isFinite(endMs)) {
        const onDeadline = (): void => this.#giveUp("timeout", this.#timeoutError());
        this.#deadline = deadlineListOf(clock, Math.ceil(endMs)).add(onDeadline, this.#startedAt.monotonicMs);
      }
      this.#begin();
    }
    return this.#outcome.promise;
  }

  /** Ends the waiting because the instance is closed. */
  close(error: Error): void {
    this.#giveUp("closed", error);
  }

  onHandOff(token: number): void {
    const { lapseMs, ttlMs, clock, trustHandOff } = this.#settings;
    const since = this.#queuedSince;
    if (this.#settled) return;
    // A hint on another connection may be older than the answer that confirmed the place: what it grants has lapsed.
    if (since === undefined || token <= this.#lastToken || !trustHandOff) {
      this.onHint();
      return;
    }
    // It counts for no longer than its ttl, to which the first renewal shortens it (L4).
    const heldMs = Math.min(lapseMs, ttlMs);
    const leftMs = heldMs - leaseMarginMs(heldMs) - elapsedMs(clock, since);
    // Too little is left to begin with, as after a pause: ask, which also tells whether the lease is still ours.
    if (leftMs < heldMs / 4) this.onHint();
    else this.#grant({ token, sentAt: since, firstLeaseMs: lapseMs, mayArrive: this.#mayArrive });
  }

  /** Asks now, or as soon as the request under way is answered. */
  onHint(): void {
    if (this.#settled) return;
    if (this.#asking) this.#askAgain = true;
    else this.#ask();
  }

  get #mayArrive(): boolean {
    return this.#underWay > 0 || this.#epoch !== this.#settings.store.epoch;
  }

  #begin(): void {
    const { first } = this.#settings;
    if (first === undefined || first.reply?.kind === "look") {
      this.#ask();
      return;
    }
    this.#underWay = 1;
    if (first.reply === undefined) this.#failed(first.error);
    else this.#answered(first.reply, first.sentAt);
  }

  #ask(): void {
    const { store, owned, ttlMs, waits, clock } = this.#settings;
    this.#disarm();
    this.#asking = true;
    this.#askAgain = false;
    this.#underWay += 1;
    const sentAt = now(clock);
    store.acquire(owned, ttlMs, waits).then(
      (reply) => this.#answered(reply, sentAt),
      (error: unknown) => this.#failed(error),
    );
  }

  #answered(reply: AcquireReply, sentAt: Instant): void {
    this.#asking = false;
    this.#underWay -= 1;
    this.#answers += 1;
    this.#failures = 0;
    this.#lastError = undefined;
    if (!this.#settled) this.#onReply(reply, sentAt);
  }

  #failed(error: unknown): void {
    this.#asking = false;
    if (error instanceof HoldfastError && error.effect === "none") this.#underWay -= 1;
    if (!this.#settled) this.#onError(error);
  }

  #onReply(reply: AcquireReply, sentAt: Instant): void {
    const { ttlMs, clock, lapseMs, random, owned, room } = this.#settings;
    switch (reply.kind) {
      case "granted":
        if (elapsedMs(clock, sentAt) < ttlMs - leaseMarginMs(ttlMs)) {
          this.#grant({ token: reply.token, sentAt, firstLeaseMs: undefined, mayArrive: this.#mayArrive });
        } else {
          this.#onLateAnswer();
        }
        return;
      case "waiting": {
        this.#queuedSince = sentAt;
        this.#lastToken = reply.lastToken;
        if (this.#channel === undefined) {
          this.#channel = hintChannel(owned.keys, this.owner);
          room.enter(this.#channel, this, sentAt.monotonicMs);
          // It may have been told more than that it waits.
          if (this.#settled || this.#asking) return;
        }
        // Half the lapse leaves room for one request that comes late.
        const pollMs = (lapseMs / 2) * (1 - 0.2 * random.unit());
        if (this.#askAgain) this.#ask();
        else this.#arm(Math.min(pollMs, reply.leaseEndsInMs + 1));
        return;
      }
      case "busy":
        this.#giveUp("busy", null);
        return;
      case "ended":
        this.#giveUp("failed", new LockLostError(owned.keys.resource, 0, "released"));
    }
  }

  /** The lease was over for us before its grant arrived. Another request counts it anew under the same token. */
  #onLateAnswer(): void {
    this.#lateAnswers += 1;
    if (this.#settings.waits || this.#lateAnswers < lateAnswersMax) this.#ask();
    else this.#giveUp("timeout", this.#timeoutError("Redis answers more slowly than the lease is long; raise ttlMs"));
  }

  #onError(error: unknown): void {
    this.#lastError = error;
    if (!isTransient(error) || !this.#settings.waits) {
      this.#giveUp("failed", error);
      return;
    }
    this.#failures += 1;
    const delayMs = Math.min(retryMs.max, retryMs.min * 2 ** Math.min(this.#failures, 10));
    this.#arm(delayMs * (1 - 0.5 * this.#settings.random.unit()));
  }

  #arm(delayMs: number): void {
    this.#next = this.#settings.clock.setTimer(() => this.#ask(), delayMs, true);
  }

  #disarm(): void {
    if (this.#next !== undefined) this.#settings.clock.clearTimer(this.#next);
    this.#next = undefined;
  }

  #timeoutError(why?: string): Error {
    const late = cameLate(this.#lastError);
    // Nothing was ever answered: what is wrong is not that somebody else holds the lock.
    if (this.#answers === 0 && this.#lastError instanceof Error && !late) return this.#lastError;
    const isSilent = this.#answers === 0 && (this.#asking || late);
    const silent = isSilent ? "Redis has not answered in time; check its load and the network" : why;
    const waitedMs = elapsedMs(this.#settings.clock, this.#startedAt);
    return new LockTimeoutError(this.#settings.owned.keys.resource, waitedMs, this.#mayArrive ? "possible" : "none", {
      cause: this.#lastError,
      ...(silent === undefined ? {} : { why: silent }),
    });
  }

  #grant(grant: Grant): void {
    this.#settle();
    this.#outcome.resolve(grant);
  }

  #giveUp(reason: GivenUp["reason"], error: unknown): void {
    if (this.#settled) return;
    const mayArrive = this.#mayArrive;
    const asked = this.#underWay > 0 || this.#queuedSince !== undefined || this.#lateAnswers > 0;
    const mayHold = asked || (mayArrive && (this.#answers > 0 || this.#settings.first?.reply !== undefined));
    const waitedMs = elapsedMs(this.#settings.clock, this.#startedAt);
    this.#settle();
    this.#settings.onGivenUp({ reason, error, waitedMs, mayHold, mayArrive });
    if (error === null) this.#outcome.resolve(null);
    else this.#outcome.reject(error);
  }

  #settle(): void {
    this.#settled = true;
    this.#disarm();
    this.#deadline?.cancel();
    this.#abort?.cancel();
    if (this.#channel !== undefined) this.#settings.room.leave(this.#channel, this);
  }
}
