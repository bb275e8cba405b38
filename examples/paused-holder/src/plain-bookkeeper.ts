/**
 * Posts under the usual lock. The check before the write is there, and it is of no use: a process can be stopped between any two lines.
 */
import { Redis } from "ioredis";
import pg from "pg";
import { LOCK_WAIT_MS, shownKey, type Bookkeeper, type BookkeeperOptions, type Posted } from "./bookkeeper.ts";
import type { Posting } from "./course.ts";
import { balanceOf, enter } from "./ledger.ts";
import { PlainLock } from "./plain-lock.ts";

/** Posts under a {@link PlainLock}. */
export class PlainBookkeeper implements Bookkeeper {
  private readonly options: BookkeeperOptions;
  private readonly redis: Redis;
  private readonly pool: pg.Pool;

  constructor(options: BookkeeperOptions) {
    this.options = options;
    this.redis = new Redis(options.redisUrl);
    this.pool = new pg.Pool({ connectionString: options.databaseUrl });
  }

  async post(posting: Posting, checked: () => Promise<void>): Promise<Posted> {
    const { prefix, ttlMs } = this.options;
    const { account } = posting;
    for (;;) {
      const lock = await PlainLock.acquire(this.redis, `${prefix}:lock:${account}`, ttlMs, LOCK_WAIT_MS);
      let knewBeforeWrite = false;
      try {
        const balanceCents = (await balanceOf(this.pool, account)) + posting.amountCents;
        if (lock.lostMs !== null) continue;
        await checked();
        knewBeforeWrite = lock.lostMs !== null;
        await this.enter(posting, balanceCents);
        await this.redis.set(shownKey(prefix, account), balanceCents);
      } finally {
        await lock.release();
      }
      const { grantedMs, lostMs } = lock;
      return {
        account,
        tries: [{ ledger: "accepted", shown: "accepted" }],
        told: { grantedMs, toldMs: lostMs, knewBeforeWrite },
      };
    }
  }

  async close(): Promise<void> {
    this.redis.disconnect();
    await this.pool.end();
  }

  private async enter(posting: Posting, balanceCents: number): Promise<void> {
    const client = await this.pool.connect();
    try {
      await client.query("BEGIN");
      await enter(client, posting, balanceCents);
      await client.query("COMMIT");
      client.release();
    } catch (error) {
      client.release(true);
      throw error;
    }
  }
}
