/**
 * A worker for the random suite: runs keys on demand, and books an entry for each with a resource of its own.
 */
import { setTimeout as delay } from "node:timers/promises";
import { reportReady, servePod, Stopwatch } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { Idempotency } from "../src/index.ts";
import type { Attempt, IdempotencyEvent } from "../src/index.ts";

/** What a worker is asked. */
export interface RunOrder {
  readonly call: string;
  readonly key: string;
  readonly workMs: number;
  readonly waitMs: number;
  readonly fails: boolean;
}

/** What became of a call, as its caller saw it. */
export interface RunReport {
  readonly call: string;
  readonly key: string;
  readonly outcome: "answered" | "unknown" | "superseded" | "busy" | "failed" | "unreachable";
  readonly value?: string;
  readonly replayed?: boolean;
  readonly message?: string;
}

/**
 * The resource: an account that takes an entry from nobody whose token is lower than one it has seen, and keeps every entry. It does not know
 * entries again, so that nothing but the token and `recovered` stands between a key and a second entry.
 *
 * `look` raises the token first: whoever is behind from then on writes nothing, so that what is not there now never comes.
 */
const account = `
local token, action = tonumber(ARGV[1]), ARGV[2]
if token < tonumber(redis.call('GET', KEYS[1]) or 0) then return 'stale' end
redis.call('SET', KEYS[1], ARGV[1])
if action == 'look' then return tostring(redis.call('LLEN', KEYS[2])) end
redis.call('RPUSH', KEYS[2], ARGV[3])
return 'taken'
`;

const { NAME = "", REDIS_PORT = "", RESOURCE_PORT = "" } = process.env;
const redis = new Redis({ host: "127.0.0.1", port: Number(REDIS_PORT), retryStrategy: () => 20 });
const resource = new Redis({ host: "127.0.0.1", port: Number(RESOURCE_PORT), retryStrategy: () => 20 });
redis.on("error", () => undefined);
resource.on("error", () => undefined);
const counts: Record<string, number> = {};
const watch = Stopwatch.start();
const idempotency = new Idempotency(redis, NAME, {
  leaseMs: 300,
  commandTimeoutMs: 150,
  onEvent: ({ type }: IdempotencyEvent) => {
    counts[type] = (counts[type] ?? 0) + 1;
  },
});

async function act(order: RunOrder, attempt: Attempt): Promise<string> {
  const entry = `effect of ${attempt.downstreamKey}`;
  const call = async (action: "look" | "write"): Promise<unknown> => {
    const keys = [`fence:${order.key}`, `entries:${order.key}`] as const;
    const answer: unknown = await resource.eval(account, 2, ...keys, String(attempt.token), action, entry);
    if (answer === "stale") throw Object.assign(new Error("stale token"), { effect: "possible" });
    return answer;
  };
  const there = attempt.recovered && (await call("look")) !== "0";
  await delay(order.workMs);
  if (!there) await call("write");
  if (order.fails) throw new Error("after the effect");
  return entry;
}

function outcomeOf(error: unknown): RunReport["outcome"] {
  const name = error instanceof Error ? error.name : "";
  if (name === "OutcomeUnknownError") return "unknown";
  if (name === "AttemptSupersededError") return "superseded";
  if (name === "InProgressError") return "busy";
  return name === "RedisUnavailableError" ? "unreachable" : "failed";
}

servePod({
  run: async (order: RunOrder): Promise<RunReport> => {
    const { call, key, waitMs } = order;
    try {
      const { value, replayed } = await idempotency.run(key, { waitMs, fingerprint: { key } }, (attempt) =>
        act(order, attempt),
      );
      return { call, key, outcome: "answered", value, replayed };
    } catch (error) {
      return { call, key, outcome: outcomeOf(error), message: String(error) };
    }
  },
  counts: () => counts,
  /** For how long this process has stood still so far. */
  stoodStillMs: () => watch.elapsedMs - watch.ranMs,
});
await redis.ping();
reportReady();
