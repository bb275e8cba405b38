/** How fast timers are stored: in bulk, and by 64 callers that each wait for their own. */
import type { Bench, Figure, Turn } from "../figure.ts";
import { inParallel, perSecond, withRedis } from "../load.ts";
import { idOf, payload, withQueue, withTimer } from "./contestants.ts";
import { Floor } from "./floor.ts";

const count = 20_000;
const concurrency = 64;
const hourMs = 3_600_000;
const chunk = 1_000;

function floor(perScript: number, lanes: number): Turn {
  return (bench: Bench) =>
    withRedis(bench, async (redis) => {
      const store = new Floor(redis);
      const text = JSON.stringify(payload);
      const dueAtMs = Date.now() + hourMs;
      const startMs = performance.now();
      await inParallel(count / perScript, lanes, (index) =>
        store.enqueue(
          Array.from({ length: perScript }, (_, offset) => ({
            id: idOf(index * perScript + offset),
            dueAtMs,
            payload: text,
          })),
        ),
      );
      return perSecond(count, startMs);
    });
}

/** 20,000 timers handed over together. */
export const enqueueBulk: Figure = {
  name: "enqueue 20,000 in bulk",
  warmUps: 2,
  unit: "/s",
  aim: { text: "≥ 10 × BullMQ", met: (median) => median("Holdfast") >= 10 * median("BullMQ") },
  contestants: {
    BullMQ: (bench) =>
      withQueue(bench, async (queue) => {
        const jobs = Array.from({ length: count }, (_, index) => ({
          name: "timeout",
          data: payload,
          opts: { delay: hourMs, jobId: idOf(index) },
        }));
        const startMs = performance.now();
        for (let from = 0; from < count; from += chunk) await queue.addBulk(jobs.slice(from, from + chunk));
        return perSecond(count, startMs);
      }),
    floor: floor(500, 2),
    Holdfast: (bench) =>
      withTimer(bench, async (timer) => {
        const timers = Array.from({ length: count }, (_, index) => ({ id: idOf(index), afterMs: hourMs, payload }));
        const startMs = performance.now();
        await timer.scheduleMany(timers);
        return perSecond(count, startMs);
      }),
  },
};

/** 20,000 timers one by one, 64 callers at a time. */
export const enqueueSingle: Figure = {
  name: "enqueue 20,000 one by one, concurrency 64",
  warmUps: 2,
  unit: "/s",
  aim: { text: "≥ 4 × BullMQ", met: (median) => median("Holdfast") >= 4 * median("BullMQ") },
  contestants: {
    BullMQ: (bench) =>
      withQueue(bench, async (queue) => {
        const startMs = performance.now();
        await inParallel(count, concurrency, (index) =>
          queue.add("timeout", payload, { delay: hourMs, jobId: idOf(index) }),
        );
        return perSecond(count, startMs);
      }),
    floor: floor(1, concurrency),
    Holdfast: (bench) =>
      withTimer(bench, async (timer) => {
        const startMs = performance.now();
        await inParallel(count, concurrency, (index) => timer.schedule({ id: idOf(index), afterMs: hourMs, payload }));
        return perSecond(count, startMs);
      }),
  },
};
