/**
 * 200 seeded runs of schedule, cancel, reschedule, kill, pause, lost and late replies, each against the model in model/journal.ts.
 * A failing run prints its seed; put it into `pinned` to repeat it alone.
 */
import { RedisServer, SeededRandom } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { violations } from "./model/journal.ts";
import { attemptsMax, emptyTally, ModelRun } from "./model/run.ts";
import type { Tally } from "./model/run.ts";

const runs = 200;
const atOnce = 8;
const firstSeed = 20_261_122;
const pinned: readonly number[] = [];

/** Faults, each of which has to have hit work in flight. */
const faults = ["lostReplies", "doubledRequests", "lateRequests", "kills", "pauses", "blackouts", "failures"] as const;

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

function add(total: Tally, one: Tally): void {
  for (const key of Object.keys(total) as (keyof Tally)[]) {
    if (key === "schedules")
      for (const kind of ["scheduled", "kept", "replaced", "firing"] as const)
        total.schedules[kind] += one.schedules[kind];
    else if (key === "cancels")
      for (const kind of ["cancelled", "firing", "absent"] as const) total.cancels[kind] += one.cancels[kind];
    else total[key] += one[key];
  }
}

function share(counts: Readonly<Record<string, number>>): number {
  const values = Object.values(counts);
  return Math.min(...values) / values.reduce((sum, value) => sum + value, 0);
}

describe("model", () => {
  it(
    `T1 T2 T3 T4 T5 T6 T9 K1 K7 hold in ${runs} seeded runs of schedule, cancel, reschedule, kill, pause, lost and late replies`,
    { timeout: 240_000 },
    async () => {
      const total = emptyTally();
      const seeds = pinned.length > 0 ? [...pinned] : Array.from({ length: runs }, (_, index) => firstSeed + index);
      const failures: string[] = [];
      const lane = async (): Promise<void> => {
        for (let seed = seeds.shift(); seed !== undefined; seed = seeds.shift()) {
          const run = new ModelRun(new SeededRandom(seed), server, `model-${seed}`);
          const broken = await run.play().then(
            () => violations(run.journal.entries, attemptsMax),
            (error: unknown) => [String(error), ...violations(run.journal.entries, attemptsMax)],
          );
          if (run.tally.operations < 10) broken.push(`only ${run.tally.operations} operations`);
          if (run.tally.starts < 2) broken.push(`only ${run.tally.starts} firings`);
          add(total, run.tally);
          if (broken.length > 0) {
            const journal = run.journal.entries.map((entry) => JSON.stringify(entry)).join("\n  ");
            failures.push(`seed ${seed}: ${broken.join("; ")}\n  ${JSON.stringify(run.tally)}\n  ${journal}`);
          }
        }
      };
      const title = `${seeds.length} runs from seed ${seeds[0]}`;
      await Promise.all(Array.from({ length: atOnce }, lane));
      console.log(`timer model, ${title}: ${JSON.stringify(total)}`);
      if (failures.length > 0)
        throw new Error(`${failures.length} of ${runs} runs\n${failures.slice(0, 3).join("\n")}`);
      const enough = {
        operations: total.operations > runs * 15,
        firings: total.starts > runs * 5,
        schedules: share(total.schedules) >= 0.05,
        cancels: share(total.cancels) >= 0.05,
        faults: Math.min(...faults.map((fault) => total[fault])) > runs / 10,
      };
      expect({ ...enough, total }).toMatchObject({
        operations: true,
        firings: true,
        schedules: true,
        cancels: true,
        faults: true,
      });
    },
  );
});
