/**
 * Locks: pods take a few contended locks and append to guarded logs under them without looking at the clock, as code does that trusts its
 * lock. The logs lie in the ledger, which refuses stale tokens. Now and then a holder hangs, and keeps its lock for as long as it may.
 */
import { defineFencedScript } from "@holdfast/lock/guard";
import { FencedLock } from "@holdfast/lock";
import type { Hold } from "@holdfast/lock";
import { checkLock, holdMaxMs } from "../checkers/lock.ts";
import { aborted, pace } from "./pace.ts";
import type { Bench, Scenario } from "./scenario.ts";
import type { Workplace } from "./workplace.ts";

const locks = ["a", "b", "c", "d"];
const ttlMs = 600;
/** How long a pod waits for a lock. */
export const waitMs = 1_500;
/** Of so many holds of one name in a pod, one hangs. */
const hangsEvery = 12;
const commandTimeoutMs = 400;

const append = defineFencedScript({
  name: "log.append",
  keys: ["log", "count"],
  args: ["entry"],
  source: 'redis.call("RPUSH", KEYS[1], ARGV[1])\nreturn redis.call("INCR", KEYS[2])',
});

function keysOf(prefix: string, name: string): { log: string; count: string } {
  return { log: `{${prefix}/${name}}:log`, count: `{${prefix}/${name}}:count` };
}

/** Writes under a lock without looking at the clock; tries again while the outcome is unknown. Returns whether it was taken. */
export async function write(place: Workplace, hold: Hold, name: string): Promise<boolean> {
  const { token } = hold;
  const operation = place.random.id();
  // Before the question: what is on record is a moment at which the holder may have believed, not one after it.
  const believedAtMs = Number(process.hrtime.bigint()) / 1e6;
  const believes = hold.remainingMs() > 0;
  if (believes) place.note("believed", name, { token, atMs: believedAtMs });
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    const called = await place.call({ call: "append", resource: name, operation, values: { token, believes } }, () =>
      append(
        place.ledger,
        hold,
        keysOf(place.prefix, name),
        { entry: `${token} ${operation}` },
        { operationId: operation, commandTimeoutMs },
      ),
    );
    if (called.outcome === "ok") return true;
    if (called.outcome === "refused" && (called.error as Error).name === "StaleTokenError") return false;
  }
  return false;
}

/**
 * Gives a lock back, and says whether that was in time: asked for and answered before the lease could end.
 * @param nowMs the clock by which `hold` lives
 */
export async function giveBack(place: Workplace, hold: Hold, name: string, nowMs: () => number): Promise<void> {
  const [askedMs, leftMs] = [nowMs(), hold.remainingMs()];
  await place.call(
    { call: "release", resource: name, operation: hold.owner, values: { token: hold.token } },
    () => hold.release(),
    ({ kind }) => ({ kind, inTime: nowMs() - askedMs < leftMs }),
  );
}

/** A holder that does not come back by itself: the lock is its own for `holdMaxMs`, however often it is renewed. */
async function hang(place: Workplace, hold: Hold, name: string): Promise<void> {
  const sinceMs = performance.now();
  await aborted(AbortSignal.any([hold.signal, place.stopping]));
  place.note("hung", name, { token: hold.token, forMs: performance.now() - sinceMs });
}

/**
 * Takes a lock, writes under it, and gives it back.
 * @param take waits for the lock, under this operation id where its kind has one
 * @param hangs whether its holder hangs in between
 */
export async function workUnder(
  place: Workplace,
  take: (operationId: string) => Promise<Hold>,
  name: string,
  hangs: boolean,
): Promise<void> {
  const { random } = place;
  const operation = random.id();
  const called = await place.call(
    { call: "acquire", resource: name, operation },
    () => take(operation),
    ({ token }) => ({ token }),
  );
  if (called.outcome !== "ok") return;
  const held = called.value;
  held.signal.addEventListener("abort", () => place.note("told", name, { token: held.token }), { once: true });
  for (let left = random.int(1, 3); left > 0; left -= 1) {
    // Now and then long enough for a pause to come in between.
    await pace(random.chance(0.25) ? random.int(150, 400) : random.int(0, 40), place.stopping);
    if (!(await write(place, held, name))) break;
  }
  if (hangs) await hang(place, held, name);
  await giveBack(place, held, name, () => performance.now());
}

async function work(place: Workplace): Promise<void> {
  await using lock = new FencedLock(place.redis, {
    prefix: place.prefix,
    ttlMs,
    holdMaxMs,
    commandTimeoutMs,
    waiterLapseMs: 400,
  });
  await Promise.all(
    locks.map(async (name) => {
      const take = (operationId: string): Promise<Hold> =>
        lock.acquire(name, { waitMs, operationId, signal: place.quiet });
      for (let turn = 1; !place.quiet.aborted; turn += 1) {
        await workUnder(place, take, name, turn % hangsEvery === 0);
        await pace(place.random.int(0, 120), place.quiet);
      }
    }),
  );
}

/** What the guarded logs say at the end. */
export interface LockFindings {
  readonly logs: Readonly<Record<string, readonly string[]>>;
  readonly counts: Readonly<Record<string, number>>;
}

/** Reads the guarded logs of these locks. */
export async function readLogs(bench: Bench, names: readonly string[]): Promise<LockFindings> {
  const logs: Record<string, string[]> = {};
  const counts: Record<string, number> = {};
  for (const name of names) {
    const keys = keysOf(bench.prefix, name);
    logs[name] = await bench.ledger.lrange(keys.log, 0, -1);
    counts[name] = Number((await bench.ledger.get(keys.count)) ?? 0);
  }
  return { logs, counts };
}

/** The scenario of `@holdfast/lock`. */
export const scenario: Scenario = {
  name: "lock",
  work,
  inspect: (bench) => readLogs(bench, locks),
  check: checkLock,
};
