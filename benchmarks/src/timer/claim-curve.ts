/**
 * What a claim costs the server while 1,000 to 1,000,000 timers are pending: microseconds of script time per firing, by the server's own
 * statistics, for 2,000 timers that are due among those that are not.
 */
import type { Bench, Figure } from "../figure.ts";
import { idOf, payload, withTimer, withTimerWorker } from "./contestants.ts";

const dueCount = 2_000;
const dayMs = 86_400_000;

async function claimCostUs(bench: Bench, pending: number): Promise<number> {
  return withTimer(bench, async (timer) => {
    const step = 50_000;
    for (let from = 0; from < pending; from += step) {
      const size = Math.min(step, pending - from);
      await timer.scheduleMany(
        Array.from({ length: size }, (_, offset) => ({ id: idOf(from + offset), afterMs: dayMs + offset, payload })),
      );
    }
    await timer.scheduleMany(
      Array.from({ length: dueCount }, (_, index) => ({ id: `due-${index}`, afterMs: 1, payload })),
    );
    await bench.resetCommands();
    let fired = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    await withTimerWorker(
      bench,
      timer,
      () => {
        fired += 1;
        if (fired === dueCount) resolve();
      },
      () => promise,
    );
    const stats = await bench.info("commandstats");
    const usec = ["cmdstat_evalsha", "cmdstat_eval"].map((key) =>
      Number(/usec=(\d+)/u.exec(stats[key] ?? "")?.[1] ?? 0),
    );
    return usec.reduce((sum, value) => sum + value, 0) / dueCount;
  });
}

/** The curve. */
export const claimCurve: Figure = {
  name: "script time per firing by number of pending timers",
  unit: "µs",
  repetitionsMax: 3,
  aim: {
    text: "one million pending cost no more per claim than one thousand (within 1.5 ×, the depth of the ZSET)",
    met: (median) => median("Holdfast, 1,000,000") <= 1.5 * median("Holdfast, 1,000"),
  },
  contestants: {
    "Holdfast, 1,000": (bench) => claimCostUs(bench, 1_000),
    "Holdfast, 10,000": (bench) => claimCostUs(bench, 10_000),
    "Holdfast, 100,000": (bench) => claimCostUs(bench, 100_000),
    "Holdfast, 1,000,000": (bench) => claimCostUs(bench, 1_000_000),
  },
};
