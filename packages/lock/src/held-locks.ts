/**
 * What one instance holds, from the grant to the release: the renewal in the background, the news to observers, and giving back, also for
 * whoever gave up. How the lock is had in the first place is in fenced-lock.ts; the handle that a caller gets, in hold.ts.
 */
import { LeaseKeeper } from "@holdfast/core";
import type { EventSink, RenewedLease } from "@holdfast/core";
import type { Grant } from "./acquisition.ts";
import { LockLostError } from "./errors.ts";
import type { LockEvent } from "./events.ts";
import { FirstReturn } from "./first-return.ts";
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

/** The holds of one instance. */
export class HeldLocks {
  readonly #options: ResolvedLockOptions;
  readonly #events: EventSink<LockEvent>;
  readonly #giveBack: GiveBack;
  readonly #keeper: LeaseKeeper<Returned>;

  constructor(options: ResolvedLockOptions, { store, turnstile, events }: HeldLocksParts) {
    this.#options = options;
    this.#events = events;
    const { clock, commandTimeoutMs } = options;
    this.#giveBack = new GiveBack({ store, turnstile, clock, commandTimeoutMs }, ({ keys, owner }, error) => {
      events.emit(() => ({ type: "release-failed", resource: keys.resource, owner, error }));
    });
    this.#keeper = new LeaseKeeper<Returned>({
      clock,
      renew: ({ data }) => store.renew(data, data.ttlMs),
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

  /** Tells the server. The client may have sent the request twice by itself, too. */
  #returnOf({ data, resource, token }: RenewedLease<Returned>): GiveBackLease {
    const first = new FirstReturn(this.#options.clock);
    return async (leftMs) => {
      const again = first.begin(leftMs);
      const { kind, repeated } = await this.#giveBack.giveBack(data);
      const outcome = (again || repeated) && first.inTime ? "released" : kind;
      this.#events.emit(() => ({ type: "released", resource, token, owner: data.owner, outcome }));
      return outcome;
    };
  }
}
