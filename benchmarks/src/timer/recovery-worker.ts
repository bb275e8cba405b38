/** The process that is killed, and the one that takes over: says when a handler starts, and never ends one. */
import { DurableTimer } from "@holdfast/timer";
import { reportReady } from "@holdfast/testkit";
import { Worker } from "bullmq";
import { Redis } from "ioredis";

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

const connection = { host: required("BENCH_HOST"), port: Number(required("BENCH_PORT")), maxRetriesPerRequest: null };
const leaseMs = Number(required("BENCH_LEASE_MS"));

function onStart(id: string): Promise<never> {
  process.send?.({ started: id, atMs: Date.now() });
  return new Promise(() => undefined);
}

if (required("BENCH_LIBRARY") === "bullmq") {
  const worker = new Worker("bench", (job) => onStart(String(job.id)), {
    connection,
    lockDuration: leaseMs,
    stalledInterval: leaseMs,
    maxStalledCount: 10,
  });
  await worker.waitUntilReady();
} else {
  const timer = new DurableTimer(new Redis(connection), "bench");
  await timer.worker({ leaseMs }, (firing) => onStart(firing.id)).start();
}
reportReady();
