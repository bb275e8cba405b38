/**
 * Gives the leases of a quorum back, and goes on in the background while no majority answers: until one does, or until the lease has ended by
 * itself (L3).
 */
import { elapsedMs, now, sleep } from "@holdfast/core";
import type { Clock, EventSink, RenewedLease } from "@holdfast/core";
import type { LockEvent } from "../events.ts";
import { FirstReturn } from "../first-return.ts";
import type { GiveBackLease } from "../hold.ts";
import { QuorumUnreachableError } from "./errors.ts";
import type { QuorumHeld } from "./quorum-held.ts";

/** What returns work with. */
export interface QuorumReturnsParts {
  readonly clock: Clock;
  readonly events: EventSink<LockEvent>;
  /** Aborts when the instance is closed: then nothing goes on. */
  readonly closing: AbortSignal;
  /** Takes what goes on in the background. */
  readonly track: (work: Promise<unknown>) => void;
}

const retryMs = { min: 50, max: 1_000 };

/** The returns of one instance. */
export class QuorumReturns {
  readonly #parts: QuorumReturnsParts;

  constructor(parts: QuorumReturnsParts) {
    this.#parts = parts;
  }

  /** What a hold gives its lease back with. */
  of(lease: RenewedLease<QuorumHeld>): GiveBackLease {
    const { clock, events } = this.#parts;
    const { resource, token } = lease;
    const { owner } = lease.data;
    const first = new FirstReturn(clock);
    return async (leftMs) => {
      const again = first.begin(leftMs);
      const answer = await lease.data.ballot.release();
      if (answer === "unknown") {
        const error = new QuorumUnreachableError(resource, lease.data.ballot.votes);
        events.emit(() => ({ type: "release-failed", resource, owner, error }));
        if (!again) this.#parts.track(this.#goOn(lease.data));
        throw error;
      }
      const isReleased = answer === "yes" || (again && first.inTime);
      const outcome = isReleased ? "released" : "lost";
      events.emit(() => ({ type: "released", resource, token, owner, outcome }));
      return outcome;
    };
  }

  async #goOn({ ballot, ttlMs }: QuorumHeld): Promise<void> {
    const { clock, closing } = this.#parts;
    const startedAt = now(clock);
    let delayMs = retryMs.min;
    while (elapsedMs(clock, startedAt) < ttlMs) {
      await sleep(clock, delayMs, closing).catch(() => undefined);
      if (closing.aborted || (await ballot.release()) !== "unknown") return;
      delayMs = Math.min(retryMs.max, delayMs * 2);
    }
  }
}
