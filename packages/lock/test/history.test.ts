/**
 * Random histories: in each run, processes that pause, die and lose replies take locks and write under them, and what happened has to be
 * something that the guarantees allow.
 *
 * Chance comes from a seed, which is printed. `HOLDFAST_SEED=… pnpm exec vitest run packages/lock/test/history.test.ts` repeats the plan of
 * all runs: who asks when, which fault follows which. `HOLDFAST_RUNS=200` lets 200 of them take place, for about half an hour.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { counterViolations, cutOff, entriesOf, locksHit, staleWrites, tokenViolations } from "./history-check.ts";
import { runFleet } from "./history-fleet.ts";
import type { Faults, Run } from "./history-fleet.ts";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();
const seed = process.env["HOLDFAST_SEED"] ?? String(Date.now());
const runCount = Number(process.env["HOLDFAST_RUNS"] ?? 4);
/** Each has a history of its own, which is checked by itself; no fewer than 200 in all. */
const locksPerRun = Math.max(10, Math.ceil(200 / runCount));
/** Runs that take place at the same time. */
const lanes = 2;

describe(`${runCount} runs of random processes`, () => {
  const runs: Run[] = [];

  beforeAll(
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "holdfast-history-"));
      try {
        const lock = real.lock();
        let next = 0;
        const lane = async (): Promise<void> => {
          while (next < runCount) {
            const number = next;
            next += 1;
            const { server, redis } = real;
            const own = { seed: `${seed}/${number}`, prefix: `r${number}-`, locks: locksPerRun };
            runs.push(await runFleet({ ...own, folder, server, redis, lock }));
          }
        };
        await Promise.all(Array.from({ length: lanes }, lane));
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    120_000 + runCount * 60_000,
  );
  afterAll(() => console.log(`seed ${seed}: ${JSON.stringify(found())}`));

  function faults(): Faults {
    const sum: Faults = { pauses: 0, kills: 0, lostReplies: 0, blackholed: 0, reset: 0 };
    for (const run of runs) for (const key of Object.keys(sum) as (keyof Faults)[]) sum[key] += run.faults[key];
    return sum;
  }

  /** How much happened in all runs together. */
  function found() {
    const count = (of: (run: Run) => number): number => runs.reduce((sum, run) => sum + of(run), 0);
    return {
      runs: runs.length,
      ...faults(),
      granted: count((run) => entriesOf(run, "granted").length),
      accepted: count((run) => entriesOf(run, "accepted").length),
      refused: count((run) => entriesOf(run, "refused").length),
      unknown: count((run) => entriesOf(run, "unknown").length),
      cutOff: count((run) => cutOff(run).length),
      locksHit: count((run) => locksHit(run).size),
      runsHit: runs.filter((run) => locksHit(run).size > 0).length,
    };
  }

  /** What is wrong in any run, with the seed that leads to it. */
  function wrong(violations: (run: Run) => readonly string[]): string[] {
    return runs.flatMap((run) => violations(run).map((violation) => `seed ${run.seed}: ${violation}`));
  }

  it("did enough, each on its own seed, and the faults hit work in flight in every one of them", () => {
    const all = found();
    expect(new Set(runs.map((run) => run.seed)).size).toBe(runCount);
    for (const run of runs) {
      expect(new Set(entriesOf(run, "granted").map(({ name }) => name)).size).toBe(locksPerRun);
      expect(run.faults).toMatchObject({ pauses: 6, kills: 3 });
      expect(run.faults.lostReplies).toBeGreaterThanOrEqual(6);
      expect(locksHit(run).size).toBeGreaterThan(0);
    }
    expect(all.granted).toBeGreaterThan(7 * locksPerRun * runCount);
    expect(all.accepted).toBeGreaterThan(12 * locksPerRun * runCount);
    expect(all.refused).toBeGreaterThan(3 * runCount);
    expect(all.blackholed).toBeGreaterThan(runCount);
    expect(all.reset).toBeGreaterThan(runCount);
    // A write that began and has no end was cut off by a kill.
    expect(all.cutOff).toBeGreaterThan(0);
  });

  it("L1 in every run tokens are unique and strictly increase in real time", () => {
    expect(wrong(tokenViolations)).toEqual([]);
  });

  it("L5 in every run each stale write is refused: what the resource took has tokens that never go down", () => {
    expect(wrong(staleWrites)).toEqual([]);
  });

  it("L3 in every run the guarded counter equals the accepted increments, each applied once", () => {
    expect(wrong(counterViolations)).toEqual([]);
  });

  it("L3 leaves no lock held once every lease has passed", () => {
    expect(wrong(({ left }) => left)).toEqual([]);
  });
});
