/** How each contestant is set up: its best documented settings, and the bare floor. */
import { DurableTimer } from "@holdfast/timer";
import type { Firing, TimerWorker } from "@holdfast/timer";
import { Queue, Worker } from "bullmq";
import type { Job } from "bullmq";
import type { Bench } from "../figure.ts";
import { withRedis } from "../load.ts";

/** 64 bytes as JSON, what an order's timeout carries. */
export const payload = { order: "3f1c2a77d0", customer: "c-20417", amountCents: 12_990 };

/** Ids of 16 characters. */
export function idOf(index: number): string {
  return `order-${String(index).padStart(10, "0")}`;
}

/** Runs with a timer of Holdfast at its defaults. */
export function withTimer<Value>(
  bench: Bench,
  fn: (timer: DurableTimer<typeof payload>) => Promise<Value>,
): Promise<Value> {
  return withRedis(bench, async (redis) => {
    const timer = new DurableTimer<typeof payload>(redis, "bench");
    bench.retain(timer);
    try {
      return await fn(timer);
    } finally {
      await timer.close();
    }
  });
}

/** Runs with a worker of Holdfast, started and stopped. */
export async function withTimerWorker<Value>(
  bench: Bench,
  timer: DurableTimer<typeof payload>,
  onFiring: (firing: Firing<typeof payload>) => void,
  fn: (worker: TimerWorker<typeof payload>) => Promise<Value>,
): Promise<Value> {
  const worker = timer.worker({ concurrencyMax: 64 }, async (firing) => onFiring(firing));
  bench.retain(worker);
  await worker.start();
  try {
    return await fn(worker);
  } finally {
    await worker.stop({ graceMs: 1_000 });
  }
}

/** BullMQ's connection: what its documentation asks of workers. */
export function bullConnection(bench: Bench): { host: string; port: number; maxRetriesPerRequest: null } {
  return { host: bench.host, port: bench.port, maxRetriesPerRequest: null };
}

/** Runs with a queue of BullMQ. */
export async function withQueue<Value>(bench: Bench, fn: (queue: Queue) => Promise<Value>): Promise<Value> {
  const queue = new Queue("bench", { connection: bullConnection(bench) });
  bench.retain(queue);
  try {
    await queue.waitUntilReady();
    return await fn(queue);
  } finally {
    await queue.close();
  }
}

/** Runs with a worker of BullMQ. */
export async function withBullWorker<Value>(
  bench: Bench,
  onJob: (job: Job) => void,
  fn: (worker: Worker) => Promise<Value>,
): Promise<Value> {
  const worker = new Worker("bench", async (job) => onJob(job), {
    connection: bullConnection(bench),
    concurrency: 64,
    removeOnComplete: { count: 0 },
  });
  bench.retain(worker);
  try {
    await worker.waitUntilReady();
    return await fn(worker);
  } finally {
    await worker.close();
  }
}
