/** How each contestant is set up: its best documented settings, and the bare floor. */
import { FencedLock } from "@holdfast/lock";
import type { Redis } from "ioredis";
import { Mutex } from "redis-semaphore";
import { createLock, IoredisAdapter } from "redlock-universal";
import { Floor } from "./floor.ts";
import { HandOver } from "./hand-over.ts";
import { Redlock } from "./redlock.ts";

/** Longer than any turn, so that nothing is renewed or lost in it. */
export const ttlMs = 30_000;
/** A waiter that waits for longer has shown a failure. */
const waitMs = 60_000;

/** Gives a lock back. */
export type Release = () => Promise<void>;

/** The locks of one contestant, on one client. */
export interface Locks {
  /** Waits for a lock. */
  readonly acquire: (name: string) => Promise<Release>;
  readonly close: () => Promise<void>;
}

/** Sets a contestant up on a client that it does not own. */
export type OpenLocks = (redis: Redis) => Locks;

const nothingToClose = (): Promise<void> => Promise.resolve();

/** Holdfast at its defaults. */
export const holdfast: OpenLocks = (redis) => {
  const lock = new FencedLock(redis);
  return {
    acquire: async (name) => {
      const hold = await lock.acquire(name, { waitMs });
      return async () => {
        if ((await hold.release()).kind === "lost") throw new Error(`${name} was lost`);
      };
    },
    close: () => lock.close(),
  };
};

/** redlock on one server, which its README allows; it polls every 200 ms, give or take 100, unless told otherwise. */
export function redlock(retry: { readonly retryDelay?: number; readonly retryJitter?: number } = {}): OpenLocks {
  return (redis) => {
    const lock = new Redlock([redis], { ...retry, retryCount: -1 });
    // Every refused try is an event; without a listener it would be thrown.
    lock.on("error", () => undefined);
    return {
      acquire: async (name) => {
        const held = await lock.acquire([name], ttlMs);
        return async () => {
          await held.release();
        };
      },
      close: nothingToClose,
    };
  };
}

/** redlock-universal in its lean mode, which is its fastest; it polls every 100 ms. */
export const universal: OpenLocks = (redis) => {
  const adapter = new IoredisAdapter(redis);
  return {
    acquire: async (name) => {
      const lock = createLock({ adapter, key: name, ttl: ttlMs, performance: "lean", retryAttempts: waitMs / 100 });
      const handle = await lock.acquire();
      return async () => {
        if (!(await lock.release(handle))) throw new Error(`${name} was lost`);
      };
    },
    close: nothingToClose,
  };
};

/** redis-semaphore's mutex; it polls every 10 ms. */
export const semaphore: OpenLocks = (redis) => ({
  acquire: async (name) => {
    const mutex = new Mutex(redis, name, { lockTimeout: ttlMs, acquireTimeout: waitMs });
    await mutex.acquire();
    return () => mutex.release();
  },
  close: nothingToClose,
});

/** The bare work. */
export const floor: OpenLocks = (redis) => {
  const lock = new Floor(redis);
  return {
    acquire: async (name) => {
      const value = await lock.acquire(name, ttlMs);
      return () => lock.release(name, value);
    },
    close: nothingToClose,
  };
};

/** The bare work of a hand-off. */
export const bareHandOver: OpenLocks = (redis) => {
  const lock = new HandOver(redis);
  return {
    acquire: async (name) => {
      await lock.acquire(name);
      return () => lock.release(name);
    },
    close: async () => lock.close(),
  };
};
