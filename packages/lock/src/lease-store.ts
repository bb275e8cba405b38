/** What one instance asks of Redis: the lock's scripts with their keys and arguments filled in. Owns no state. */
import type { CallOptions, Connection, RenewalOutcome } from "@holdfast/core";
import type { LockKeys } from "./keys.ts";
import type { ResolvedLockOptions } from "./options.ts";
import { acquireScript, forceReleaseScript, inspectScript, releaseScript, renewScript } from "./scripts.ts";
import type { AcquireReply, LockState } from "./scripts.ts";

/** Most dead waiters removed in one step; Lua cannot hand more than about 8,000 values to a command. */
const sweepMax = 1_000;

/** Who asks, and for what. */
export interface Owned {
  readonly keys: LockKeys;
  readonly owner: string;
}

/** A number as the scripts cut it out by position. */
export function digits(value: number): string {
  return String(value).padStart(8, "0");
}

/** The scripts of one client. */
export class LeaseStore {
  readonly connection: Connection;
  readonly #options: ResolvedLockOptions;
  /** How many dead waiters are removed at once, and how hints are sent. */
  readonly #rules: string;
  readonly #delayMs: string;

  constructor(connection: Connection, options: ResolvedLockOptions) {
    this.connection = connection;
    this.#options = options;
    this.#rules = digits(sweepMax) + connection.publishCommand;
    this.#delayMs = digits(options.lockDelayMs);
  }

  /** Another number after each loss of a connection over which leases are asked for: a request under way then may be executed later, too. */
  get epoch(): number {
    return this.#options.durability === undefined ? this.connection.epoch : this.connection.durableEpoch;
  }

  /** Asks for a lease; `waits` puts the owner into the queue when it is not free. */
  acquire({ keys, owner }: Owned, ttlMs: number, waits: boolean): Promise<AcquireReply> {
    return this.connection.runConfirmed(
      acquireScript,
      { lease: keys.lease, queue: keys.queue, seen: keys.seen },
      {
        owner,
        newTerms: digits(ttlMs) + this.#delayMs,
        retentionMs: this.#options.fenceRetentionMs,
        waits: waits ? "1" : "0",
        lapseMs: this.#options.waiterLapseMs,
        rules: this.#rules,
      },
      this.#call("acquire", keys, owner, true),
      // Replicas have to know who holds it, not who waits.
      ({ kind }) => kind === "granted",
    );
  }

  /** Counts the owner's lease anew. */
  renew({ keys, owner }: Owned, ttlMs: number): Promise<RenewalOutcome> {
    return this.connection.runConfirmed(
      renewScript,
      { lease: keys.lease },
      { owner, newTerms: digits(ttlMs) + this.#delayMs, retentionMs: this.#options.fenceRetentionMs },
      this.#call("renew", keys, owner, true),
      (outcome) => outcome === "renewed",
    );
  }

  /**
   * Gives the owner's lease, or its place in the queue, back.
   * @param mayArrive whether a request of this owner may still be under way: it is sealed for as long as one can take
   */
  release({ keys, owner }: Owned, mayArrive: boolean): Promise<"released" | "lost"> {
    return this.connection.run(
      releaseScript,
      { lease: keys.lease, queue: keys.queue, seen: keys.seen },
      {
        owner,
        retentionMs: this.#options.fenceRetentionMs,
        sealMs: mayArrive ? this.#options.commandTimeoutMs : 0,
        rules: this.#rules,
      },
      // A release that a failover takes back ends with its ttl: replicas need not confirm it.
      this.#call("release", keys, owner, false),
    );
  }

  /** Who holds it. */
  inspect(keys: LockKeys): Promise<LockState | null> {
    return this.connection.run(
      inspectScript,
      { lease: keys.lease, queue: keys.queue, seen: keys.seen },
      {},
      { operation: `lock.inspect ${keys.resource}`, timeoutMs: this.#options.commandTimeoutMs },
    );
  }

  /** Ends whatever lease there is; the token is higher than all before. */
  forceRelease(keys: LockKeys, operationId: string): Promise<number> {
    return this.connection.run(
      forceReleaseScript,
      { lease: keys.lease, queue: keys.queue, seen: keys.seen, forced: keys.forced(operationId) },
      { operationId, retentionMs: this.#options.fenceRetentionMs, rules: this.#rules },
      this.#call("force-release", keys, operationId, true),
    );
  }

  #call(verb: string, keys: LockKeys, operationId: string, durable: boolean): CallOptions {
    const { commandTimeoutMs, durability } = this.#options;
    return {
      operation: `lock.${verb} ${keys.resource}`,
      operationId,
      timeoutMs: commandTimeoutMs,
      durability: durable ? durability : undefined,
    };
  }
}
