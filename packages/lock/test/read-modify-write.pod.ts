/** A process that reads values under locks and writes them back incremented when it is told to, with or without a guard. */
import { reportReady, servePod } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { fencedSet, StaleTokenError } from "../src/guard/index.ts";
import { FencedLock } from "../src/index.ts";
import type { Hold } from "../src/index.ts";

const redis = new Redis(process.env["REDIS_URL"] ?? "");
const guarded = process.env["GUARDED"] === "1";
const lock = new FencedLock(redis, { ttlMs: Number(process.env["TTL_MS"]), commandTimeoutMs: 30_000 });
const read = new Map<string, { readonly hold: Hold; readonly value: number }>();

async function readOne(name: string): Promise<void> {
  const hold = await lock.acquire(name, { waitMs: 60_000 });
  read.set(name, { hold, value: Number((await redis.get(`user:${name}`)) ?? 0) });
}

async function writeOne(name: string): Promise<boolean> {
  const found = read.get(name);
  if (found === undefined) throw new Error(`${name} was not read`);
  const next = String(found.value + 1);
  try {
    if (guarded) await fencedSet(redis, `user:${name}`, next, found.hold, { commandTimeoutMs: 30_000 });
    else await redis.set(`user:${name}`, next);
    return true;
  } catch (error) {
    if (error instanceof StaleTokenError) return false;
    throw error;
  } finally {
    await found.hold.release();
  }
}

servePod({
  read: async ({ names }: { names: readonly string[] }) => {
    await Promise.all(names.map((name) => readOne(name)));
    return names.length;
  },
  write: async ({ names }: { names: readonly string[] }) => {
    const written = await Promise.all(names.map((name) => writeOne(name)));
    const accepted = written.filter(Boolean).length;
    return { accepted, refused: written.length - accepted };
  },
});
await redis.ping();
reportReady();
