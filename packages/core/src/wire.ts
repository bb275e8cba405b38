/**
 * Sends scripts: EVALSHA, and EVAL when the server does not have the script. What is asked for in one tick goes out as pipelines, so
 * that independent calls (locks on different names) share system calls; a lone call goes directly.
 */
import { isNoScript } from "./refusal.ts";
import { isCluster } from "./redis-like.ts";
import type { CommandArgument, RedisLike } from "./redis-like.ts";
import type { LuaSource } from "./script.ts";

/** One script call, ready to send. */
export interface WireCall {
  readonly source: LuaSource;
  readonly keys: readonly string[];
  readonly args: readonly CommandArgument[];
  readonly binary: boolean;
}

interface Pending {
  readonly call: WireCall;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** More than 16 in one pipeline was slower: client and server fall into lockstep. */
const pipelineMax = 16;

function commandOf(call: WireCall, program: string): CommandArgument[] {
  return [program, call.keys.length, ...call.keys, ...call.args];
}

/** The sending side of one client. */
export class Wire {
  readonly #redis: RedisLike;
  #pending: Pending[] = [];

  constructor(redis: RedisLike) {
    this.#redis = redis;
  }

  /** Resolves to the raw reply, rejects with the client's error. */
  send(call: WireCall): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ call, resolve, reject });
      if (this.#pending.length === 1) process.nextTick(() => this.#flush());
      else if (this.#pending.length === pipelineMax) this.#flush();
    });
  }

  #flush(): void {
    const batch = this.#pending;
    this.#pending = [];
    const redis = this.#redis;
    if (batch.length < 2 || isCluster(redis)) {
      for (const pending of batch) this.#settle(pending, this.#evalsha(pending.call));
      return;
    }
    const commands = batch.map(({ call }) => [call.binary ? "evalshaBuffer" : "evalsha", ...commandOf(call, call.source.sha1)]);
    redis
      .pipeline(commands)
      .exec()
      .then(
        (replies) => {
          for (const [index, pending] of batch.entries()) {
            const [error, reply] = replies?.[index] ?? [new Error("the pipeline was aborted"), undefined];
            this.#settle(pending, error === null ? Promise.resolve(reply) : Promise.reject(error));
          }
        },
        (error: unknown) => {
          for (const { reject } of batch) reject(error);
        },
      );
  }

  #settle({ call, resolve, reject }: Pending, sent: Promise<unknown>): void {
    sent.then(resolve, (error: unknown) => {
      // The script was not executed, so sending its text cannot apply it twice.
      if (isNoScript(error)) this.#command(call, "eval", call.source.source).then(resolve, reject);
      else reject(error);
    });
  }

  #evalsha(call: WireCall): Promise<unknown> {
    return this.#command(call, "evalsha", call.source.sha1);
  }

  #command(call: WireCall, command: string, program: string): Promise<unknown> {
    const args = commandOf(call, program);
    return call.binary ? this.#redis.callBuffer(command, args) : this.#redis.call(command, args);
  }
}
