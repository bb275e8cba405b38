/** A process that takes locks, writes under them, and says what it is told: for tests that pause, block or kill it. */
import { reportReady, servePod } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { defineFencedScript } from "../src/guard/index.ts";
import { FencedLock } from "../src/index.ts";
import type { Hold } from "../src/index.ts";

const redis = new Redis(process.env["REDIS_URL"] ?? "");
redis.on("error", () => undefined);
const lock = new FencedLock(redis, {
  ttlMs: Number(process.env["TTL_MS"] ?? 1_000),
  lockDelayMs: Number(process.env["LOCK_DELAY_MS"] ?? 0),
  commandTimeoutMs: 30_000,
});
const holds = new Map<string, Hold>();
const told = new Map<string, { reason: unknown; atMs: number }>();

const add = defineFencedScript({
  name: "counter.add",
  keys: ["counter"],
  args: ["by"],
  source: 'return redis.call("INCRBY", KEYS[1], ARGV[1])',
});

function holdOf(name: string): Hold {
  const hold = holds.get(name);
  if (hold === undefined) throw new Error(`${name} is not held here`);
  return hold;
}

servePod({
  acquire: async ({ name, waitMs = 60_000 }: { name: string; waitMs?: number }) => {
    const hold = await lock.acquire(name, { waitMs });
    holds.set(name, hold);
    hold.signal.addEventListener(
      "abort",
      () => told.set(name, { reason: (hold.signal.reason as { reason: unknown }).reason, atMs: performance.now() }),
      { once: true },
    );
    // Before anything can stand still.
    hold.assertHeld();
    return { token: hold.token, owner: hold.owner };
  },
  wait: ({ name }: { name: string }) => {
    lock.acquire(name, { waitMs: 60_000 }).then(
      (hold) => holds.set(name, hold),
      () => undefined,
    );
  },
  release: ({ name }: { name: string }) => holdOf(name).release(),
  assertHeld: ({ name }: { name: string }) => {
    try {
      holdOf(name).assertHeld();
      return "held";
    } catch (error) {
      return (error as Error).name;
    }
  },
  told: ({ name }: { name: string }) => told.get(name)?.reason ?? null,
  add: async ({ name, by }: { name: string; by: number }) => {
    try {
      return await add(
        redis,
        holdOf(name),
        { counter: `{user:${name}}:counter` },
        { by },
        { commandTimeoutMs: 30_000 },
      );
    } catch (error) {
      return (error as Error).name;
    }
  },
  write: ({ name, value }: { name: string; value: string }) => redis.set(`user:${name}`, value),
});
await redis.ping();
reportReady();
