/**
 * Gives leases and places in the queue back, and goes on in the background when Redis does not answer: until the answer is known, or until
 * nothing can be left because the lease has ended by itself (L3).
 */
import {
  ambientPatienceMs,
  elapsedMs,
  HoldfastError,
  now,
  sleep,
  underOwnId,
  withoutAmbientDeadline,
} from "@holdfast/core";
import type { Clock } from "@holdfast/core";
import type { LeaseStore, Owned } from "./lease-store.ts";
import type { Turnstile } from "./turnstile.ts";

/** What is to be given back. */
export interface Returned extends Owned {
  readonly ttlMs: number;
  /** Whether a request of this owner may still reach Redis. */
  readonly mayArrive: boolean;
}

/** The server's answer. */
export interface GivenBack {
  readonly kind: "released" | "lost";
  /** Whether the client may have sent the request twice: then `lost` can be the answer to the second. */
  readonly repeated: boolean;
}

/** What returns work with. */
export interface GiveBackSettings {
  readonly store: LeaseStore;
  readonly turnstile: Turnstile;
  readonly clock: Clock;
  readonly commandTimeoutMs: number;
}

const freed: GivenBack = { kind: "released", repeated: false };
const retryMs = { min: 50, max: 1_000 };

/** The returns of one instance. */
export class GiveBack {
  readonly #store: LeaseStore;
  readonly #turnstile: Turnstile;
  readonly #commandTimeoutMs: number;
  readonly #clock: Clock;
  readonly #onFailed: (returned: Returned, error: unknown) => void;
  readonly #pending = new Set<Promise<unknown>>();
  readonly #stopped = new AbortController();

  /** @param onFailed told of each attempt that failed */
  constructor(settings: GiveBackSettings, onFailed: (returned: Returned, error: unknown) => void) {
    this.#store = settings.store;
    this.#turnstile = settings.turnstile;
    this.#commandTimeoutMs = settings.commandTimeoutMs;
    this.#clock = settings.clock;
    this.#onFailed = onFailed;
  }

  /** Rejects when the first attempt fails; the others go on. */
  async giveBack(returned: Returned): Promise<GivenBack> {
    const attempt = this.#attempt(returned, returned.mayArrive);
    this.#pending.add(attempt);
    try {
      return await attempt;
    } catch (error) {
      if (goesOn(error)) this.#track(withoutAmbientDeadline(() => this.#goOn(returned)));
      throw error;
    } finally {
      this.#pending.delete(attempt);
    }
  }

  /** Waits for the returns under way, then stops those that go on. */
  async close(waitMs: number): Promise<void> {
    const timer = sleep(this.#clock, waitMs, this.#stopped.signal).catch(() => undefined);
    await Promise.race([Promise.allSettled(this.#pending), timer]);
    this.#stopped.abort();
  }

  #track(work: Promise<void>): void {
    this.#pending.add(work);
    void work.finally(() => this.#pending.delete(work));
  }

  async #attempt(returned: Returned, mayArrive: boolean): Promise<GivenBack> {
    const { keys, owner } = returned;
    const { connection } = this.#store;
    const { epoch } = connection;
    try {
      // What has less time than its bound says must not share one with others.
      if (!mayArrive && !keys.crowded && ambientPatienceMs() >= this.#commandTimeoutMs) {
        if ((await this.#turnstile.free(returned)).kind === "freed") return freed;
        keys.crowded = true;
      }
      const kind = await this.#store.release(returned, mayArrive);
      return { kind, repeated: epoch !== connection.epoch };
    } catch (failure) {
      const error = underOwnId(failure, `lock.release ${keys.resource}`, owner);
      this.#onFailed(returned, error);
      throw error;
    }
  }

  async #goOn(returned: Returned): Promise<void> {
    const startedAt = now(this.#clock);
    const { signal } = this.#stopped;
    let delayMs = retryMs.min;
    // A request under way is granted by its bound at the latest, and its lease ends a ttl later.
    const endMs = returned.ttlMs + (returned.mayArrive ? this.#commandTimeoutMs : 0);
    while (!signal.aborted && elapsedMs(this.#clock, startedAt) < endMs) {
      try {
        await sleep(this.#clock, delayMs, signal);
        await this.#attempt(returned, true);
        return;
      } catch (error) {
        if (!goesOn(error)) return;
      }
      delayMs = Math.min(retryMs.max, delayMs * 2);
    }
  }
}

/** A refusal for good, such as a missing permission, is the same the next time. */
function goesOn(error: unknown): boolean {
  return error instanceof HoldfastError && error.code !== "REDIS_REFUSED" && error.code !== "NEWER_FORMAT";
}
