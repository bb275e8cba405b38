/**
 * The fenced lock over independent Redis primaries: a majority has to grant, and agrees on the token. For teams that run redlock already:
 * both use redlock's own key, so that a service can move over while others still use redlock.
 *
 * Weaker than FencedLock: waiting polls and is in no order (L6), and a lost answer may leave a minority locked until its ttl (L3).
 */
import Redlock from "redlock";
import {
  ambientRemainingMs,
  callback,
  ClosedError,
  elapsedMs,
  EventSink,
  leaseMarginMs,
  LeaseKeeper,
  now,
  sleep,
} from "@holdfast/core";
import type { RedisLike, RenewalOutcome, RenewedLease } from "@holdfast/core";
import { LockLostError, LockTimeoutError } from "../errors.ts";
import { lockChannel } from "../events.ts";
import type { LockEvent } from "../events.ts";
import { Hold } from "../hold.ts";
import type { ResolvedAcquireOptions } from "../options.ts";
import { runHeld } from "../run-held.ts";
import { Ballot } from "./ballot.ts";
import { ClockSkewError, QuorumRefusedError, QuorumUnreachableError } from "./errors.ts";
import type { NodeVote } from "./errors.ts";
import { clientsOf } from "./nodes.ts";
import type { RedlockLike } from "./nodes.ts";
import { resolveQuorumAcquireOptions, resolveQuorumOptions } from "./options.ts";
import type {
  QuorumAcquireOptions,
  QuorumLockOptions,
  QuorumTryAcquireOptions,
  ResolvedQuorumOptions,
} from "./options.ts";
import { quorumKeys } from "./quorum-keys.ts";
import { QuorumNode } from "./quorum-node.ts";
import { QuorumReturns } from "./quorum-returns.ts";
import type { QuorumHeld } from "./quorum-held.ts";
import { askState } from "./quorum-state.ts";
import type { QuorumState } from "./quorum-state.ts";
import { untilAborted } from "./until-aborted.ts";

/** What one attempt came to. */
export type QuorumAttempt =
  | { readonly kind: "acquired"; readonly hold: Hold; readonly votes: readonly NodeVote[] }
  | { readonly kind: "refused" | "unreachable" | "skewed"; readonly votes: readonly NodeVote[] };

type FailedAttempt = Exclude<QuorumAttempt, { kind: "acquired" }>;

/** Locks by name. */
export class QuorumLock implements AsyncDisposable {
  readonly #options: ResolvedQuorumOptions;
  readonly #nodes: readonly QuorumNode[];
  readonly #events: EventSink<LockEvent>;
  readonly #keeper: LeaseKeeper<QuorumHeld>;
  readonly #returns: QuorumReturns;
  readonly #closing = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  /**
   * @param clients ioredis clients of independent primaries, or a Redlock 5 whose clients are taken; they are never closed
   * @throws RangeError for an even number of clients or fewer than three; TypeError for another redlock than 5.0.0-beta.2
   */
  constructor(clients: readonly RedisLike[] | RedlockLike, options: QuorumLockOptions = {}) {
    this.#options = resolveQuorumOptions(options);
    const { clock, nodeTimeoutMs, fenceRetentionMs, onEvent } = this.#options;
    const list = clientsOf(clients, Redlock);
    this.#nodes = list.map((client, place) => new QuorumNode(client, place, clock, nodeTimeoutMs, fenceRetentionMs));
    this.#events = new EventSink(lockChannel, onEvent);
    this.#returns = new QuorumReturns({
      clock,
      events: this.#events,
      closing: this.#closing.signal,
      track: (work) => this.#track(work),
    });
    this.#keeper = new LeaseKeeper<QuorumHeld>({
      clock,
      renew: renewOne,
      onRenewalFailed: ({ resource, token }, error) => {
        this.#events.emit(() => ({ type: "renewal-failed", resource, token, error }));
      },
      onEnd: ({ resource, token }, reason) => {
        if (reason !== "released") this.#events.emit(() => ({ type: "lost", resource, token, reason }));
      },
    });
  }

  /** As FencedLock's. */
  withLock<Value>(name: string, fn: (hold: Hold) => Value | Promise<Value>): Promise<Value>;
  withLock<Value>(
    name: string,
    options: QuorumAcquireOptions | undefined,
    fn: (hold: Hold) => Value | Promise<Value>,
  ): Promise<Value>;
  async withLock<Value>(
    name: string,
    ...rest:
      | [(hold: Hold) => Value | Promise<Value>]
      | [QuorumAcquireOptions | undefined, (hold: Hold) => Value | Promise<Value>]
  ): Promise<Value> {
    const fn = rest.length === 1 ? rest[0] : rest[1];
    callback("fn", fn);
    return runHeld(await this.acquire(name, rest.length === 1 ? {} : rest[0]), fn);
  }

  /**
   * Tries until a majority grants. An attempt that is under way when the wait is over is waited for: two `nodeTimeoutMs` at most.
   * @returns a hold that has not expired
   * @throws LockTimeoutError with a QuorumRefusedError as its cause; QuorumUnreachableError; ClockSkewError; the signal's reason
   */
  async acquire(name: string, options: QuorumAcquireOptions = {}): Promise<Hold> {
    const request = resolveQuorumAcquireOptions(this.#options, options, true);
    const { clock, random, prefix, retryEveryMs } = this.#options;
    const { resource } = quorumKeys(prefix, name);
    const startedAt = now(clock);
    const endMs = Math.min(request.waitMs, ambientRemainingMs());
    const signal =
      request.signal === undefined ? this.#closing.signal : AbortSignal.any([request.signal, this.#closing.signal]);
    let before: FailedAttempt | undefined;
    for (;;) {
      signal.throwIfAborted();
      const attempt = await this.#attempt(name, request);
      if (attempt.kind === "acquired") return attempt.hold;
      const delayMs = retryEveryMs * (0.5 + random.unit() * 0.5);
      const waitedMs = elapsedMs(clock, startedAt);
      if (waitedMs + delayMs >= endMs) {
        // A round that the caller's own deadline cut short says nothing of the nodes; the one before it does.
        const cutShort = attempt.kind === "unreachable" && ambientRemainingMs() === 0 ? before : undefined;
        throw this.#failure(resource, cutShort ?? attempt, waitedMs, cutShort === undefined ? "none" : "possible");
      }
      before = attempt;
      await sleep(clock, delayMs, signal);
    }
  }

  /**
   * Asks once.
   * @returns null when a majority holds it for others
   * @throws QuorumUnreachableError, ClockSkewError
   */
  async tryAcquire(name: string, options: QuorumTryAcquireOptions = {}): Promise<Hold | null> {
    const attempt = await this.attempt(name, options);
    if (attempt.kind === "acquired") return attempt.hold;
    if (attempt.kind === "refused") return null;
    throw this.#failure(quorumKeys(this.#options.prefix, name).resource, attempt, 0);
  }

  /** Asks once, and tells what every node said. */
  async attempt(name: string, options: QuorumTryAcquireOptions = {}): Promise<QuorumAttempt> {
    const request = resolveQuorumAcquireOptions(this.#options, options, false);
    this.#closing.signal.throwIfAborted();
    request.signal?.throwIfAborted();
    return this.#attempt(name, request);
  }

  /**
   * Who holds the lock on a majority of the nodes; null when nobody does.
   * @throws QuorumUnreachableError when no majority answers
   */
  async inspect(name: string): Promise<QuorumState | null> {
    return askState(this.#nodes, quorumKeys(this.#options.prefix, name));
  }

  /** Ends all waiting with a ClosedError and gives all holds back. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#closing.abort(new ClosedError("this QuorumLock"));
    const held = [...this.#keeper.held];
    for (const lease of held) lease.end("closed");
    await Promise.allSettled([...held.map(({ data }) => data.ballot.release()), ...this.#underWay]);
  }

  /**
   * The caller is told at once that its signal aborted or that the instance is closed. The attempt then ends in the background, where
   * `close` waits for it, and keeps nothing: what it got is given back, and what cannot be ends with its ttl, since nobody renews it.
   */
  #attempt(name: string, request: ResolvedAcquireOptions): Promise<QuorumAttempt> {
    const own = request.signal === undefined ? [] : [request.signal];
    const signals = [...own, this.#closing.signal];
    const attempt = this.#attemptOnce(name, request, signals);
    this.#track(attempt);
    return untilAborted(attempt, signals, (unheard) => {
      if (unheard.kind === "acquired") this.#track(unheard.hold.release());
    });
  }

  #track(work: Promise<unknown>): void {
    this.#underWay.add(work);
    const settled = (): void => {
      this.#underWay.delete(work);
    };
    work.then(settled, settled);
  }

  async #attemptOnce(
    name: string,
    { ttlMs, renewEveryMs }: ResolvedAcquireOptions,
    signals: readonly AbortSignal[],
  ): Promise<QuorumAttempt> {
    const { clock, clockSkewMaxMs, prefix, holdMaxMs } = this.#options;
    const keys = quorumKeys(prefix, name);
    const ballot = new Ballot(this.#nodes, keys);
    const sentAt = now(clock);
    const heldMs = ttlMs - leaseMarginMs(ttlMs);
    if (!(await ballot.propose(ttlMs)))
      return { kind: reached(ballot.votes) ? "refused" : "unreachable", votes: ballot.votes };
    await releaseIfAborted(ballot, signals);
    const round = await ballot.confirm(clock, clockSkewMaxMs, sentAt.monotonicMs + heldMs);
    if (round.kind !== "decided" || elapsedMs(clock, sentAt) >= heldMs) {
      const { votes } = ballot;
      await ballot.release();
      if (round.kind === "skewed") return { kind: "skewed", votes };
      return { kind: reached(votes) ? "refused" : "unreachable", votes };
    }
    await releaseIfAborted(ballot, signals);
    const { resource } = keys;
    const { token } = round;
    const lease = this.#keeper.keep({
      resource,
      token,
      data: { owner: ballot.value, ttlMs, ballot },
      leaseMs: ttlMs,
      sentAt,
      renewEveryMs,
      holdMaxMs,
      endError: (reason) => new LockLostError(resource, token, reason),
    });
    const waitedMs = elapsedMs(clock, sentAt);
    this.#events.emit(() => ({ type: "acquired", resource, token, owner: ballot.value, waitedMs, handedOver: false }));
    return {
      kind: "acquired",
      hold: new Hold(lease, { owner: ballot.value, holdMaxMs }, this.#returns.of(lease)),
      votes: ballot.votes,
    };
  }

  #failure(
    resource: string,
    { kind, votes }: FailedAttempt,
    waitedMs: number,
    effect: "none" | "possible" = "none",
  ): Error {
    if (kind === "unreachable") return new QuorumUnreachableError(resource, votes);
    if (kind === "skewed") return new ClockSkewError(resource, this.#options.clockSkewMaxMs, votes);
    return new LockTimeoutError(resource, waitedMs, effect, { cause: new QuorumRefusedError(resource, votes) });
  }
}

/** Nobody waits for the lock any more: it is given back, and the attempt is over. */
async function releaseIfAborted(ballot: Ballot, signals: readonly AbortSignal[]): Promise<void> {
  const aborted = signals.find((signal) => signal.aborted);
  if (aborted === undefined) return;
  await ballot.release();
  throw aborted.reason;
}

/** Whether a majority answered, be it to refuse. */
function reached(votes: readonly NodeVote[]): boolean {
  const silent = votes.filter(({ vote }) => vote === "timed-out" || vote === "failed");
  return silent.length < votes.length / 2;
}

async function renewOne({ data, resource }: RenewedLease<QuorumHeld>): Promise<RenewalOutcome> {
  const answer = await data.ballot.extend(data.ttlMs);
  if (answer === "unknown") throw new QuorumUnreachableError(resource, data.ballot.votes);
  return answer === "yes" ? "renewed" : "lost";
}
