/**
 * The fenced lock on one Redis, a Sentinel master or a Cluster: who may hold it, in reading order. What a hold does is in hold.ts, how a
 * waiter waits in acquisition.ts.
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
  LeaseKeeper,
  now,
} from "@holdfast/core";
import type { RedisLike, RenewedLease } from "@holdfast/core";
import { Acquisition } from "./acquisition.ts";
import type { AcquisitionSettings, FirstRequest, GivenUp, Grant } from "./acquisition.ts";
import { LockLostError, LockTimeoutError } from "./errors.ts";
import { lockChannel } from "./events.ts";
import type { LockEvent } from "./events.ts";
import { GiveBack } from "./give-back.ts";
import type { Returned } from "./give-back.ts";
import { Hold } from "./hold.ts";

import { KeyCache } from "./key-cache.ts";
import { LeaseStore } from "./lease-store.ts";
import type { Owned } from "./lease-store.ts";
import { resolveAcquireOptions, resolveLockOptions } from "./options.ts";
import type {
  AcquireOptions,
  LockOptions,
  ResolvedAcquireOptions,
  ResolvedLockOptions,
  TryAcquireOptions,
} from "./options.ts";
import type { LockState } from "./scripts.ts";
import { runHeld } from "./run-held.ts";
import { WaitingRoom } from "./waiting-room.ts";

/** Renewals that are due in the same tick go out together, as one pipeline per 16. */
const renewBatchMax = 256;

/** Locks by name. */
export class FencedLock implements AsyncDisposable {
  readonly #options: ResolvedLockOptions;
  readonly #keys: KeyCache;
  readonly #store: LeaseStore;
  readonly #room: WaitingRoom;
  readonly #giveBack: GiveBack;
  readonly #keeper: LeaseKeeper<Returned>;
  readonly #events: EventSink<LockEvent>;
  readonly #waiting = new Set<Acquisition>();
  #closed: Promise<void> | undefined;

  /**
   * @param redis the caller's client; it is never closed or reconfigured
   * @throws TypeError, RangeError naming the field, the allowed range and the value got
   */
  constructor(redis: RedisLike, options: LockOptions = {}) {
    this.#options = resolveLockOptions(options);
    const { clock, onEvent } = this.#options;
    const connection = Connection.of(redis, clock);
    this.#keys = new KeyCache(this.#options.prefix);
    this.#store = new LeaseStore(connection, this.#options);
    this.#room = new WaitingRoom(clock, connection.wakeUps);
    this.#events = new EventSink(lockChannel, onEvent);
    this.#giveBack = new GiveBack(this.#store, clock, ({ keys, owner }, error) => {
      this.#events.emit(() => ({ type: "release-failed", resource: keys.resource, owner, error }));
    });
    this.#keeper = new LeaseKeeper<Returned>({
      clock,
      batchMax: renewBatchMax,
      renew: (leases) => Promise.all(leases.map(({ data }) => this.#renew(data))),
      onRenewalFailed: ({ resource, token }, error) => {
        this.#events.emit(() => ({ type: "renewal-failed", resource, token, error }));
      },
      onEnd: ({ resource, token }, reason) => {
        if (reason !== "released") this.#events.emit(() => ({ type: "lost", resource, token, reason }));
      },
    });
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
   * @throws LockTimeoutError; the signal's reason; RedisUnavailableError when Redis never answered; RedisRefusedError; ClosedError
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
   * @param options an operation id to repeat the call with
   * @returns the token, higher than every one granted so far
   */
  async forceRelease(name: string, options: { readonly operationId?: string | undefined } = {}): Promise<number> {
    const keys = this.#keys.keysOf(name);
    const token = await this.#store.forceRelease(keys, options.operationId ?? this.#options.random.id());
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
    for (const acquisition of this.#waiting) acquisition.close(new ClosedError("this FencedLock"));
    for (const lease of this.#keeper.held) {
      lease.end("closed");
      this.#return(lease, 0).catch(() => undefined);
    }
    await this.#giveBack.close(this.#options.commandTimeoutMs);
    this.#room.close();
    this.#keeper.close();
  }

  async #acquire(name: string, request: ResolvedAcquireOptions, waits: boolean): Promise<Hold | null> {
    if (this.#closed !== undefined) throw new ClosedError("this FencedLock");
    const { clock, random, commandTimeoutMs } = this.#options;
    const owned: Owned = { keys: this.#keys.keysOf(name), owner: request.operationId ?? random.id() };
    const endMs = Math.min(waits ? request.waitMs : Infinity, ambientRemainingMs());
    // Usually one request is all there is to it. One that must end before its answer is due begins as an acquisition.
    const plain = request.signal === undefined && endMs >= commandTimeoutMs;
    const first = plain ? await this.#ask(owned, request.ttlMs, waits) : undefined;
    if (
      first !== undefined &&
      "reply" in first &&
      this.#closed === undefined &&
      first.epoch === this.#store.connection.epoch
    ) {
      const { reply, sentAt } = first;
      const spentMs = elapsedMs(clock, sentAt);
      if (reply.kind === "granted" && spentMs < request.ttlMs - leaseMarginMs(request.ttlMs)) {
        return this.#hold(
          owned,
          request,
          { token: reply.token, sentAt, firstLeaseMs: undefined, mayArrive: false },
          spentMs,
        );
      }
    }
    return this.#wait(owned, request, { waits, endMs, first });
  }

  async #ask(owned: Owned, ttlMs: number, waits: boolean): Promise<FirstRequest> {
    const sentAt = now(this.#options.clock);
    const { epoch } = this.#store.connection;
    try {
      return { sentAt, epoch, reply: await this.#store.acquire(owned, ttlMs, waits) };
    } catch (error) {
      return { sentAt, epoch, error };
    }
  }

  async #wait(
    owned: Owned,
    request: ResolvedAcquireOptions,
    { waits, endMs, first }: Pick<AcquisitionSettings, "waits" | "endMs" | "first">,
  ): Promise<Hold | null> {
    const { clock, random, waiterLapseMs, durability } = this.#options;
    const startedAt = first?.sentAt ?? now(clock);
    if (this.#closed !== undefined) {
      // Closed while the first request was under way.
      const error = new ClosedError("this FencedLock");
      const given = {
        reason: "closed" as const,
        error,
        waitedMs: elapsedMs(clock, startedAt),
        mayHold: true,
        mayArrive: true,
      };
      this.#onGivenUp(owned, request.ttlMs, given);
      throw error;
    }
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
      onGivenUp: (reason, error, mayHold, mayArrive) => {
        this.#onGivenUp(owned, request.ttlMs, {
          reason,
          error,
          waitedMs: elapsedMs(clock, startedAt),
          mayHold,
          mayArrive,
        });
      },
    });
    this.#waiting.add(acquisition);
    try {
      const grant = await acquisition.run();
      return grant === null ? null : this.#hold(owned, request, grant, elapsedMs(clock, startedAt));
    } finally {
      this.#waiting.delete(acquisition);
    }
  }

  #hold(owned: Owned, { ttlMs, renewEveryMs }: ResolvedAcquireOptions, grant: Grant, waitedMs: number): Hold {
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
    return new Hold(lease, { owner: owned.owner, holdMaxMs }, (leftMs) => this.#return(lease, leftMs));
  }

  #onGivenUp(
    { keys, owner }: Owned,
    ttlMs: number,
    given: { reason: GivenUp; error: unknown; waitedMs: number; mayHold: boolean; mayArrive: boolean },
  ): void {
    const { reason, error, waitedMs, mayHold, mayArrive } = given;
    if (mayHold) this.#giveBack.giveBack({ keys, owner, ttlMs, mayArrive }).catch(() => undefined);
    this.#events.emit(() => {
      const event = { type: "not-acquired" as const, resource: keys.resource, owner, waitedMs, reason };
      return error === null ? event : { ...event, error };
    });
  }

  async #renew(held: Returned): Promise<"renewed" | "lost" | "cancelled" | Error> {
    try {
      return await this.#store.renew(held, held.ttlMs);
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  /** Tells the server; when the request may have been sent twice, `lost` within the time that was left is the second answer. */
  async #return({ data, resource, token }: RenewedLease<Returned>, leftMs: number): Promise<"released" | "lost"> {
    const { clock } = this.#options;
    const startedAt = now(clock);
    const { kind, repeated } = await this.#giveBack.giveBack(data);
    const outcome = kind === "lost" && repeated && elapsedMs(clock, startedAt) < leftMs ? "released" : kind;
    this.#events.emit(() => ({ type: "released", resource, token, owner: data.owner, outcome }));
    return outcome;
  }
}
