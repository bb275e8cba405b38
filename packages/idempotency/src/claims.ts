/** How a call comes to its key: it starts the next attempt, gets the stored outcome, or is told why not, after waiting as long as it may. */
import {
  ambientRemainingMs,
  cameLate,
  elapsedMs,
  leaseMarginMs,
  NotReplicatedError,
  now,
  OutcomeUnknownError,
  RedisUnavailableError,
} from "@holdfast/core";
import type { Clock, EventSink, Instant } from "@holdfast/core";
import { FingerprintMismatchError, InProgressError } from "./errors.ts";
import type { IdempotencyEvent } from "./events.ts";
import type { KeyPlace } from "./keys.ts";
import type { ResolvedIdempotencyOptions } from "./options.ts";
import type { ClaimReply } from "./scripts.ts";
import type { AttemptStore } from "./store.ts";
import type { StoredOutcome, Waiter, Waiting } from "./waiting.ts";

/** What a call hears that waited for an attempt when Redis went away, in milliseconds. */
const pollAgainMs = 1_000;

/** How often a claim is made whose answer came too late. */
const asksMax = 3;

type Busy = Extract<ClaimReply, { readonly kind: "busy" }>;

/** What a call asks for. */
export interface ClaimRequest {
  readonly place: KeyPlace;
  readonly fingerprint: string;
  readonly waitMs: number;
  readonly signal: AbortSignal | undefined;
  /**
   * The ambient deadline that was in force at the call, in monotonic milliseconds; Infinity for none, or one that had passed before. What its
   * caller has given up does not begin later.
   */
  readonly deadlineMs: number;
}

/** The ambient deadline as a claim keeps it. */
export function deadlineOfClaim(clock: Clock): number {
  // Asked in this order, so that it is not later than the deadline itself: what is asked of Redis behind that is not bounded by it.
  const nowMs = clock.monotonicMs();
  const remainingMs = ambientRemainingMs();
  return remainingMs > 0 ? nowMs + remainingMs : Infinity;
}

/** The right to run. */
export interface Grant {
  readonly kind: "granted";
  readonly owner: string;
  readonly token: number;
  readonly number: number;
  readonly recovered: boolean;
  /** The moment before the request was first sent: the lease counts from there. */
  readonly sentAt: Instant;
}

/** The claims of one instance. */
export class Claims {
  readonly #store: AttemptStore;
  readonly #waiting: Waiting;
  readonly #options: ResolvedIdempotencyOptions;
  readonly #events: EventSink<IdempotencyEvent>;

  constructor(
    store: AttemptStore,
    waiting: Waiting,
    options: ResolvedIdempotencyOptions,
    events: EventSink<IdempotencyEvent>,
  ) {
    this.#store = store;
    this.#waiting = waiting;
    this.#options = options;
    this.#events = events;
  }

  /**
   * Resolves to the right to run, or to the stored outcome.
   * @throws InProgressError, FingerprintMismatchError, OutcomeUnknownError (the key is held until it is resolved),
   *   RedisUnavailableError (nothing ran), the signal's reason
   */
  async claim(request: ClaimRequest): Promise<Grant | StoredOutcome> {
    const { place, fingerprint, signal } = request;
    const { clock } = this.#options;
    const giveUpAtMs = clock.monotonicMs() + Math.min(request.waitMs, ambientRemainingMs());
    let waiter: Waiter | undefined;
    try {
      for (;;) {
        signal?.throwIfAborted();
        let answer;
        try {
          answer = await this.#ask(request);
        } catch (error) {
          // Known to be running: whoever runs without a store when there is none must not run beside it.
          if (waiter !== undefined && error instanceof RedisUnavailableError)
            throw this.#inProgress(place, pollAgainMs);
          throw error;
        }
        if (answer.kind === "granted") return answer;
        if (answer.kind === "stored") {
          if (waiter !== undefined) this.#waiting.tell(place, fingerprint, answer);
          return answer;
        }
        const leftMs = giveUpAtMs - clock.monotonicMs();
        if (leftMs <= 0) throw this.#inProgress(place, answer.remainingMs);
        waiter ??= this.#waiting.join(place, fingerprint);
        const learned = await waiter.wait(clock, Math.min(leftMs, answer.remainingMs + 1), signal);
        if (learned !== undefined) return learned;
      }
    } finally {
      waiter?.leave();
    }
  }

  #inProgress({ resource }: KeyPlace, remainingMs: number): InProgressError {
    this.#events.emit(() => ({ type: "busy", resource, remainingMs }));
    return new InProgressError(resource, Math.max(1, remainingMs));
  }

  async #ask(request: ClaimRequest): Promise<Grant | StoredOutcome | Busy> {
    const { clock, random, leaseMs } = this.#options;
    const { place, fingerprint } = request;
    for (let asked = 1; ; asked += 1) {
      if (clock.monotonicMs() >= request.deadlineMs) throw this.#deadlinePassed(place);
      const owner = random.id();
      const sentAt = now(clock);
      let reply;
      try {
        reply = await this.#store.claim({ place, owner }, fingerprint, request.deadlineMs);
      } catch (error) {
        throw this.#notClaimed(place, owner, error);
      }
      const answer = this.#read(request, owner, reply);
      if (answer.kind !== "granted") return answer;
      // An answer that took as long as the lease is worth nothing: give it back and ask again.
      if (asked === asksMax || elapsedMs(clock, sentAt) < leaseMs - leaseMarginMs(leaseMs)) {
        const { token, number, recovered } = answer;
        return { kind: "granted", owner, token, number, recovered, sentAt };
      }
      await this.#giveBack(place, owner);
    }
  }

  async #giveBack(place: KeyPlace, owner: string): Promise<void> {
    try {
      await this.#store.release({ place, owner }, "none");
    } catch (error) {
      throw this.#notClaimed(place, owner, error);
    }
  }

  #read(
    { place, signal, deadlineMs }: ClaimRequest,
    owner: string,
    answer: Awaited<ReturnType<AttemptStore["claim"]>>,
  ): Extract<ClaimReply, { readonly kind: "granted" }> | StoredOutcome | Busy {
    switch (answer.kind) {
      case "granted":
        if (signal?.aborted !== true && this.#options.clock.monotonicMs() < deadlineMs) return answer;
        this.abandon(place, owner);
        if (signal?.aborted === true) throw signal.reason;
        throw this.#deadlinePassed(place);
      case "stored":
      case "busy":
        return answer;
      case "mismatch":
        throw this.#mismatch(place);
      case "unknown":
        throw new OutcomeUnknownError(`idempotency.run ${place.resource}`, place.key, {
          why: "an attempt ended without an outcome",
          advice: "the key stays closed until `resolve` says what became of it",
        });
    }
  }

  #deadlinePassed({ resource }: KeyPlace): RedisUnavailableError {
    const advice = "the ambient deadline passed while the key was claimed";
    return new RedisUnavailableError(`idempotency.run ${resource}`, "DEADLINE", advice);
  }

  #mismatch({ resource }: KeyPlace): FingerprintMismatchError {
    this.#events.emit(() => ({ type: "mismatched", resource }));
    return new FingerprintMismatchError(resource);
  }

  /** The handler has not run: whatever became of the claim, the caller's work has had no effect. */
  #notClaimed(place: KeyPlace, owner: string, error: unknown): unknown {
    if (error instanceof RedisUnavailableError) return error;
    // The claim may stand: give it back, so that it blocks the key for no longer than Redis is away.
    this.abandon(place, owner);
    const operation = `idempotency.run ${place.resource}`;
    if (error instanceof NotReplicatedError) {
      const advice = "too few replicas have confirmed the claim of the key; try again";
      return new RedisUnavailableError(operation, "NOREPLICAS", advice, { cause: error });
    }
    if (!cameLate(error)) return error;
    return new RedisUnavailableError(operation, "UNREACHABLE", "the key could not be claimed; try again", {
      cause: error,
    });
  }

  /** Gives an attempt back that never ran. Its lease ends it if this fails. */
  abandon(place: KeyPlace, owner: string): void {
    const { resource } = place;
    this.#store.release({ place, owner }, "none").catch((error: unknown) => {
      this.#events.emit(() => ({ type: "release-failed", resource, token: 0, error }));
    });
  }
}
