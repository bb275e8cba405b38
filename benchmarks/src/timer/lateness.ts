/** 500 timers spread over 5 seconds with an otherwise idle worker: how late each fires by the server's clock, and what it costs. */
import { setTimeout as delay } from "node:timers/promises";
import type { Bench, Figure } from "../figure.ts";
import { quantile } from "../figure.ts";
import { withRedis } from "../load.ts";
import { idOf, payload, withBullWorker, withQueue, withTimer, withTimerWorker } from "./contestants.ts";
import { Floor } from "./floor.ts";

const count = 500;
const spreadMs = 5_000;
const leadMs = 500;

interface Punctuality {
  readonly [name: string]: number;
  readonly p50: number;
  readonly p99: number;
  readonly earliest: number;
}

/** The same spread for everybody: evenly, with the order mixed. */
function offsetMs(index: number): number {
  return leadMs + ((index * 137) % count) * (spreadMs / count);
}

function summary(latenesses: readonly number[]): Punctuality {
  if (latenesses.length !== count) throw new Error(`${latenesses.length} of ${count} timers fired`);
  return { p50: quantile(latenesses, 0.5), p99: quantile(latenesses, 0.99), earliest: Math.min(...latenesses) };
}

async function until(reached: () => boolean): Promise<void> {
  const giveUpAtMs = performance.now() + leadMs + spreadMs + 15_000;
  while (!reached()) {
    if (performance.now() > giveUpAtMs) throw new Error("the timers did not all fire");
    await delay(20);
  }
}

async function bullmq(bench: Bench): Promise<Punctuality> {
  return withQueue(bench, async (queue) => {
    const latenesses: number[] = [];
    await withBullWorker(
      bench,
      (job) => latenesses.push(Date.now() - (job.data as { dueAtMs: number }).dueAtMs),
      async () => {
        const startMs = Date.now();
        await queue.addBulk(
          Array.from({ length: count }, (_, index) => {
            const dueAtMs = startMs + offsetMs(index);
            return {
              name: "timeout",
              data: { ...payload, dueAtMs },
              opts: { delay: dueAtMs - Date.now(), jobId: idOf(index) },
            };
          }),
        );
        await until(() => latenesses.length === count);
      },
    );
    return summary(latenesses);
  });
}

async function floor(bench: Bench): Promise<Punctuality> {
  return withRedis(bench, async (redis) => {
    const store = new Floor(redis);
    const startMs = Date.now();
    const dueAtMs = new Map(Array.from({ length: count }, (_, index) => [idOf(index), startMs + offsetMs(index)]));
    await store.enqueue([...dueAtMs].map(([id, due]) => ({ id, dueAtMs: due, payload: JSON.stringify(payload) })));
    const latenesses: number[] = [];
    let claimed: readonly string[] = [];
    while (latenesses.length < count) {
      const { ids, nextInMs } = await store.claim(100, claimed);
      claimed = ids;
      for (const id of ids) latenesses.push(Date.now() - (dueAtMs.get(id) as number));
      if (ids.length === 0) await delay(nextInMs);
    }
    return summary(latenesses);
  });
}

async function holdfast(bench: Bench): Promise<Punctuality> {
  return withTimer(bench, async (timer) => {
    const latenesses: number[] = [];
    await withTimerWorker(
      bench,
      timer,
      (firing) => latenesses.push(Date.now() - firing.dueAtMs),
      async () => {
        const startMs = Date.now();
        await timer.scheduleMany(
          Array.from({ length: count }, (_, index) => ({
            id: idOf(index),
            at: new Date(startMs + offsetMs(index)),
            payload,
          })),
        );
        await until(() => latenesses.length === count);
      },
    );
    return summary(latenesses);
  });
}

function commandsOf(turn: (bench: Bench) => Promise<Punctuality>): (bench: Bench) => Promise<number> {
  return async (bench) => {
    await bench.resetCommands();
    await turn(bench);
    return (await bench.commands()) / count;
  };
}

/** Lateness and commands. */
export const lateness: readonly Figure[] = [
  {
    name: "lateness of 500 timers over 5 s",
    unit: "ms",
    note: "From the due time to the first line of the handler; all clocks are this machine's.",
    aim: {
      text: "p50 ≤ 2 ms, p99 ≤ 8 ms, never early",
      met: (median) =>
        median("Holdfast", "p50") <= 2 && median("Holdfast", "p99") <= 8 && median("Holdfast", "earliest") >= 0,
    },
    contestants: { BullMQ: bullmq, floor, Holdfast: holdfast },
  },
  {
    name: "Redis commands per firing, sparse: 500 timers over 5 s",
    unit: "commands",
    note: "Commands inside scripts count, and so does the scheduling.",
    repetitionsMax: 1,
    aim: { text: "≤ 20", met: (median) => median("Holdfast") <= 20 },
    contestants: { BullMQ: commandsOf(bullmq), floor: commandsOf(floor), Holdfast: commandsOf(holdfast) },
  },
];
