/** Locks that nobody else wants, taken and given back: how many a second. */
import type { Figure, Turn } from "../figure.ts";
import { inParallel, perSecond, withRedis } from "../load.ts";
import { floor, holdfast, redlock, semaphore, universal } from "./contestants.ts";
import type { OpenLocks } from "./contestants.ts";

const names = 1_000;
const peers = ["redlock", "redlock-universal", "redis-semaphore"];

/** @param count pairs in one turn, after a tenth of them as warm-up */
function cycles(open: OpenLocks, count: number, concurrency: number): Turn {
  return (bench) =>
    withRedis(bench, async (redis) => {
      const locks = open(redis);
      const cycle = async (index: number): Promise<void> => {
        const release = await locks.acquire(`invoice-${index % names}`);
        await release();
      };
      try {
        await inParallel(count / 10, concurrency, cycle);
        const startMs = performance.now();
        await inParallel(count, concurrency, cycle);
        return perSecond(count, startMs);
      } finally {
        await locks.close();
      }
    });
}

function contestantsOf(count: number, concurrency: number): Record<string, Turn> {
  const turn = (open: OpenLocks): Turn => cycles(open, count, concurrency);
  return {
    redlock: turn(redlock()),
    "redlock-universal": turn(universal),
    "redis-semaphore": turn(semaphore),
    floor: turn(floor),
    Holdfast: turn(holdfast),
  };
}

const note = "Only Holdfast gives a token. redlock and redlock-universal do not renew a lock that is taken this way.";

/** 64 callers, each with a lock of its own. */
export const cyclesParallel: Figure = {
  name: "acquire + release, concurrency 64",
  warmUps: 2,
  unit: "/s",
  note,
  aim: {
    text: "≥ 1.2 × the floor, and first",
    met: (median) =>
      median("Holdfast") >= 1.2 * median("floor") && peers.every((peer) => median("Holdfast") > median(peer)),
  },
  contestants: contestantsOf(20_000, 64),
};

/** One caller. */
export const cyclesSerial: Figure = {
  name: "acquire + release, concurrency 1",
  warmUps: 2,
  unit: "/s",
  note,
  aim: { text: "≥ 0.75 × the floor", met: (median) => median("Holdfast") >= 0.75 * median("floor") },
  contestants: contestantsOf(3_000, 1),
};
