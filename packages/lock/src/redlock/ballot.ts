/**
 * One acquire's dealings with all nodes, through the public API of redlock: it fans out, counts the quorum and makes the value. Its clients
 * are proxies of ours, which run our scripts, file the tokens that redlock would drop, and turn each answer into the number that it counts
 * (the number of keys is a vote for, anything else one against).
 *
 * Each call has `retryCount: 0`: redlock's own retries block themselves with minority keys and go on past any deadline.
 */
import Redlock from "redlock";
import type { RedlockLock } from "redlock";
import { HoldfastError, isTransient } from "@holdfast/core";
import type { Clock } from "@holdfast/core";
import { quorumExtend, quorumPropose, quorumRelease } from "../scripts.generated.ts";
import { confirmToken } from "./confirm-token.ts";
import type { ConfirmOutcome } from "./confirm-token.ts";
import type { NodeVote } from "./errors.ts";
import type { QuorumKeys } from "./quorum-keys.ts";
import type { QuorumNode } from "./quorum-node.ts";
import { TokenRound } from "./token-round.ts";

/** redlock counts a result equal to the number of keys as a vote for. */
const keyCount = 2;
const scripts = {
  acquireScript: () => quorumPropose.source,
  extendScript: () => quorumExtend.source,
  releaseScript: () => quorumRelease.source,
};
const once = { retryCount: 0 };

/** What a majority said to an extension or a release. */
export type MajorityAnswer = "yes" | "no" | "unknown";

/** One acquire. */
export class Ballot {
  readonly #nodes: readonly QuorumNode[];
  readonly #keys: QuorumKeys;
  readonly #redlock: Redlock;
  readonly #round: TokenRound;
  readonly #votes: NodeVote[];
  /** By node, whether a request may still reach it. */
  readonly #mayArrive: boolean[];
  readonly #answers: ("yes" | "no" | "unknown")[];
  #value = "";
  #lock: RedlockLock | undefined;
  #releasing: Promise<MajorityAnswer> | undefined;

  constructor(nodes: readonly QuorumNode[], keys: QuorumKeys) {
    this.#nodes = nodes;
    this.#keys = keys;
    this.#round = new TokenRound(nodes.length);
    this.#votes = nodes.map(({ name }) => ({ node: name, vote: "unasked" }));
    this.#mayArrive = nodes.map(() => false);
    this.#answers = nodes.map(() => "unknown");
    const clients = nodes.map((node, place) => {
      const run = (hash: string, _keys: number, args: readonly (string | number)[]): Promise<number> =>
        this.#vote(place, node, hash, args);
      return { evalsha: run, eval: run, quit: async () => "OK" };
    });
    this.#redlock = new Redlock(clients, once, scripts);
  }

  /** redlock's random value, the owner; empty before the first request. */
  get value(): string {
    return this.#value;
  }

  /** What each node said so far. */
  get votes(): readonly NodeVote[] {
    return this.#votes.map((vote) => vote);
  }

  /** Asks all nodes; resolves to whether a majority granted. Those who granted in a minority have been released again then. */
  async propose(ttlMs: number): Promise<boolean> {
    try {
      this.#lock = await this.#redlock.acquire([this.#keys.lock, this.#keys.fence], ttlMs, once);
      return true;
    } catch {
      // Each node's error is filed with its vote.
      return false;
    }
  }

  /** Brings the highest proposal to a majority whose clocks have passed it (L8). */
  async confirm(
    clock: Clock,
    clockSkewMaxMs: number,
    giveUpAtMs: number,
  ): Promise<{ kind: ConfirmOutcome; token: number }> {
    const kind = await confirmToken(this.#nodes, this.#keys, this.#value, {
      round: this.#round,
      clock,
      clockSkewMaxMs,
      giveUpAtMs,
      onVote: (place, vote) => {
        this.#votes[place] = vote;
      },
    });
    return { kind, token: this.#round.token };
  }

  /** Counts the lease anew on all nodes. */
  async extend(ttlMs: number): Promise<MajorityAnswer> {
    const lock = this.#lock;
    if (lock === undefined) return "no";
    return this.#ask(async () => {
      this.#lock = await this.#redlock.extend(lock, ttlMs, once);
    });
  }

  /** Frees all nodes. Who asks while it is asked hears the same answer. */
  async release(): Promise<MajorityAnswer> {
    const lock = this.#lock;
    if (lock === undefined) return "no";
    this.#releasing ??= this.#ask(async () => {
      await this.#redlock.release(lock, once);
    }).finally(() => {
      this.#releasing = undefined;
    });
    return this.#releasing;
  }

  async #ask(call: () => Promise<void>): Promise<MajorityAnswer> {
    this.#answers.fill("unknown");
    try {
      await call();
      return "yes";
    } catch {
      const no = this.#answers.filter((answer) => answer === "no").length;
      return no > this.#nodes.length / 2 ? "no" : "unknown";
    }
  }

  async #vote(place: number, node: QuorumNode, hash: string, args: readonly (string | number)[]): Promise<number> {
    const value = String(args[keyCount]);
    const durationMs = Number(args[keyCount + 1]);
    if (hash === quorumPropose.sha1) {
      this.#value = value;
      return this.#propose(place, node, durationMs);
    }
    const done =
      hash === quorumExtend.sha1
        ? await node.extend(this.#keys, value, durationMs)
        : await node.release(this.#keys, value, this.#mayArrive[place] === true);
    this.#answers[place] = done ? "yes" : "no";
    return done ? keyCount : 0;
  }

  async #propose(place: number, node: QuorumNode, ttlMs: number): Promise<number> {
    const { epoch } = node.connection;
    // Until it is answered the request is under way: a release that overtakes it leaves a seal.
    this.#mayArrive[place] = true;
    try {
      const reply = await node.propose(this.#keys, this.#value, ttlMs);
      this.#mayArrive[place] = epoch !== node.connection.epoch;
      if (reply.kind === "granted") this.#round.see(reply.token);
      if (this.#votes[place]?.vote === "unasked") this.#votes[place] = { node: node.name, vote: reply.kind };
      return reply.kind === "granted" ? keyCount : 0;
    } catch (error) {
      if (error instanceof HoldfastError && error.effect === "none") this.#mayArrive[place] = false;
      this.#votes[place] = { node: node.name, vote: isTransient(error) ? "timed-out" : "failed", error };
      throw error;
    }
  }
}
