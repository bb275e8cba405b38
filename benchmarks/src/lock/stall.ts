/**
 * Redis stands still for 3 s while a lock with a ttl of 1 s is held and renewed: after how long is its holder told that it may not rely on
 * it any more? After 1 s the lock is anybody's. Each turn has a server of its own, which is stopped with SIGSTOP.
 */
import { setTimeout as delay } from "node:timers/promises";
import { FencedLock } from "@holdfast/lock";
import { RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { Mutex } from "redis-semaphore";
import { createLock, IoredisAdapter } from "redlock-universal";
import type { Figure, Turn } from "../figure.ts";
import { Redlock } from "./redlock.ts";

const ttlMs = 1_000;
const stallMs = 3_000;
/** From the grant to the stall: everybody has renewed once, and depends on the next renewal. */
const steadyMs = 900;
/** Who has not been told by then never is. */
const giveUpMs = 15_000;
const name = "invoice-42";

/** Holds a lock, calls `told` when the holder is told, and gives the lock back when `over` settles. */
type Holder = (redis: Redis, held: () => void, told: () => void, over: Promise<void>) => Promise<unknown>;

function stall(holder: Holder): Turn {
  return async () => {
    await using server = await RedisServer.start();
    const redis = new Redis({ host: server.host, port: server.port });
    const held = Promise.withResolvers<void>();
    const over = Promise.withResolvers<void>();
    let toldMs: number | undefined;
    const told = Promise.withResolvers<void>();
    const onTold = (): void => {
      toldMs ??= performance.now();
      told.resolve();
    };
    // What a library throws at its end, for a lock that is lost, is not what is measured.
    const holding = holder(redis, held.resolve, onTold, over.promise).catch(() => undefined);
    try {
      await Promise.race([held.promise, holding]);
      await delay(steadyMs);
      if (toldMs !== undefined) throw new Error("the lock was lost before Redis was stopped");
      const startMs = performance.now();
      server.pause();
      await delay(stallMs);
      server.resume();
      const rest = new AbortController();
      await Promise.race([told.promise, delay(giveUpMs - stallMs, undefined, { signal: rest.signal })]);
      rest.abort();
      return (toldMs ?? startMs + giveUpMs) - startMs;
    } finally {
      server.resume();
      over.resolve();
      await holding;
      redis.disconnect();
    }
  };
}

const holdfast: Holder = async (redis, held, told, over) => {
  await using lock = new FencedLock(redis, { ttlMs });
  await lock.withLock(name, async ({ signal }) => {
    signal.addEventListener("abort", told, { once: true });
    held();
    await over;
    signal.removeEventListener("abort", told);
  });
};

const redlock: Holder = async (redis, held, told, over) => {
  const lock = new Redlock([redis]);
  lock.on("error", () => undefined);
  await lock.using([name], ttlMs, async (signal) => {
    signal.addEventListener("abort", told, { once: true });
    held();
    await over;
  });
};

const universal: Holder = async (redis, held, told, over) => {
  const lock = createLock({ adapter: new IoredisAdapter(redis), key: name, ttl: ttlMs });
  await lock.using(async (signal) => {
    signal.addEventListener("abort", told, { once: true });
    held();
    await over;
  });
};

const semaphore: Holder = async (redis, held, told, over) => {
  const mutex = new Mutex(redis, name, { lockTimeout: ttlMs, onLockLost: told });
  await mutex.acquire();
  held();
  await over;
  await mutex.release();
};

/** Being told. */
export const stallFigure: Figure = {
  name: "Redis stalled for 3 s, ttl 1 s: from the stall to the moment when the holder is told",
  unit: "ms",
  note: `${giveUpMs} ms: never. The floor renews nothing and tells nobody.`,
  aim: { text: "≤ 1000 ms", met: (median) => median("Holdfast") <= 1_000 },
  contestants: {
    redlock: stall(redlock),
    "redlock-universal": stall(universal),
    "redis-semaphore": stall(semaphore),
    Holdfast: stall(holdfast),
  },
};
