/** 20,000 timers due at once, one worker process, handlers that do nothing: the rate, and what it costs the server. */
import type { Bench, Figure } from "../figure.ts";
import { perSecond, withRedis } from "../load.ts";
import { idOf, payload, withBullWorker, withQueue, withTimer, withTimerWorker } from "./contestants.ts";
import { Floor } from "./floor.ts";

const count = 20_000;
const chunk = 1_000;

interface Drained {
  readonly perSecond: number;
  readonly commandsPerFiring: number;
}

/** Resolves when it has been called `count` times. */
function countdown(): { readonly done: Promise<void>; readonly one: () => void } {
  let left = count;
  const { promise, resolve } = Promise.withResolvers<void>();
  return {
    done: promise,
    one: () => {
      left -= 1;
      if (left === 0) resolve();
    },
  };
}

async function timed(bench: Bench, start: () => Promise<void>): Promise<Drained> {
  await bench.resetCommands();
  const startMs = performance.now();
  await start();
  const rate = perSecond(count, startMs);
  return { perSecond: rate, commandsPerFiring: (await bench.commands()) / count };
}

async function bullmq(bench: Bench): Promise<Drained> {
  return withQueue(bench, async (queue) => {
    const jobs = Array.from({ length: count }, (_, index) => ({
      name: "timeout",
      data: payload,
      opts: { delay: 1, jobId: idOf(index) },
    }));
    for (let from = 0; from < count; from += chunk) await queue.addBulk(jobs.slice(from, from + chunk));
    const { done, one } = countdown();
    return timed(bench, () => withBullWorker(bench, one, () => done));
  });
}

async function floor(bench: Bench): Promise<Drained> {
  return withRedis(bench, async (redis) => {
    const store = new Floor(redis);
    const text = JSON.stringify(payload);
    for (let from = 0; from < count; from += chunk) {
      await store.enqueue(
        Array.from({ length: chunk }, (_, offset) => ({ id: idOf(from + offset), dueAtMs: 1, payload: text })),
      );
    }
    const loop = async (): Promise<void> => {
      let claimed: readonly string[] = [];
      do claimed = (await store.claim(100, claimed)).ids;
      while (claimed.length > 0);
    };
    return timed(bench, async () => {
      await Promise.all([loop(), loop(), loop(), loop()]);
    });
  });
}

async function holdfast(bench: Bench): Promise<Drained> {
  return withTimer(bench, async (timer) => {
    await timer.scheduleMany(Array.from({ length: count }, (_, index) => ({ id: idOf(index), afterMs: 1, payload })));
    const { done, one } = countdown();
    return timed(bench, () => withTimerWorker(bench, timer, one, () => done));
  });
}

const note = "BullMQ: removeOnComplete, concurrency 64. The floor keeps no tokens, attempts or generations.";

/** Rate and commands. */
export const drain: readonly Figure[] = [
  {
    name: "drain 20,000 due at once",
    warmUps: 2,
    unit: "/s",
    note,
    aim: { text: "≥ 10 × BullMQ", met: (median) => median("Holdfast") >= 10 * median("BullMQ") },
    contestants: {
      BullMQ: async (bench) => (await bullmq(bench)).perSecond,
      floor: async (bench) => (await floor(bench)).perSecond,
      Holdfast: async (bench) => (await holdfast(bench)).perSecond,
    },
  },
  {
    name: "Redis commands per firing in a burst of 20,000",
    unit: "commands",
    note: "Commands inside scripts count.",
    repetitionsMax: 3,
    aim: { text: "≤ 0.2", met: (median) => median("Holdfast") <= 0.2 },
    contestants: {
      BullMQ: async (bench) => (await bullmq(bench)).commandsPerFiring,
      floor: async (bench) => (await floor(bench)).commandsPerFiring,
      Holdfast: async (bench) => (await holdfast(bench)).commandsPerFiring,
    },
  },
];
