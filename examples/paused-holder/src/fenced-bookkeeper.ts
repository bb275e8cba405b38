/**
 * Posts under a fenced lock. PostgreSQL and Redis see the token with each access, the read included: from then on they refuse lower ones,
 * so that nobody else can change the balance that the new one is computed from.
 */
import { FencedLock, LockLostError, type Hold } from "@holdfast/lock";
import { fencedSet, StaleTokenError } from "@holdfast/lock/guard";
import { withFence } from "@holdfast/postgres";
import { Redis } from "ioredis";
import pg from "pg";
import {
  LOCK_WAIT_MS,
  machineMs,
  shownKey,
  type Bookkeeper,
  type BookkeeperOptions,
  type Posted,
  type Told,
  type Try,
  type Write,
} from "./bookkeeper.ts";
import type { Posting } from "./course.ts";
import { balanceOf, enter } from "./ledger.ts";

/**
 * Who is paused here is paused between two requests: a machine that stands still in the middle of one is not what this is about, and neither
 * Redis nor PostgreSQL shall be taken for gone.
 */
const PATIENCE_MS = 60_000;
const IDLE = { idleMs: PATIENCE_MS };

/** Posts under a FencedLock; a posting that was refused is done again from the start. */
export class FencedBookkeeper implements Bookkeeper {
  private readonly options: BookkeeperOptions;
  private readonly redis: Redis;
  private readonly pool: pg.Pool;
  private readonly lock: FencedLock;

  constructor(options: BookkeeperOptions) {
    this.options = options;
    this.redis = new Redis(options.redisUrl);
    this.pool = new pg.Pool({ connectionString: options.databaseUrl });
    const { prefix, ttlMs } = options;
    this.lock = new FencedLock(this.redis, { prefix, ttlMs, commandTimeoutMs: PATIENCE_MS });
  }

  async post(posting: Posting, checked: () => Promise<void>): Promise<Posted> {
    const { account } = posting;
    const tries: Try[] = [];
    let told: Told | undefined;
    for (;;) {
      await using hold = await this.lock.acquire(`account:${account}`, { waitMs: LOCK_WAIT_MS });
      const watch = watchHold(hold);
      try {
        const balanceCents = (await this.read(hold, account)) + posting.amountCents;
        hold.assertHeld();
        await checked();
        const knewBeforeWrite = watch.asks();
        const one = await this.write(hold, posting, balanceCents);
        told ??= { grantedMs: watch.grantedMs, toldMs: watch.toldMs, knewBeforeWrite };
        tries.push(one);
        // A balance that was not shown was overtaken by a newer one, which has this posting in it.
        if (one.ledger === "accepted") return { account, tries, told };
      } catch (error) {
        // Lost before anything was written: the machine was busy for longer than the ttl.
        if (!(error instanceof LockLostError || error instanceof StaleTokenError)) throw error;
      }
    }
  }

  async close(): Promise<void> {
    await this.lock.close();
    this.redis.disconnect();
    await this.pool.end();
  }

  private read(hold: Hold, account: string): Promise<number> {
    return withFence(this.pool, hold, IDLE, (tx) => balanceOf(tx, account));
  }

  /** Both writes are sent, also when the first is refused, so that both guards are seen. */
  private async write({ resource, token }: Hold, posting: Posting, balanceCents: number): Promise<Try> {
    // As a service of its own would get it: the token alone. With the hold, withFence would ask that first, and not even begin.
    const fenced = { resource, token };
    const ledger = await writeOf(withFence(this.pool, fenced, IDLE, (tx) => enter(tx, posting, balanceCents)));
    const { prefix } = this.options;
    const shown = await writeOf(
      fencedSet(this.redis, shownKey(prefix, posting.account), balanceCents, fenced, {
        prefix,
        commandTimeoutMs: PATIENCE_MS,
      }),
    );
    return { ledger, shown };
  }
}

async function writeOf(write: Promise<void>): Promise<Write> {
  try {
    await write;
    return "accepted";
  } catch (error) {
    if (error instanceof StaleTokenError) return "refused";
    throw error;
  }
}

interface HoldWatch {
  readonly grantedMs: number;
  readonly toldMs: number | null;
  /** Whether the hold, asked now, says that it is lost. */
  asks(): boolean;
}

function watchHold(hold: Hold): HoldWatch {
  const grantedMs = machineMs();
  let toldMs: number | null = null;
  const tell = (): void => {
    // The signal also aborts when the lock is given back.
    if (hold.lost?.reason !== "released") toldMs ??= machineMs();
  };
  hold.signal.addEventListener("abort", tell, { once: true });
  return {
    grantedMs,
    get toldMs() {
      return toldMs;
    },
    asks: () => {
      try {
        hold.assertHeld();
        return false;
      } catch (error) {
        if (!(error instanceof LockLostError)) throw error;
        tell();
        return true;
      }
    },
  };
}
