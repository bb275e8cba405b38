/**
 * The floor of a hand-off: one script takes the first of a list and tells it by a message. Nothing else is done: no lease ends by itself,
 * whoever dies in the list or as the holder stops everybody, and no token tells one holder from the next. It is a limit, not a product.
 */
import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";

const take = `if redis.call("SETNX", KEYS[1], ARGV[1]) == 1 then return 1 end redis.call("RPUSH", KEYS[2], ARGV[1]) return 0`;
const give = `local next = redis.call("LPOP", KEYS[2])
if not next then return redis.call("DEL", KEYS[1]) end
redis.call("SET", KEYS[1], next)
redis.call("PUBLISH", string.match(next, "^[^/]*"), next)
return 1`;

/** What `defineCommand` adds to the client. */
interface HandOverScripts {
  handOverTake(key: string, queue: string, value: string): Promise<unknown>;
  handOverGive(key: string, queue: string): Promise<unknown>;
}

/** A client that waits, and hands over. */
export class HandOver {
  readonly #scripts: HandOverScripts;
  readonly #listener: Redis;
  readonly #place = randomUUID();
  readonly #waiting = new Map<string, () => void>();
  readonly #listens: Promise<unknown>;

  constructor(redis: Redis) {
    redis.defineCommand("handOverTake", { numberOfKeys: 2, lua: take });
    redis.defineCommand("handOverGive", { numberOfKeys: 2, lua: give });
    this.#scripts = redis as unknown as HandOverScripts;
    this.#listener = redis.duplicate();
    this.#listener.on("message", (_: string, value: string) => this.#waiting.get(value)?.());
    this.#listens = this.#listener.subscribe(this.#place);
  }

  async acquire(key: string): Promise<void> {
    await this.#listens;
    const value = `${this.#place}/${randomUUID()}`;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.set(value, resolve);
    if ((await this.#scripts.handOverTake(key, `${key}:queue`, value)) === 0) await promise;
    this.#waiting.delete(value);
  }

  async release(key: string): Promise<void> {
    await this.#scripts.handOverGive(key, `${key}:queue`);
  }

  close(): void {
    this.#listener.disconnect();
  }
}
