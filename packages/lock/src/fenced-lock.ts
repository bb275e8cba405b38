/**
 * The fenced lock on one Redis, a Sentinel master or a Cluster: how it is had, in reading order. How a waiter waits is in acquisition.ts, what
 * becomes of a lock that is held in held-locks.ts.
 *
 * A lock alone cannot keep a paused holder from writing. Each grant carries a token that is higher than every earlier one (L1), and the
 * resource refuses a lower one (`@holdfast/lock/guard`, `@holdfast/postgres`).
 */
import {
  ambientRemainingMs,
  callback,
  ClosedError,
  Connection,
  elapsedMs,
  EventSink,
  leaseMarginMs,
  now,
  underOwnId,
} from "@holdfast/core";
import type { Instant, RedisLike } from "@holdfast/core";
import { Acquisition } from "./acquisition.ts";
import type { AcquisitionSettings, FirstRequest, GivenUp } from "./acquisition.ts";
import { LockTimeoutError } from "./errors.ts";
import { lockChannel } from "./events.ts";
import type { LockEvent } from "./events.ts";
import { HeldLocks } from "./held-locks.ts";
import type { Hold } from "./hold.ts";
import { KeyCache } from "./key-cache.ts";
import { LeaseStore } from "./lease-store.ts";
import type { Owned } from "./lease-store.ts";
import { resolveAcquireOptions, resolveLockOptions, resolveOperationId } from "./options.ts";
import type {
  AcquireOptions,
  LockOptions,
  ResolvedAcquireOptions,
  ResolvedLockOptions,
  TryAcquireOptions,
} from "./options.ts";
import type { LockState } from "./scripts.ts";
import { runHeld } from "./run-held.ts";
import { Turnstile } from "./turnstile.ts";
import { WaitingRoom } from "./waiting-room.ts";

/** Two instances that chose the same 48 bits would hear each other's hints, and ignore them. */
const placeLength = 8;

/** A first request that is under way. */
interface Asking {
  readonly owned: Owned;
  readonly ttlMs: number;
  readonly sentAt: Instant;
}

/** Locks by name. */
export class FencedLock implements AsyncDisposable {
  readonly #options: ResolvedLockOptions;
  /** Where hints for this instance's waiters are sent; the first part of their ids. */
  readonly #place: string;
  readonly #keys: KeyCache;
  readonly #store: LeaseStore;
  readonly #turnstile: Turnstile;
  readonly #room: WaitingRoom;
  readonly #held: HeldLocks;
  readonly #events: EventSink<LockEvent>;
  readonly #asking = new Set<Asking>();
  readonly #waiting = new Set<Acquisition>();
  #closed: Promise<void> | undefined;

  /**
   * @param redis the caller's client; it is never closed or reconfigured
   * @throws TypeError, RangeError naming the field, the allowed range and the value got
   */
  constructor(redis: RedisLike, options: LockOptions = {}) {
    this.#options = resolveLockOptions(options);
    const { clock, random, onEvent } = this.#options;
    this.#place = random.id().slice(0, placeLength);
    const connection = Connection.of(redis, clock);
    this.#keys = new KeyCache(this.#options.prefix);
    this.#store = new LeaseStore(connection, this.#options);
    this.#room = new WaitingRoom(clock, connection.wakeUps);
    this.#events = new EventSink(lockChannel, onEvent);
    this.#turnstile = new Turnstile(connection, this.#options);
    const parts = { store: this.#store, turnstile: this.#turnstile, events: this.#events };
    this.#held = new HeldLocks(this.#options, parts);
  }

  /**
   * Runs a function while the lock is held and gives the lock back afterwards.
   * @returns what the function returns
   * @throws what the function throws; LockTimeoutError when the lock was not had; LockLostError, with the function's value, when the
   *   function ended after the lease was lost
   */
  withLock<Value>(name: string, fn: (hold: Hold) => Value | Promise<Value>): Promise<Value>;
  withLock<Value>(
    name: string,
    options: AcquireOptions | undefined,
    fn: (hold: Hold) => Value | Promise<Value>,
  ): Promise<Value>;
  async withLock<Value>(
    name: string,
    ...rest:
      | [(hold: Hold) => Value | Promise<Value>]
      | [AcquireOptions | undefined, (hold: Hold) => Value | Promise<Value>]
  ): Promise<Value> {
    const fn = rest.length === 1 ? rest[0] : rest[1];
    callback("fn", fn);
    const hold = await this.acquire(name, rest.length === 1 ? {} : rest[0]);
    return runHeld(hold, fn);
  }

  /**
   * Waits for the lock.
   * @returns a hold that has not expired
   * @throws LockTimeoutError; the signal's reason; RedisUnavailableError when Redis never answered; OutcomeUnknownError with a `waitMs` of
   *   0; RedisRefusedError; LockLostError for an `operationId` whose lock was released before; ClosedError
   */
  async acquire(name: string, options: AcquireOptions = {}): Promise<Hold> {
    const request = resolveAcquireOptions(this.#options, options, true);
    const startedAt = now(this.#options.clock);
    const hold = await this.#acquire(name, request, request.waitMs > 0);
    if (hold !== null) return hold;
    const { resource } = this.#keys.keysOf(name);
    throw new LockTimeoutError(resource, elapsedMs(this.#options.clock, startedAt), "none");
  }

  /**
   * Takes the lock if it is free and nobody waits for it.
   * @returns null when another owner holds it
   * @throws RedisUnavailableError, OutcomeUnknownError, RedisRefusedError; LockTimeoutError when the ambient deadline has passed
   */
  async tryAcquire(name: string, options: TryAcquireOptions = {}): Promise<Hold | null> {
    return this.#acquire(name, resolveAcquireOptions(this.#options, options, false), false);
  }

  /** Who holds the lock, by the server's clock; null when nobody does. */
  async inspect(name: string): Promise<LockState | null> {
    return this.#store.inspect(this.#keys.keysOf(name));
  }

  /**
   * For operators: ends whatever lease there is, and burns a token. Hand it to the guards (`advanceFence`) so that the holder, which is told
   * at its next renewal, cannot write any more.
   * @param options an operation id to repeat the call with, within `fenceRetentionMs`
   * @returns the token, higher than every one granted so far
   */
  async forceRelease(name: string, options: { readonly operationId?: string | undefined } = {}): Promise<number> {
    const keys = this.#keys.keysOf(name);
    const operationId = resolveOperationId(options) ?? this.#options.random.id();
    const token = await this.#store.forceRelease(keys, operationId);
    this.#events.emit(() => ({ type: "force-released", resource: keys.resource, token }));
    return token;
  }

  /** Ends all waiting with a ClosedError, gives all holds back, and waits for that no longer than `commandTimeoutMs`. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const error = this.#closedError();
    for (const acquisition of this.#waiting) acquisition.close(error);
    for (const { owned, ttlMs, sentAt } of this.#asking) {
      const waitedMs = elapsedMs(this.#options.clock, sentAt);
      this.#onGivenUp(owned, ttlMs, { reason: "closed", error, waitedMs, mayHold: true, mayArrive: true });
    }
    await this.#held.close();
    this.#room.close();
  }

  async #acquire(name: string, request: ResolvedAcquireOptions, waits: boolean): Promise<Hold | null> {
    if (this.#closed !== undefined) throw this.#closedError();
    const { clock, random, commandTimeoutMs } = this.#options;
    const { ttlMs } = request;
    const owned: Owned = {
      keys: this.#keys.keysOf(name),
      owner: request.operationId ?? `${this.#place}/${random.id()}`,
    };
    const endMs = Math.min(waits ? request.waitMs : Infinity, ambientRemainingMs());
    // Usually one request is all there is to it. One that must end before its answer is due begins as an acquisition.
    const plain = request.signal === undefined && endMs >= commandTimeoutMs;
    let first: FirstRequest | undefined;
    if (plain) {
      const asking: Asking = { owned, ttlMs, sentAt: now(clock) };
      this.#asking.add(asking);
      first = await this.#ask(asking, waits);
      this.#asking.delete(asking);
      // Closed meanwhile: whatever was granted has been given back.
      if (this.#closed !== undefined) throw this.#closedError();
    }
    if (first?.reply?.kind === "granted" && first.epoch === this.#store.epoch) {
      const { reply, sentAt } = first;
      const spentMs = elapsedMs(clock, sentAt);
      if (spentMs < ttlMs - leaseMarginMs(ttlMs)) {
        const grant = { token: reply.token, sentAt, firstLeaseMs: undefined, mayArrive: false };
        return this.#held.hold(owned, request, grant, spentMs);
      }
    }
    return this.#wait(owned, request, { waits, endMs, first });
  }

  async #ask({ owned, ttlMs, sentAt }: Asking, waits: boolean): Promise<FirstRequest> {
    const { ttlMs: usualTtlMs, durability } = this.#options;
    const { keys } = owned;
    const { epoch } = this.#store;
    try {
      const usual = !keys.crowded && ttlMs === usualTtlMs && durability === undefined;
      const reply = await (usual ? this.#turnstile.take(owned) : this.#store.acquire(owned, ttlMs, waits));
      keys.crowded = reply.kind !== "granted";
      return { sentAt, epoch, reply };
    } catch (error) {
      return { sentAt, epoch, error: underOwnId(error, `lock.acquire ${keys.resource}`, owned.owner) };
    }
  }

  async #wait(
    owned: Owned,
    request: ResolvedAcquireOptions,
    { waits, endMs, first }: Pick<AcquisitionSettings, "waits" | "endMs" | "first">,
  ): Promise<Hold | null> {
    const { clock, random, waiterLapseMs, durability } = this.#options;
    const startedAt = first?.sentAt ?? now(clock);
    const acquisition: Acquisition = new Acquisition({
      first,
      store: this.#store,
      room: this.#room,
      clock,
      random,
      owned,
      ttlMs: request.ttlMs,
      waits,
      endMs,
      lapseMs: waiterLapseMs,
      signal: request.signal,
      trustHandOff: durability === undefined,
      onGivenUp: (given) => this.#onGivenUp(owned, request.ttlMs, given),
    });
    this.#waiting.add(acquisition);
    try {
      const grant = await acquisition.run();
      return grant === null ? null : this.#held.hold(owned, request, grant, elapsedMs(clock, startedAt));
    } finally {
      this.#waiting.delete(acquisition);
    }
  }

  #closedError(): ClosedError {
    return new ClosedError("this FencedLock");
  }

  #onGivenUp({ keys, owner }: Owned, ttlMs: number, given: GivenUp): void {
    const { reason, error, waitedMs, mayHold, mayArrive } = given;
    if (mayHold) this.#held.giveBack({ keys, owner, ttlMs, mayArrive });
    this.#events.emit(() => {
      const event = { type: "not-acquired" as const, resource: keys.resource, owner, waitedMs, reason };
      return error === null ? event : { ...event, error };
    });
  }
}
