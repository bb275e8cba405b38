/**
 * One call of a script on its way: waits until the client can send, makes the bound in server time (K1), sends, and says how it ended.
 * A plain object with one promise, since a service makes thousands of them a second; nothing here waits when nothing has to be waited for.
 */
import type { CallDeadline } from "./call-deadline.ts";
import type { ClientState } from "./client-state.ts";
import { sleep } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { commandTail, slotKeyOf } from "./command-tail.ts";
import type { Durability, DurableCaller, DurableReply, DurableRequest } from "./durable-wire.ts";
import { HoldfastError, NotReplicatedError, OutcomeUnknownError, TooLateError } from "./errors.ts";
import type { CommandArgument } from "./redis-like.ts";
import { refusal } from "./refusal.ts";
import type { LuaSource, Script } from "./script.ts";
import type { ServerClock } from "./server-clock.ts";
import { tooLateUs } from "./too-late.ts";
import { notSent } from "./wire.ts";
import type { Wire, WireRequest } from "./wire.ts";

/** What a call needs from its connection. */
export interface CallRoute {
  readonly clock: Clock;
  readonly state: ClientState;
  readonly serverClock: ServerClock;
  readonly wire: Wire;
  /** The node that serves a key: each has a clock of its own. */
  readonly nodeOf: (slotKey: string) => string;
  readonly sendDurably: (
    request: Omit<DurableRequest, "asking" | "onReply" | "onError">,
    caller: DurableCaller,
  ) => Promise<DurableReply>;
}

/** What is called, and how. */
export interface CallTerms<Result> {
  readonly script: Script<LuaSource, Result>;
  readonly keys: object;
  readonly args: object;
  readonly deadline: CallDeadline;
  /** When the caller asked, in monotonic milliseconds. */
  readonly askedAtMs: number;
  /** What the caller repeats the call with. */
  readonly operationId: string | undefined;
  readonly durability: Durability | undefined;
}

const lostMeanwhile = "the connection was lost meanwhile";

/** A call on its way. */
export class ScriptCall<Result> implements WireRequest {
  readonly source: LuaSource;
  readonly binary: boolean;
  tail: readonly CommandArgument[] = [];
  readonly #route: CallRoute;
  readonly #terms: CallTerms<Result>;
  readonly #slotKey: string;
  /** Null for a script that changes nothing. */
  readonly #operationId: string | null;
  readonly #resolve: (result: Result) => void;
  readonly #reject: (error: unknown) => void;
  #node = "";
  #epoch = 0;
  #lateReplies = 0;

  constructor(
    route: CallRoute,
    terms: CallTerms<Result>,
    resolve: (result: Result) => void,
    reject: (error: unknown) => void,
  ) {
    const { script, keys, operationId = "none" } = terms;
    this.source = script.source;
    this.binary = script.binary;
    this.#route = route;
    this.#terms = terms;
    this.#slotKey = slotKeyOf(script.source, keys);
    this.#operationId = script.mutating ? operationId : null;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Sends it as soon as the client is ready and the server's time is known. */
  start(): void {
    const { state, clock, serverClock, nodeOf } = this.#route;
    const { deadline } = this.#terms;
    if (!state.canSend) {
      const ready = state.whenReady(clock, deadline.atMs, deadline.operation);
      ready.then(() => this.start()).catch(this.#reject);
      return;
    }
    const node = nodeOf(this.#slotKey);
    this.#node = node;
    if (this.#operationId === null) {
      this.#send(0);
      return;
    }
    const known = serverClock.estimateUs(node, this.#slotKey);
    if (known !== undefined) {
      this.#send(known);
      return;
    }
    const asked = deadline.bound(() => serverClock.fetchUs(node, this.#slotKey), null);
    asked.then((estimateUs) => this.#send(estimateUs)).catch(this.#reject);
  }

  #send(estimateUs: number): void {
    const { clock, state, wire } = this.#route;
    const { keys, args, deadline, askedAtMs, durability } = this.#terms;
    const nowMs = clock.monotonicMs();
    const notAfterUs = estimateUs + Math.floor((deadline.atMs - nowMs) * 1_000);
    const sentUs = estimateUs - Math.ceil((nowMs - askedAtMs) * 1_000);
    this.tail = commandTail(this.source, keys, args, { notAfterUs, sentUs });
    this.#epoch = state.epoch;
    if (this.#operationId !== null && durability !== undefined) {
      this.#sendDurably(durability)
        .then((reply) => this.#answered(reply))
        .catch(this.#reject);
      return;
    }
    deadline.watch(this.#operationId, this.#reject);
    wire.send(this);
  }

  /** Called by the wire. */
  onReply(reply: unknown): void {
    const { deadline } = this.#terms;
    if (deadline.gaveUp) return;
    deadline.cancel();
    try {
      this.#answered(reply);
    } catch (error) {
      this.#reject(error);
    }
  }

  /** Called by the wire. */
  onError(error: unknown): void {
    const { deadline } = this.#terms;
    deadline.cancel();
    this.#reject(refusal(deadline.operation, this.#operationId, error, this.#lostMeanwhile));
  }

  get #lostMeanwhile(): boolean {
    return this.#epoch !== this.#route.state.epoch;
  }

  #answered(reply: unknown): void {
    const { script, deadline } = this.#terms;
    if (reply === notSent) {
      this.start();
      return;
    }
    const { operation } = deadline;
    const lateUs = this.#operationId === null ? undefined : tooLateUs(reply);
    if (lateUs === undefined) {
      if (this.#lostMeanwhile && this.#saysNothingDone(reply)) throw this.#unknown();
      this.#resolve(script.decode(reply, operation));
      return;
    }
    // The client may have sent the request twice, so the first one may have been in time and its answer is lost.
    if (this.#lostMeanwhile) throw this.#unknown();
    this.#route.serverClock.observe(this.#node, lateUs, true);
    this.#lateReplies += 1;
    // Nothing was done, and nothing can be done by a repeat of that request. Once more, since the server's clock may have stepped.
    if (this.#lateReplies === 2 || deadline.hasPassed) throw new TooLateError(operation, deadline.timeoutMs);
    this.start();
  }

  /** A repeat that was refused says nothing about the request that it repeats. */
  #saysNothingDone(reply: unknown): boolean {
    const { nothingDone } = this.#terms.script;
    if (this.#operationId === null || nothingDone === undefined || !Array.isArray(reply)) return false;
    return String((reply as unknown[])[0]) === nothingDone;
  }

  async #sendDurably(durability: Durability): Promise<unknown> {
    const { clock, sendDurably } = this.#route;
    const { deadline } = this.#terms;
    const { operation } = deadline;
    let lost = false;
    const caller: DurableCaller = {
      lost: () => {
        lost = true;
      },
      ready: (state) => state.whenReady(clock, deadline.atMs, operation),
      pause: async (delayMs) => {
        if (clock.monotonicMs() + delayMs >= deadline.atMs) return false;
        await sleep(clock, delayMs);
        return true;
      },
    };
    const request = { source: this.source, slotKey: this.#slotKey, tail: this.tail, binary: this.binary, durability };
    const ask = async (): Promise<DurableReply> => {
      try {
        return await sendDurably(request, caller);
      } catch (error) {
        throw error instanceof HoldfastError ? error : refusal(operation, this.#operationId, error, lost);
      }
    };
    const { reply, replicas, waitRefusal, resent } = await deadline
      .prolonged(durability.timeoutMs)
      .bound(ask, this.#operationId);
    if (reply === notSent) return reply;
    const undone = tooLateUs(reply) !== undefined || this.#saysNothingDone(reply);
    if (undone && resent) throw this.#unknown();
    if (!undone && replicas < durability.replicas) {
      const { replicas: wanted, timeoutMs } = durability;
      throw new NotReplicatedError(operation, this.#operationId ?? "none", wanted, replicas, timeoutMs, {
        cause: waitRefusal,
        reply,
      });
    }
    return reply;
  }

  #unknown(): OutcomeUnknownError {
    const { operation } = this.#terms.deadline;
    return new OutcomeUnknownError(operation, this.#operationId ?? "none", { why: lostMeanwhile });
  }
}
