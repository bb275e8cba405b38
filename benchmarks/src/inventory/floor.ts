/**
 * What the others do. The floor is the five-line script of every blog: one sku, no id, no hold, no log; it sells again when a request comes
 * twice. DTM's script adds a barrier key per step of an order, so that a step counts once; no basket, no expiry, no log.
 */
import type { Redis } from "ioredis";

const take = `
local left = tonumber(redis.call("GET", KEYS[1]) or "0")
if left < tonumber(ARGV[1]) then
  return -1
end
return redis.call("DECRBY", KEYS[1], ARGV[1])`;

const adjust = `
local v = redis.call("GET", KEYS[1])
local e1 = redis.call("GET", KEYS[2])
if v == false or v + ARGV[1] < 0 then
  return "FAILURE"
end
if e1 ~= false then
  return "DUPLICATE"
end
redis.call("SET", KEYS[2], "op", "EX", ARGV[3])
if ARGV[2] ~= "" then
  local e2 = redis.call("GET", KEYS[3])
  if e2 == false then
    redis.call("SET", KEYS[3], "rollback", "EX", ARGV[3])
    return
  end
end
redis.call("INCRBY", KEYS[1], ARGV[1])`;

/** What `defineCommand` adds to the client. */
interface PeerScripts {
  floorTake(key: string, quantity: number): Promise<number>;
  dtmAdjust(...args: readonly (string | number)[]): Promise<unknown>;
}

/** A day, as DTM keeps its barriers. */
const barrierSeconds = 86_400;

/** A client with both scripts. */
export class Peers {
  readonly #redis: Redis;
  readonly #scripts: PeerScripts;

  constructor(redis: Redis) {
    redis.defineCommand("floorTake", { numberOfKeys: 1, lua: take });
    redis.defineCommand("dtmAdjust", { numberOfKeys: 3, lua: adjust });
    this.#redis = redis;
    this.#scripts = redis as unknown as PeerScripts;
  }

  /** Puts so many units of each sku on the shelf. */
  async stock(skus: readonly string[], quantity: number): Promise<void> {
    await this.#redis.mset(skus.flatMap((sku) => [sku, String(quantity), `r:${sku}`, String(quantity)]));
  }

  /** The floor's decrement. */
  async take(key: string): Promise<void> {
    if ((await this.#scripts.floorTake(key, 1)) < 0) throw new Error("the floor is sold out");
  }

  /** One step of an order with DTM's barrier. */
  async step(key: string, gid: string, step: string): Promise<void> {
    const barrier = `${gid}-01-${step}-01`;
    const answer = await this.#scripts.dtmAdjust(key, barrier, barrier, -1, "", barrierSeconds);
    if (answer !== null) throw new Error(`DTM's script answered ${JSON.stringify(answer)}`);
  }
}
