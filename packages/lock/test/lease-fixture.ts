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

/** What a test may say about a request. */
export interface AskInputs {
  readonly leaseMs?: number;
  readonly delayMs?: number;
  readonly waits?: boolean;
  readonly lapseMs?: number;
  readonly notAfterUs?: number;
}

/** A number as scripts get it. */
export const digits = (value: number): string => String(value).padStart(8, "0");

/** After this time without a sign of life a waiter counts as dead: longer than any machine stands still. */
export const lapseMs = 60_000;

const shared = { retentionMs: 600_000, rules: `${digits(100)}PUBLISH` };

function askInputs(owner: string, inputs: AskInputs): RawInputs {
  const { leaseMs = 30_000, delayMs = 0, waits = false, lapseMs: ownLapseMs = lapseMs, notAfterUs } = inputs;
  const bound = notAfterUs === undefined ? {} : { notAfterUs };
  const newTerms = digits(leaseMs) + digits(delayMs);
  return { ...shared, ...bound, owner, newTerms, waits: waits ? "1" : "0", lapseMs: ownLapseMs };
}

/** Raw calls for one lock. */
export class RawLease {
  readonly keys: Readonly<Record<"resource" | "lease" | "queue" | "seen", string>>;
  readonly #redis: Redis;
  readonly #name: string;

  constructor(redis: Redis, name: string) {
    this.#redis = redis;
    this.#name = name;
    const { resource, lease, queue, seen } = lockKeys("holdfast", name);
    this.keys = { resource, lease, queue, seen };
  }

  async acquire(owner: string, inputs: AskInputs = {}): Promise<string> {
    return (await runRaw(this.#redis, acquire, this.keys, askInputs(owner, inputs))) as string;
  }

  async renew(owner: string, inputs: AskInputs = {}): Promise<string> {
    return (await runRaw(this.#redis, renew, this.keys, askInputs(owner, inputs))) as string;
  }

  async release(owner: string, more: RawInputs = {}): Promise<string> {
    return (await runRaw(this.#redis, release, this.keys, { ...shared, owner, sealMs: 0, ...more })) as string;
  }

  async inspect(): Promise<[string, ...unknown[]]> {
    return (await runRaw(this.#redis, inspect, this.keys, {})) as [string, ...unknown[]];
  }

  async forceRelease(operationId: string, more: RawInputs = {}): Promise<[string, string]> {
    const keys = { ...this.keys, forced: lockKeys("holdfast", this.#name).forced(operationId) };
    return (await runRaw(this.#redis, forceRelease, keys, { ...shared, operationId, ...more })) as [string, string];
  }

  async record(): Promise<LeaseRecord | null> {
    const text = await this.#redis.get(this.keys.lease);
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
  }

  /** Moves the record's time, as if the lease had been granted earlier (negative: later). */
  async age(byMs: number): Promise<void> {
    const text = (await this.#redis.get(this.keys.lease)) ?? "";
    const since = String(Number(text.slice(17, 33)) - byMs * 1_000).padStart(16, "0");
    await this.#redis.set(this.keys.lease, text.slice(0, 17) + since + text.slice(33), "KEEPTTL");
  }

  /** The channels on which somebody waits for hints. */
  async channels(): Promise<string[]> {
    return (await this.#redis.pubsub("CHANNELS", `${this.keys.queue}*`)) as string[];
  }

  /** Owners in the queue. */
  waiters(): Promise<string[]> {
    return this.#redis.zrange(this.keys.queue, "0", "-1");
  }
}

/** Raw calls for a lock, by default the one named a. */
export function leaseOf(redis: Redis, name = "a"): RawLease {
  return new RawLease(redis, name);
}

/** The token of a `granted` reply. */
export function tokenOf(reply: string): number {
  const [tag, token] = reply.split(" ");
  if (tag !== "granted") throw new Error(`granted was expected, got ${reply}`);
  return Number(token);
}

/** A hint as it was sent. */
export interface Hint {
  /** What the channel's name says after that of the queue. */
  readonly place: string;
  readonly text: string;
}

/** Listens to all hints of a lock, wherever they are sent. */
export async function hintsOf(redis: Redis, { keys }: RawLease): Promise<{ readonly next: () => Promise<Hint> }> {
  const heard: Hint[] = [];
  let tell: (() => void) | undefined;
  redis.on("pmessage", (_, channel: string, text: string) => {
    heard.push({ place: channel.slice(keys.queue.length + 1), text });
    tell?.();
  });
  await redis.psubscribe(`${keys.queue}*`);
  return {
    next: async () => {
      while (heard.length === 0) {
        await new Promise<void>((resolve) => {
          tell = resolve;
        });
      }
      return heard.shift() as Hint;
    },
  };
}
