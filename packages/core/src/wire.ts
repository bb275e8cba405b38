/**
 * Sends scripts: EVALSHA, and EVAL when the server does not have the script. Requests of one tick are written together, so that independent
 * calls (locks on different names) share system calls; each is answered by itself. A pipeline would hand its replies over together, and
 * client and server would work in turn instead of at the same time.
 *
 * Nothing is handed to a client that would queue it: such a request is answered with `notSent` and has provably had no effect.
 */
import type { ClientState } from "./client-state.ts";
import { isNoScript } from "./refusal.ts";
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
  onReply(reply: unknown): void;
  /** Takes the client's error. */
  onError(error: unknown): void;
}

/** More than 16 written together was slower: the server begins when it has them all. */
const togetherMax = 16;

/** A request with so many keys and arguments is many calls already: the server begins with it while the client goes on. */
const longTail = 16;

/** A connection that can hold back what is written to it. */
interface Corkable {
  cork(): void;
  uncork(): void;
}

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
    if (length === togetherMax || request.tail.length > longTail) this.#flush();
  }

  #flush(): void {
    const batch = this.#pending;
    if (batch.length === 0) return;
    this.#pending = [];
    const [first] = batch;
    if (first !== undefined && batch.length === 1) {
      this.#command(first, "evalsha", first.source.sha1);
      return;
    }
    const { stream } = this.#redis as RedisLike & { readonly stream?: Corkable };
    stream?.cork();
    for (const request of batch) this.#command(request, "evalsha", request.source.sha1);
    stream?.uncork();
  }

  #command(request: WireRequest, command: "evalsha" | "eval", program: string): void {
    if (!this.#state.canSend) {
      process.nextTick(() => request.onReply(notSent));
      return;
    }
    const args = [program, ...request.tail];
    try {
      const sent = request.binary ? this.#redis.callBuffer(command, args) : this.#redis.call(command, args);
      sent.then(
        (reply) => request.onReply(reply),
        (error: unknown) => this.#onError(request, error),
      );
    } catch (error) {
      process.nextTick(() => request.onError(error));
    }
  }

  #onError(request: WireRequest, error: unknown): void {
    // The script was not executed, so sending its text cannot apply it twice.
    if (isNoScript(error)) this.#command(request, "eval", request.source.source);
    else request.onError(error);
  }
}
