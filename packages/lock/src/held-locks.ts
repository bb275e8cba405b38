/**
 * What one instance holds, from the grant to the release: the renewal in the background, the news to observers, and giving back, also for
 * whoever gave up. How the lock is had in the first place is in fenced-lock.ts; the handle that a caller gets, in hold.ts.
 */
import { elapsedMs, LeaseKeeper, now } from "@holdfast/core";
import type { EventSink, Instant, RenewedLease } from "@holdfast/core";
import type { Grant } from "./acquisition.ts";
import { LockLostError } from "./errors.ts";
import type { LockEvent } from "./events.ts";
import { GiveBack } from "./give-back.ts";
import type { Returned } from "./give-back.ts";
import { Hold } from "./hold.ts";
import type { GiveBackLease } from "./hold.ts";
import type { LeaseStore, Owned } from "./lease-store.ts";
import type { ResolvedAcquireOptions, ResolvedLockOptions } from "./options.ts";
import type { Turnstile } from "./turnstile.ts";

/** What it works with. */
export interface HeldLocksParts {
  readonly store: LeaseStore;
  readonly turnstile: Turnstile;
  readonly events: EventSink<LockEvent>;
}

/** Renewals that are due in the same tick are written together, 16 at a time. */
const renewBatchMax = 256;

/** The holds of one instance. */
export class HeldLocks {
  readonly #options: ResolvedLockOptions;
  readonly #store: LeaseStore;
  readonly #events: EventSink<LockEvent>;
  readonly #giveBack: GiveBack;
  readonly #keeper: LeaseKeeper<Returned>;

  constructor(options: ResolvedLockOptions, { store, turnstile, events }: HeldLocksParts) {
    this.#options = options;
    this.#store = store;
    this.#events = events;
    const { clock, commandTimeoutMs } = options;
    this.#giveBack = new GiveBack({ store, turnstile, clock, commandTimeoutMs }, ({ keys, owner }, error) => {
      events.emit(() => ({ type: "release-failed", resource: keys.resource, owner, error }));
    });
    this.#keeper = new LeaseKeeper<Returned>({
      clock,
      batchMax: renewBatchMax,
      renew: (leases) => Promise.all(leases.map(({ data }) => this.#renew(data))),
      onRenewalFailed: ({ resource, token }, error) => {
        events.emit(() => ({ type: "renewal-failed", resource, token, error }));
      },
      onEnd: ({ resource, token }, reason) => {
        if (reason !== "released") events.emit(() => ({ type: "lost", resource, token, reason }));
      },
    });
  }

  /** Keeps what was granted until it is released or lost. */
  hold(owned: Owned, { ttlMs, renewEveryMs }: ResolvedAcquireOptions, grant: Grant, waitedMs: number): Hold {
    const { resource } = owned.keys;
    const { token, firstLeaseMs, mayArrive } = grant;
    const { holdMaxMs } = this.#options;
    const lease = this.#keeper.keep({
      resource,
      token,
      data: { ...owned, ttlMs, mayArrive },
      leaseMs: ttlMs,
      firstLeaseMs,
      sentAt: grant.sentAt,
      renewEveryMs,
      holdMaxMs,
      endError: (reason) => new LockLostError(resource, token, reason),
    });
    const handedOver = firstLeaseMs !== undefined;
    this.#events.emit(() => ({ type: "acquired", resource, token, owner: owned.owner, waitedMs, handedOver }));
    return new Hold(lease, { owner: owned.owner, holdMaxMs }, this.#returnOf(lease));
  }

  /** Gives back, in the background, what an acquire that was given up may have got. */
  giveBack(returned: Returned): void {
    this.#giveBack.giveBack(returned).catch(() => undefined);
  }

  /** Gives everything back, and waits for that no longer than `commandTimeoutMs`. */
  async close(): Promise<void> {
    for (const lease of this.#keeper.held) {
      lease.end("closed");
      this.#returnOf(lease)(0).catch(() => undefined);
    }
    await this.#giveBack.close(this.#options.commandTimeoutMs);
    this.#keeper.close();
  }

  async #renew(held: Returned): Promise<"renewed" | "lost" | "cancelled" | Error> {
    try {
      return await this.#store.renew(held, held.ttlMs);
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  /**
   * Tells the server. When the client may have sent the request twice, or an earlier one was not answered, `lost` within the time that was
   * left at first is the answer to the second: the first has given the lease back, and somebody else has it by now (K1).
   */
  #returnOf({ data, resource, token }: RenewedLease<Returned>): GiveBackLease {
    const { clock } = this.#options;
    let first: { readonly askedAt: Instant; readonly leftMs: number } | undefined;
    return async (leftMs) => {
      const again = first !== undefined;
      first ??= { askedAt: now(clock), leftMs };
      const { askedAt, leftMs: leftAtFirstMs } = first;
      const { kind, repeated } = await this.#giveBack.giveBack(data);
      const isSecondAnswer = (again || repeated) && elapsedMs(clock, askedAt) < leftAtFirstMs;
      const outcome = kind === "lost" && isSecondAnswer ? "released" : kind;
      this.#events.emit(() => ({ type: "released", resource, token, owner: data.owner, outcome }));
      return outcome;
    };
  }
}
