/**
 * Sends scripts: EVALSHA, and EVAL when the server does not have the script. What is asked for in one tick goes out as pipelines, so
 * that independent calls (locks on different names) share system calls; a lone call goes directly.
 *
 * Nothing is handed to a client that would queue it: such a request is answered with `notSent` and has provably had no effect.
 */
import type { ClientState } from "./client-state.ts";
import { isNoScript } from "./refusal.ts";
import { isCluster } from "./redis-like.ts";
import type { CommandArgument, RedisLike } from "./redis-like.ts";
import type { LuaSource } from "./script.ts";

/** The answer to a request that the client could not send at once. */
export const notSent: unique symbol = Symbol("not sent");

/** One script call, ready to send, and where its answer goes. */
export interface WireRequest {
  readonly source: LuaSource;
  /** What follows the program in EVALSHA: the number of keys, keys, arguments. */
  readonly tail: readonly CommandArgument[];
  readonly binary: boolean;
  /** Takes the raw reply, or `notSent`. */
  readonly onReply: (reply: unknown) => void;
  /** Takes the client's error. */
  readonly onError: (error: unknown) => void;
}

/** More than 16 in one pipeline was slower: client and server fall into lockstep. */
const pipelineMax = 16;

/** The sending side of one client. */
export class Wire {
  readonly #redis: RedisLike;
  readonly #state: ClientState;
  #pending: WireRequest[] = [];
  readonly #onTick = (): void => this.#flush();

  constructor(redis: RedisLike, state: ClientState) {
    this.#redis = redis;
    this.#state = state;
  }

  /** Answers through the request's callbacks, never before it returns. */
  send(request: WireRequest): void {
    const length = this.#pending.push(request);
    if (length === 1) process.nextTick(this.#onTick);
    else if (length === pipelineMax) this.#flush();
  }

  #flush(): void {
    const batch = this.#pending;
    if (batch.length === 0) return;
    this.#pending = [];
    try {
      this.#sendAll(batch);
    } catch (error) {
      for (const { onError } of batch) onError(error);
    }
  }

  #sendAll(batch: readonly WireRequest[]): void {
    const redis = this.#redis;
    if (batch.length === 1 || isCluster(redis)) {
      for (const request of batch) this.#command(request, "evalsha", request.source.sha1);
      return;
    }
    if (!this.#state.canSend) {
      for (const { onReply } of batch) onReply(notSent);
      return;
    }
    const commands = batch.map(({ source, tail, binary }) => [
      binary ? "evalshaBuffer" : "evalsha",
      source.sha1,
      ...tail,
    ]);
    redis
      .pipeline(commands)
      .exec()
      .then(
        (replies) => {
          for (const [index, request] of batch.entries()) {
            const reply = replies?.[index];
            if (reply === undefined) request.onError(new Error("the pipeline was aborted"));
            else if (reply[0] === null) request.onReply(reply[1]);
            else this.#onError(request, reply[0]);
          }
        },
        (error: unknown) => {
          for (const { onError } of batch) onError(error);
        },
      );
  }

  #command(request: WireRequest, command: "evalsha" | "eval", program: string): void {
    if (!this.#state.canSend) {
      request.onReply(notSent);
      return;
    }
    const args = [program, ...request.tail];
    const sent = request.binary ? this.#redis.callBuffer(command, args) : this.#redis.call(command, args);
    sent.then(request.onReply, (error: unknown) => this.#onError(request, error));
  }

  #onError(request: WireRequest, error: unknown): void {
    // The script was not executed, so sending its text cannot apply it twice.
    if (isNoScript(error)) this.#command(request, "eval", request.source.source);
    else request.onError(error);
  }
}
