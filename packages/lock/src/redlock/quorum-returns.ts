/**
 * Gives the leases of a quorum back, and goes on in the background while no majority answers: until one does, or until the lease has ended by
 * itself (L3).
 */
import { elapsedMs, now, sleep } from "@holdfast/core";
import type { Clock, EventSink, Instant, RenewedLease } from "@holdfast/core";
import type { LockEvent } from "../events.ts";
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

  /**
   * What a hold gives its lease back with. After a request that no majority answered, `lost` within the time that was left then is the answer
   * to a repeat: the first has given it back (K1).
   */
  of(lease: RenewedLease<QuorumHeld>): GiveBackLease {
    const { clock, events } = this.#parts;
    const { resource, token } = lease;
    const { owner } = lease.data;
    let first: { readonly askedAt: Instant; readonly leftMs: number } | undefined;
    return async (leftMs) => {
      const again = first !== undefined;
      first ??= { askedAt: now(clock), leftMs };
      const answer = await lease.data.ballot.release();
      if (answer === "unknown") {
        const error = new QuorumUnreachableError(resource, lease.data.ballot.votes);
        events.emit(() => ({ type: "release-failed", resource, owner, error }));
        if (!again) this.#parts.track(this.#goOn(lease.data));
        throw error;
      }
      const isReleased = answer === "yes" || (again && elapsedMs(clock, first.askedAt) < first.leftMs);
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
