/**
 * What becomes of the occurrences that are due: which are run, which were missed (C2), and which one is next. Pure: the same record and
 * the same time give the same plan on every replica.
 */
import type { Definition } from "./definition.ts";
import type { Recurrence } from "./recurrence.ts";

/** A decision about everything that is due. */
export interface Plan {
  /** Occurrences to run, in epoch milliseconds, in order. */
  readonly runs: readonly number[];
  readonly missed: { readonly firstMs: number; readonly lastMs: number; readonly count: number } | null;
  /** The last occurrence that is decided. */
  readonly cursorMs: number;
  /** The one after it. */
  readonly followingMs: number;
}

/** Most occurrences that are caught up in one pass, and most that wait (C2). */
export const catchUpMax = 1_000;
/** Stands for "never": beyond every date that a cron can name. */
export const neverMs = 8_640_000_000_000;

/** How long an occurrence may be due and still be run for certain, in milliseconds. */
export function lateMaxMsOf({ missed, missedAfterMs }: Definition): number {
  return missed === "skip" ? missedAfterMs : neverMs;
}

/**
 * @param nextMs the occurrence that is next on record; it is due
 * @param nowMs server time
 * @param roomMax most occurrences to run now, 1 to `catchUpMax`
 */
export function planOf(
  definition: Definition,
  recurrence: Recurrence,
  nextMs: number,
  nowMs: number,
  roomMax: number,
): Plan {
  const due = [nextMs];
  let followingMs = recurrence.after(nextMs) ?? neverMs;
  while (followingMs <= nowMs && due.length < catchUpMax) {
    due.push(followingMs);
    followingMs = recurrence.after(followingMs) ?? neverMs;
  }
  if (definition.missed === "all") {
    const runs = due.slice(0, roomMax);
    const following = due[runs.length] ?? followingMs;
    return { runs, missed: null, cursorMs: runs.at(-1) as number, followingMs: following };
  }
  if (followingMs <= nowMs) {
    // More than anybody counts: only the latest one matters.
    due.push(latestDue(recurrence, followingMs, nowMs));
    followingMs = recurrence.after(nowMs) ?? neverMs;
  }
  const lastMs = due.at(-1) as number;
  const runsLast = nowMs - lastMs <= lateMaxMsOf(definition);
  const passed = runsLast ? due.slice(0, -1) : due;
  return {
    runs: runsLast ? [lastMs] : [],
    missed:
      passed.length === 0
        ? null
        : { firstMs: nextMs, lastMs: passed.at(-1) as number, count: Math.min(passed.length, catchUpMax) },
    cursorMs: lastMs,
    followingMs,
  };
}

/** The latest occurrence up to now; `knownMs` is one that is due. Looks back in widening steps, so that years of them cost nothing. */
function latestDue(recurrence: Recurrence, knownMs: number, nowMs: number): number {
  let latestMs = knownMs;
  for (let stepMs = 1_000; nowMs - stepMs > knownMs; stepMs *= 2) {
    const foundMs = recurrence.after(nowMs - stepMs) ?? neverMs;
    if (foundMs > nowMs) continue;
    latestMs = foundMs;
    break;
  }
  for (;;) {
    const nextMs = recurrence.after(latestMs) ?? neverMs;
    if (nextMs > nowMs) return latestMs;
    latestMs = nextMs;
  }
}
