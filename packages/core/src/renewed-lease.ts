/**
 * A lease as its holder sees it: a local deadline that needs no answer from Redis, a signal, and renewal in the background.
 *
 * The local deadline is *the send time of the last successful grant or renewal + lease - margin*. The server began to count no earlier
 * than the request was sent, so the holder stops before the lease ends there; the margin covers the drift of two clocks (1 % of the
 * lease) and 2 ms for the granularity of timers. A lease that has ended locally never comes back, even if a late answer says otherwise.
 */
import { msBetween, now } from "./clock.ts";
import type { Clock, Instant } from "./clock.ts";
import { deadlineListOf } from "./deadline-list.ts";
import type { DeadlineEntry } from "./deadline-list.ts";
import type { Fenced } from "./fenced.ts";
import { warn } from "./thrown.ts";

/** Why a lease is no longer held: its time ran out, the server said so, it was held for too long, or the holder gave it up. */
export type LeaseEnd = "expired" | "lost" | "hold-max" | "cancelled" | "released" | "closed";

/** What the server said to a renewal. */
export type RenewalOutcome = "renewed" | "lost" | "cancelled";

/** A new lease. */
export interface LeaseGrant<Data> extends Fenced {
  readonly data: Data;
  /** What each renewal asks for, and what the server granted at first unless `firstLeaseMs` says otherwise. */
  readonly leaseMs: number;
  /**
   * Length of what the server has granted so far when it differs: then the lease is renewed at once. It counts for no longer than `leaseMs`
   * even so: a renewal that was executed, and whose answer is lost, has left no more than that on the server.
   */
  readonly firstLeaseMs?: number | undefined;
  /** The moment before the request that won the lease was sent. */
  readonly sentAt: Instant;
  /** Milliseconds between renewals; 0 for a lease that is not renewed in the background. */
  readonly renewEveryMs: number;
  /** Longest time to hold it in milliseconds, however often it is renewed. */
  readonly holdMaxMs?: number | undefined;
  /** Makes the error that `assertHeld` throws and the signal carries. */
  readonly endError: (end: LeaseEnd) => Error;
}

/** Milliseconds taken off a lease's length for its holder's own deadline. */
export function leaseMarginMs(leaseMs: number): number {
  return Math.ceil(leaseMs / 100) + 2;
}

/** One lease; made by a LeaseKeeper. */
export class RenewedLease<Data> implements Fenced {
  readonly resource: string;
  readonly token: number;
  readonly data: Data;
  readonly leaseMs: number;
  readonly #keeper: LeaseKeeper<Data>;
  readonly #grant: LeaseGrant<Data>;
  #countedFrom: Instant;
  #grantedMs: number;
  #end: LeaseEnd | undefined;
  #controller: AbortController | undefined;
  #deadline: DeadlineEntry | undefined;
  #renewal: DeadlineEntry | undefined;

  constructor(keeper: LeaseKeeper<Data>, grant: LeaseGrant<Data>) {
    this.resource = grant.resource;
    this.token = grant.token;
    this.data = grant.data;
    this.leaseMs = grant.leaseMs;
    this.#keeper = keeper;
    this.#grant = grant;
    this.#countedFrom = grant.sentAt;
    this.#grantedMs = Math.min(grant.firstLeaseMs ?? grant.leaseMs, grant.leaseMs);
    this.#armDeadline();
    this.#armRenewal(grant.firstLeaseMs === undefined ? grant.renewEveryMs : 0);
  }

  /** Why it ended, or undefined while it is held as far as is known; does not look at the clock. */
  get ended(): LeaseEnd | undefined {
    return this.#end;
  }

  /** Aborts when the lease ends, with the error that says why. Made on first use. */
  get signal(): AbortSignal {
    this.#endIfDue();
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#end !== undefined) this.#controller.abort(this.#grant.endError(this.#end));
    }
    return this.#controller.signal;
  }

  /** Milliseconds until the local deadline, 0 once it has passed. Right even if no timer has run since. */
  remainingMs(): number {
    if (this.#end !== undefined) return 0;
    const at = now(this.#keeper.clock);
    return Math.max(0, Math.min(this.#leaseLeftMs(at), this.#holdLeftMs(at)));
  }

  /** Throws the package's error when the lease is no longer held. Synchronous; asks the clock, not a flag that a timer should have set. */
  assertHeld(): void {
    this.#endIfDue();
    if (this.#end !== undefined) throw this.#grant.endError(this.#end);
  }

  /** Renews now. Resolves to true when the lease is held afterwards; rejects when the server's answer is not known. */
  async renew(): Promise<boolean> {
    if (this.#endIfDue()) return false;
    const sentAt = now(this.#keeper.clock);
    this.#settle(await this.#keeper.renew(this), sentAt);
    return this.#end === undefined;
  }

  /** Ends it here; the server is not told. The first end counts. */
  end(end: LeaseEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#deadline?.cancel();
    this.#renewal?.cancel();
    this.#keeper.forget(this, end);
    this.#controller?.abort(this.#grant.endError(end));
  }

  #leaseLeftMs(at: Instant): number {
    return this.#heldMs() - msBetween(this.#countedFrom, at);
  }

  /** How long the holder may count on what was granted last. */
  #heldMs(): number {
    return this.#grantedMs - leaseMarginMs(this.#grantedMs);
  }

  #holdLeftMs(at: Instant): number {
    const { holdMaxMs = Infinity, sentAt } = this.#grant;
    return holdMaxMs - msBetween(sentAt, at);
  }

  /** Ends the lease when its time is over, whether or not a timer has run. True when it has ended. */
  #endIfDue(): boolean {
    if (this.#end !== undefined) return true;
    const at = now(this.#keeper.clock);
    if (this.#leaseLeftMs(at) <= 0) this.end("expired");
    else if (this.#holdLeftMs(at) <= 0) this.end("hold-max");
    return this.#end !== undefined;
  }

  #settle(outcome: RenewalOutcome, sentAt: Instant): void {
    // An answer that comes after the local deadline does not revive: the holder may have been told already.
    if (this.#endIfDue()) return;
    if (outcome !== "renewed") {
      this.end(outcome);
      return;
    }
    // Answers of two renewals may come in either order; the later request counts.
    if (sentAt.monotonicMs > this.#countedFrom.monotonicMs) this.#countedFrom = sentAt;
    this.#grantedMs = this.leaseMs;
    this.#armDeadline();
    this.#armRenewal(this.#grant.renewEveryMs);
  }

  /** Whichever comes first, the lease's end or the hold's; each renewal arms it anew. */
  #armDeadline(): void {
    const { clock } = this.#keeper;
    const { holdMaxMs = Infinity, sentAt } = this.#grant;
    const heldMs = this.#heldMs();
    const holdEndsFirst = sentAt.monotonicMs + holdMaxMs < this.#countedFrom.monotonicMs + heldMs;
    this.#deadline?.cancel();
    this.#deadline = holdEndsFirst
      ? deadlineListOf(clock, holdMaxMs).add(() => this.end("hold-max"), sentAt.monotonicMs)
      : deadlineListOf(clock, heldMs).add(() => this.end("expired"), this.#countedFrom.monotonicMs);
  }

  #armRenewal(delayMs: number): void {
    this.#renewal?.cancel();
    if (this.#grant.renewEveryMs === 0) return;
    this.#renewal = deadlineListOf(this.#keeper.clock, delayMs).add(() => this.#renewInBackground());
  }

  #renewInBackground(): void {
    this.renew().catch((error: unknown) => {
      this.#keeper.onRenewalFailed(this, error);
      // The lease may still stand: try again a few times before its deadline, which ends it in any case.
      const withinMs = Math.min(this.#grant.renewEveryMs, this.remainingMs());
      if (this.#end === undefined) this.#armRenewal(Math.max(5, Math.ceil(withinMs / 4)));
    });
  }
}

/** How a keeper renews. */
export interface LeaseKeeperSettings<Data> {
  readonly clock: Clock;
  /**
   * Asks the server to renew a lease; rejects when the answer is not known. Each by itself, so that a node of a Cluster that does not answer
   * keeps nobody from renewing on another; whose leases are all in one place can let a Coalescer ask.
   */
  readonly renew: (lease: RenewedLease<Data>) => Promise<RenewalOutcome>;
  /** Told of each renewal that failed in the background; it is tried again until the deadline. */
  readonly onRenewalFailed?: (lease: RenewedLease<Data>, error: unknown) => void;
  /** Told once of each lease that has ended, for whatever reason. */
  readonly onEnd?: (lease: RenewedLease<Data>, end: LeaseEnd) => void;
}

/** The leases of one instance. */
export class LeaseKeeper<Data> {
  readonly clock: Clock;
  readonly #settings: LeaseKeeperSettings<Data>;
  readonly #held = new Set<RenewedLease<Data>>();

  constructor(settings: LeaseKeeperSettings<Data>) {
    this.clock = settings.clock;
    this.#settings = settings;
  }

  /** Leases that have not ended. */
  get held(): ReadonlySet<RenewedLease<Data>> {
    return this.#held;
  }

  /** Starts to keep a lease that the server has granted. It may be over already: ask `remainingMs`. */
  keep(grant: LeaseGrant<Data>): RenewedLease<Data> {
    const lease = new RenewedLease(this, grant);
    this.#held.add(lease);
    return lease;
  }

  /** Ends all leases here; the server is not told. */
  close(): void {
    for (const lease of this.#held) lease.end("closed");
  }

  /** Asks the server to renew one lease. Rejects when the answer is not known. */
  async renew(lease: RenewedLease<Data>): Promise<RenewalOutcome> {
    return this.#settings.renew(lease);
  }

  /** Called by a lease whose background renewal failed. */
  onRenewalFailed(lease: RenewedLease<Data>, error: unknown): void {
    tell(() => this.#settings.onRenewalFailed?.(lease, error));
  }

  /** Called by a lease that has ended. */
  forget(lease: RenewedLease<Data>, end: LeaseEnd): void {
    this.#held.delete(lease);
    tell(() => this.#settings.onEnd?.(lease, end));
  }
}

/** An observer that throws must not keep a lease from ending or being renewed. */
function tell(observer: () => void): void {
  try {
    observer();
  } catch (failure) {
    warn(failure);
  }
}
