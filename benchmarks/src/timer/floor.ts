/**
 * The floor: a ZSET of deadlines and a HASH of payloads, claimed and acknowledged in batches. No token, attempts, retries, generations or
 * operation ids; it loses what the product keeps. It is a limit, not a product.
 */
import type { Redis } from "ioredis";

const enqueue = `
for i = 1, #ARGV, 3 do
  redis.call("ZADD", KEYS[1], ARGV[i + 1], ARGV[i])
  redis.call("HSET", KEYS[2], ARGV[i], ARGV[i + 2])
end`;

const claim = `
for i = 2, #ARGV do
  redis.call("ZREM", KEYS[3], ARGV[i])
  redis.call("HDEL", KEYS[2], ARGV[i])
end
local time = redis.call("TIME")
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
local ids = redis.call("ZRANGE", KEYS[1], "-inf", nowMs, "BYSCORE", "LIMIT", 0, ARGV[1])
local payloads = {}
if #ids > 0 then
  redis.call("ZREM", KEYS[1], unpack(ids))
  local leases = {}
  for i = 1, #ids do
    leases[2 * i - 1] = nowMs + 15000
    leases[2 * i] = ids[i]
  end
  redis.call("ZADD", KEYS[3], unpack(leases))
  payloads = redis.call("HMGET", KEYS[2], unpack(ids))
end
local first = redis.call("ZRANGE", KEYS[1], 0, 0, "WITHSCORES")
return { ids, payloads, first[2] or "", tostring(nowMs) }`;

const keys = ["{floor}:due", "{floor}:data", "{floor}:lease"];

/** One timer for the floor. */
export interface FloorTimer {
  readonly id: string;
  readonly dueAtMs: number;
  readonly payload: string;
}

/** What `defineCommand` adds to the client. */
interface FloorScripts {
  floorEnqueue(...args: unknown[]): Promise<unknown>;
  floorClaim(...args: unknown[]): Promise<[ids: string[], payloads: string[], next: string, nowMs: string]>;
}

/** A client with the floor's two scripts. */
export class Floor {
  readonly #scripts: FloorScripts;

  constructor(redis: Redis) {
    redis.defineCommand("floorEnqueue", { numberOfKeys: 2, lua: enqueue });
    redis.defineCommand("floorClaim", { numberOfKeys: 3, lua: claim });
    this.#scripts = redis as unknown as FloorScripts;
  }

  async enqueue(timers: readonly FloorTimer[]): Promise<void> {
    const args = timers.flatMap(({ id, dueAtMs, payload }) => [id, dueAtMs, payload]);
    await this.#scripts.floorEnqueue(keys[0], keys[1], ...args);
  }

  /** Acknowledges and claims; answers the ids and the milliseconds until the next deadline. */
  async claim(count: number, acknowledged: readonly string[]): Promise<{ ids: string[]; nextInMs: number }> {
    const [ids, , next, nowMs] = await this.#scripts.floorClaim(...keys, count, ...acknowledged);
    return { ids, nextInMs: next === "" ? 1_000 : Math.max(0, Number(next) - Number(nowMs)) };
  }
}
