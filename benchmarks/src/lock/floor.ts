/**
 * The floor: SET NX PX, a release that compares before it deletes, and a waiter that asks again every 10 ms. No token, no renewal, no
 * operation ids, nobody told. It is a limit, not a product.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { Redis } from "ioredis";

const release = `if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`;
const pollMs = 10;

/** What `defineCommand` adds to the client. */
interface FloorScripts {
  floorRelease(key: string, value: string): Promise<unknown>;
}

/** A client with the floor's script. */
export class Floor {
  readonly #redis: Redis;
  readonly #scripts: FloorScripts;

  constructor(redis: Redis) {
    redis.defineCommand("floorRelease", { numberOfKeys: 1, lua: release });
    this.#redis = redis;
    this.#scripts = redis as unknown as FloorScripts;
  }

  /** Waits for a lock; answers the value that releases it. */
  async acquire(key: string, ttlMs: number): Promise<string> {
    const value = randomUUID();
    while ((await this.#redis.set(key, value, "PX", ttlMs, "NX")) === null) await delay(pollMs);
    return value;
  }

  async release(key: string, value: string): Promise<void> {
    if ((await this.#scripts.floorRelease(key, value)) !== 1) throw new Error(`${key} was lost`);
  }
}
