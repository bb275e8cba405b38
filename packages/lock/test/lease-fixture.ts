/** The lease scripts as raw calls on one name, with the defaults a test does not care about, and a view of the stored record. */
import type { Redis } from "ioredis";
import { lockKeys } from "../src/keys.ts";
import { acquire, forceRelease, inspect, release, renew } from "../src/scripts.generated.ts";
import { runRaw } from "./raw-script.ts";
import type { RawInputs } from "./raw-script.ts";

/** A stored record, by position. */
export interface LeaseRecord {
  readonly format: string;
  readonly token: number;
  readonly sinceUs: number;
  readonly lengthMs: number;
  readonly delayMs: number;
  readonly flag: string;
  readonly owner: string;
}

const digits = (value: number): string => String(value).padStart(8, "0");

/** Raw calls for one lock. */
export function leaseOf(redis: Redis, name = "a") {
  const keys = { ...lockKeys("holdfast", name) };
  const shared = { retentionMs: 600_000, lapseMs: digits(1_000), sweepMax: 100, publish: "PUBLISH" };
  const terms = (leaseMs: number, delayMs = 0): string => digits(leaseMs) + digits(delayMs);
  return {
    keys,
    acquire: (owner: string, { leaseMs = 30_000, delayMs = 0, waits = false, ...more }: { leaseMs?: number; delayMs?: number; waits?: boolean } & RawInputs = {}) =>
      runRaw(redis, acquire, keys, { ...shared, owner, newTerms: terms(leaseMs, delayMs), waits: waits ? "1" : "0", ...more }) as Promise<string>,
    renew: (owner: string, { leaseMs = 30_000, delayMs = 0, ...more }: { leaseMs?: number; delayMs?: number } & RawInputs = {}) =>
      runRaw(redis, renew, keys, { ...shared, owner, newTerms: terms(leaseMs, delayMs), ...more }) as Promise<string>,
    release: (owner: string, more: RawInputs = {}) => runRaw(redis, release, keys, { ...shared, owner, sealMs: 0, ...more }) as Promise<string>,
    inspect: (more: RawInputs = {}) => runRaw(redis, inspect, keys, { lapseMs: 1_000, ...more }) as Promise<[string, ...unknown[]]>,
    forceRelease: (operationId: string, more: RawInputs = {}) =>
      runRaw(redis, forceRelease, keys, { ...shared, operationId, ...more }) as Promise<[string, string]>,
    record: async (): Promise<LeaseRecord | null> => {
      const text = await redis.get(keys.lease);
      if (text === null) return null;
      return {
        format: text.slice(0, 1),
        token: Number(text.slice(1, 17)),
        sinceUs: Number(text.slice(17, 33)),
        lengthMs: Number(text.slice(33, 41)),
        delayMs: Number(text.slice(41, 49)),
        flag: text.slice(49, 50),
        owner: text.slice(50),
      };
    },
    /** Moves the record's time, as if the lease had been granted earlier (negative: later). */
    age: async (byMs: number): Promise<void> => {
      const text = (await redis.get(keys.lease)) ?? "";
      const since = String(Number(text.slice(17, 33)) - byMs * 1_000).padStart(16, "0");
      await redis.set(keys.lease, text.slice(0, 17) + since + text.slice(33), "KEEPTTL");
    },
    waiters: () => redis.zrange(keys.queue, 0, -1),
  };
}

/** The token of a `granted` reply. */
export function tokenOf(reply: string): number {
  const [tag, token] = reply.split(" ");
  if (tag !== "granted") throw new Error(`granted was expected, got ${reply}`);
  return Number(token);
}
