/**
 * The usual lock, with everything that careful people add to it: SET NX PX with a value of its own, renewal, a flag for who lost it, and a
 * release that compares before it deletes. What it lacks is a number that whatever it protects could check.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import { machineMs } from "./bookkeeper.ts";

const RENEW =
  'if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("PEXPIRE", KEYS[1], ARGV[2]) end return 0';
const RELEASE = 'if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0';
const RETRY_MS = 50;

/** A lock that is held, or was. */
export class PlainLock {
  readonly grantedMs: number;
  /** When the holder learned that it had lost the lock; `null` as long as it believes in it. */
  lostMs: number | null = null;
  private readonly redis: Redis;
  private readonly key: string;
  private readonly value: string;
  private readonly renewal: NodeJS.Timeout;

  private constructor(redis: Redis, key: string, value: string, ttlMs: number) {
    this.redis = redis;
    this.key = key;
    this.value = value;
    this.grantedMs = machineMs();
    this.renewal = setInterval(() => void this.renew(ttlMs), ttlMs / 3);
  }

  /**
   * Waits for the lock.
   *
   * @throws Error when it was not to be had within `waitMs`.
   */
  static async acquire(redis: Redis, key: string, ttlMs: number, waitMs: number): Promise<PlainLock> {
    const value = randomUUID();
    const giveUpMs = machineMs() + waitMs;
    while ((await redis.set(key, value, "PX", ttlMs, "NX")) === null) {
      if (machineMs() > giveUpMs) throw new Error(`${key} was not free for ${waitMs} ms.`);
      await sleep(RETRY_MS * (0.5 + Math.random()));
    }
    return new PlainLock(redis, key, value, ttlMs);
  }

  /** Gives it back, unless it belongs to somebody else by now. */
  async release(): Promise<void> {
    clearInterval(this.renewal);
    if ((await this.redis.eval(RELEASE, 1, this.key, this.value)) !== 1) this.lose();
  }

  private async renew(ttlMs: number): Promise<void> {
    try {
      if ((await this.redis.eval(RENEW, 1, this.key, this.value, ttlMs)) !== 1) this.lose();
    } catch {
      // No answer says nothing about the lock; the next renewal asks again.
    }
  }

  private lose(): void {
    this.lostMs ??= machineMs();
    clearInterval(this.renewal);
  }
}
