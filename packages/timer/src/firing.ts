/**
 * One delivery of a timer, as its handler sees it, and the batch it came with. The lease is kept for the whole batch by one deadline until
 * a handler reads the signal or runs for long; only then does a firing get a lease of its own.
 */
import { deadlineListOf, elapsedMs, leaseMarginMs } from "@holdfast/core";
import type { Clock, DeadlineEntry, Fenced, Instant, LeaseKeeper, RenewedLease, WorkOwner } from "@holdfast/core";
import { FiringLostError } from "./errors.ts";
import { resourceOf } from "./keys.ts";
import type { TimerRecord } from "./record.ts";

/** What a handler gets. */
export interface Firing<Payload> extends Fenced {
  readonly id: string;
  readonly payload: Payload;
  /** When this delivery was due, in epoch milliseconds on the server's clock; after a retry, when that was due. */
  readonly dueAtMs: number;
  /** Server time at the claim minus `dueAtMs`. */
  readonly latenessMs: number;
  /** 1 for the first. */
  readonly attempt: number;
  /** Grows with each schedule of the id. */
  readonly generation: number;
  /** Namespaced for guards: `timer:payment-timeout:order-1`. */
  readonly resource: string;
  /** Grows with each delivery of the id: a resource that remembers the highest refuses a worker that was overtaken. */
  readonly token: number;
  /** Aborts with a FiringLostError when the lease ends: taken over, cancelled, expired, or the worker stopped. */
  readonly signal: AbortSignal;
}

/** Fired fractions of a lease after which it is renewed: two renewals may fail before it ends. */
const renewalsPerLease = 3;

/** Milliseconds between two renewals of a lease. */
export function renewEveryMs(leaseMs: number): number {
  return Math.max(10, Math.floor(leaseMs / renewalsPerLease));
}

/** Told how a handler has ended. */
export interface FiringOwner {
  succeeded(firing: LiveFiring<unknown>): void;
  failed(firing: LiveFiring<unknown>, error: unknown): void;
}

/** What the firings of one claim share. */
export class Batch {
  readonly keeper: LeaseKeeper<LiveFiring<unknown>>;
  readonly owner: FiringOwner;
  readonly timer: string;
  readonly token: number;
  readonly leaseEnd: string;
  readonly leaseMs: number;
  readonly nowUs: number;
  readonly sentAt: Instant;
  readonly #members: LiveFiring<unknown>[] = [];
  #left = 0;
  readonly #renewal: DeadlineEntry;

  constructor(
    keeper: LeaseKeeper<LiveFiring<unknown>>,
    owner: FiringOwner,
    clock: Clock,
    claim: Pick<Batch, "timer" | "token" | "leaseEnd" | "leaseMs" | "nowUs" | "sentAt">,
  ) {
    this.keeper = keeper;
    this.owner = owner;
    this.timer = claim.timer;
    this.token = claim.token;
    this.leaseEnd = claim.leaseEnd;
    this.leaseMs = claim.leaseMs;
    this.nowUs = claim.nowUs;
    this.sentAt = claim.sentAt;
    this.#renewal = deadlineListOf(clock, renewEveryMs(this.leaseMs)).add(
      () => this.#keepAll(),
      this.sentAt.monotonicMs,
    );
  }

  join(firing: LiveFiring<unknown>): void {
    this.#members.push(firing);
  }

  /** One of them has ended, or will never begin. */
  leave(): void {
    this.#left += 1;
    if (this.#left === this.#members.length) this.#renewal.cancel();
  }

  #keepAll(): void {
    for (const firing of this.#members) {
      if (firing.over) continue;
      const { lease } = firing;
      lease.renew().catch((error: unknown) => this.keeper.onRenewalFailed(lease, error));
    }
  }
}

/** A firing as its worker sees it; it follows its own handler, since there are many of them. */
export class LiveFiring<Payload> implements Firing<Payload>, WorkOwner {
  readonly id: string;
  readonly batch: Batch;
  readonly record: TimerRecord;
  readonly dueAtMs: number;
  readonly latenessMs: number;
  readonly attempt: number;
  /** An earlier holder vanished: its beginning is put on record before the handler runs. */
  readonly suspect: boolean;
  /** Set when the payload is decoded, before the handler runs. */
  payload!: Payload;
  started = false;
  /** When its handler began, in monotonic milliseconds. */
  startedAtMs = 0;
  /** Its handler has ended, or will never begin. */
  over = false;
  /** Nothing but its score is on the server, so that claim can acknowledge it in passing. */
  plain: boolean;
  #lease: RenewedLease<LiveFiring<unknown>> | undefined;
  #end: "released" | "closed" | undefined;

  constructor(batch: Batch, id: string, dueAtMs: number, record: TimerRecord, note: string | null) {
    this.id = id;
    this.batch = batch;
    this.record = record;
    this.suspect = note !== null && note[4] === "s";
    this.plain = note === null;
    this.attempt = note === null ? 1 : Number(note.slice(0, 4)) + 1;
    // After a crash the score says when the crash was noticed; the record knows when the timer was due, unless it was made due before.
    this.dueAtMs = this.suspect ? Math.min(record.dueAtMs, dueAtMs) : dueAtMs;
    this.latenessMs = batch.nowUs / 1_000 - this.dueAtMs;
    batch.join(this);
  }

  get generation(): number {
    return this.record.generation;
  }

  get token(): number {
    return this.batch.token;
  }

  get resource(): string {
    return resourceOf(this.batch.timer, this.id);
  }

  get signal(): AbortSignal {
    return this.lease.signal;
  }

  /** Its own lease; made on first use. Of a firing that is over it has ended, whoever looks at it first by then (T3, T7). */
  get lease(): RenewedLease<LiveFiring<unknown>> {
    if (this.#lease === undefined) {
      const { keeper, sentAt, leaseMs, token } = this.batch;
      const { resource } = this;
      this.#lease = keeper.keep({
        resource,
        token,
        data: this,
        leaseMs,
        sentAt,
        renewEveryMs: renewEveryMs(leaseMs),
        endError: (end) =>
          new FiringLostError(resource, token, end === "released" || end === "hold-max" ? "closed" : end),
      });
      if (this.#end !== undefined) this.#lease.end(this.#end);
    }
    return this.#lease;
  }

  /** True when its lease ended before anybody could renew it: the answer of the claim was late, or the process stood still. */
  isOver(clock: Clock): boolean {
    const { leaseMs, sentAt } = this.batch;
    if (this.#lease !== undefined) return this.#lease.remainingMs() <= 0;
    return elapsedMs(clock, sentAt) >= leaseMs - leaseMarginMs(leaseMs);
  }

  /** The handler has ended, or will never begin: nothing renews it any more. */
  leave(): void {
    this.#endAs("released");
  }

  /** Tells a handler that still runs to stop. */
  abandon(): void {
    this.#endAs("closed");
  }

  /** Its handler has ended well. */
  onValue(): void {
    this.batch.owner.succeeded(this);
  }

  /** Its handler has failed. */
  onError(error: unknown): void {
    this.batch.owner.failed(this, error);
  }

  #endAs(end: "released" | "closed"): void {
    if (!this.over) this.batch.leave();
    this.over = true;
    this.#end ??= end;
    this.#lease?.end(end);
  }
}
