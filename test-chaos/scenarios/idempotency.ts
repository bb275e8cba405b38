/**
 * Idempotency keys: each key is asked for by several pods, again and again. The effect is an entry in an account that takes none from
 * anybody whose token is lower than one it has seen, and that does not know entries again: nothing but the token and `recovered` stands
 * between a key and a second entry.
 */
import { Idempotency } from "@holdfast/idempotency";
import type { Attempt } from "@holdfast/idempotency";
import { checkIdempotency, leaseMs } from "../checkers/idempotency.ts";
import { pace } from "./pace.ts";
import { PathWatch } from "./path-watch.ts";
import type { Bench, Scenario } from "./scenario.ts";
import type { Workplace } from "./workplace.ts";

const commandTimeoutMs = 400;
/** Where nothing fails there is no hurry, and the machine may be busy. */
const patienceMs = 60_000;
/** A key is asked for by every pod within such a span. */
const keysPerSecond = 12;

const account = `
local token, action = tonumber(ARGV[1]), ARGV[2]
if token < tonumber(redis.call('GET', KEYS[1]) or 0) then return 'stale' end
redis.call('SET', KEYS[1], ARGV[1])
if action == 'look' then return tostring(redis.call('LLEN', KEYS[2])) end
for _, entry in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
  if entry == ARGV[3] then return 'taken' end
end
redis.call('RPUSH', KEYS[2], ARGV[3])
return 'taken'
`;

function keysOf(prefix: string, key: string): [fence: string, entries: string] {
  return [`${prefix}:account:${key}:fence`, `${prefix}:account:${key}:entries`];
}

/** The entry that this attempt makes: a write that was resent is known again by the attempt, not by the key. */
function entryOf(attempt: Attempt): string {
  return `${attempt.downstreamKey} ${attempt.token}`;
}

/**
 * The handler: looks first when an earlier attempt may have been there, waits, then has its effect unless it is there.
 * @param wait resolves to the error with which it fails after its effect, or null
 */
export async function effectOf(
  place: Pick<Workplace, "note" | "ledger" | "prefix">,
  key: string,
  attempt: Attempt,
  wait: () => Promise<Error | null>,
): Promise<string> {
  const { token, number, recovered, downstreamKey } = attempt;
  place.note("attempt", key, { token, number, recovered, downstreamKey });
  const call = async (action: "look" | "write"): Promise<string> => {
    const [fence, entries] = keysOf(place.prefix, key);
    const answer = await place.ledger.eval(account, 2, fence, entries, String(attempt.token), action, entryOf(attempt));
    if (answer === "stale") throw Object.assign(new Error("stale token"), { effect: "possible" });
    return String(answer);
  };
  const there = recovered && (await call("look")) !== "0";
  const error = await wait();
  if (!there) await call("write");
  place.note("left", key, { token, error: error?.name ?? null, lost: attempt.signal.aborted });
  if (error !== null) throw error;
  // With the token, so that an outcome that takes another one's place is another answer.
  return `${downstreamKey} by ${token}`;
}

/** How its client says that no answer came: whatever was asked for may still happen. */
export function lostAnswer(): Error {
  return Object.assign(new Error("no answer"), { name: "TimeoutError" });
}

/** Stays longer than a lease now and then, and writes down whether anything but the network's faults could have cost it the key. */
async function outlast(place: Workplace, idempotency: Idempotency, key: string, attempt: Attempt): Promise<void> {
  const { token, signal } = attempt;
  const leftMs = attempt.remainingMs();
  const sinceMs = performance.now();
  const watch = new PathWatch(() => idempotency.inspect(key));
  await pace(place.random.int(200, 1_500), signal);
  const slowestMs = Math.min(watch.end(), Number.MAX_SAFE_INTEGER);
  place.note("outlasted", key, { token, leftMs, slowestMs, forMs: performance.now() - sinceMs, lost: signal.aborted });
}

function act(place: Workplace, idempotency: Idempotency, key: string, attempt: Attempt): Promise<string> {
  const { random } = place;
  // One key in four fails again and again: between two of its attempts anything can happen.
  const failing = Number(key.split("-")[1]) % 4 === 0 ? 0.5 : 0.08;
  return effectOf(place, key, attempt, async () => {
    if (random.chance(0.08)) await outlast(place, idempotency, key, attempt);
    else await pace(random.int(0, 25), attempt.signal);
    return random.chance(failing) ? new Error("after the effect") : null;
  });
}

async function ask(place: Workplace, idempotency: Idempotency, key: string): Promise<boolean> {
  const { random } = place;
  for (let tries = 1; tries <= 6 && !place.stopping.aborted; tries += 1) {
    const called = await place.call(
      { call: "run", resource: key, operation: key },
      () =>
        idempotency.run(key, { waitMs: 800, fingerprint: { key } }, (attempt) => act(place, idempotency, key, attempt)),
      ({ value, replayed }) => ({ value, replayed }),
    );
    if (called.outcome === "ok") return true;
    await pace(random.int(20, 150), place.stopping);
  }
  return false;
}

async function askWithAnotherPayload(place: Workplace, idempotency: Idempotency, key: string): Promise<void> {
  await place.call(
    { call: "run-other-payload", resource: key, operation: `${key}/other` },
    () =>
      idempotency.run(key, { waitMs: 0, fingerprint: { key, other: true } }, () =>
        Promise.resolve("effect of another payload"),
      ),
    ({ value }) => ({ value }),
  );
}

async function work(place: Workplace): Promise<void> {
  const { random } = place;
  await using idempotency = new Idempotency(place.redis, "payments", {
    prefix: place.prefix,
    commandTimeoutMs,
    leaseMs,
  });
  const lanes = Array.from({ length: 4 }, async () => {
    while (!place.quiet.aborted) {
      // The monotonic clock of the machine, so that all pods come to the same keys.
      const slot = Math.floor((Number(process.hrtime.bigint()) / 1e9) * keysPerSecond);
      const key = `key-${slot - random.int(0, 6)}`;
      const answered = await ask(place, idempotency, key);
      // A key that Redis has forgotten would belong to whoever comes first.
      if (answered && !place.conditions.forgets && random.chance(0.1))
        await askWithAnotherPayload(place, idempotency, key);
      await pace(random.int(5, 60), place.quiet);
    }
  });
  await Promise.all(lanes);
}

/** What the accounts say at the end: entries by key. */
export interface IdempotencyFindings {
  readonly entries: Readonly<Record<string, readonly string[]>>;
  /** The answer to one more call for each key, when nothing fails any more. */
  readonly answers: Readonly<Record<string, string>>;
}

async function inspect(bench: Bench): Promise<IdempotencyFindings> {
  await using idempotency = new Idempotency(bench.redis, "payments", {
    prefix: bench.prefix,
    commandTimeoutMs: patienceMs,
    leaseMs: patienceMs,
  });
  const keys = new Set<string>();
  for (const entry of await bench.entries())
    if (entry.kind === "asked" && entry.scenario === "idempotency" && entry.call === "run") keys.add(entry.resource);
  const entries: Record<string, string[]> = {};
  const answers: Record<string, string> = {};
  const one = async (key: string): Promise<void> => {
    answers[key] = await idempotency
      .run(key, { waitMs: patienceMs, fingerprint: { key } }, (attempt) =>
        effectOf(bench, key, attempt, () => Promise.resolve(null)),
      )
      // Nothing fails any more: an error is not the answer that everybody else got.
      .then(({ value }) => value, String);
    entries[key] = await bench.ledger.lrange(keysOf(bench.prefix, key)[1], 0, -1);
  };
  const waiting = [...keys];
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) await one(key);
    }),
  );
  return { entries, answers };
}

/** The scenario of `@holdfast/idempotency`. */
export const scenario: Scenario = { name: "idempotency", work, inspect, check: checkIdempotency };
