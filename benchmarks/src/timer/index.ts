/** The durable timer against BullMQ's delayed jobs and against the shortest Lua that does the bare work. */
import type { Benchmark } from "../figure.ts";
import { claimCurve } from "./claim-curve.ts";
import { drain } from "./drain.ts";
import { enqueueBulk, enqueueSingle } from "./enqueue.ts";
import { lateness } from "./lateness.ts";
import { memory } from "./memory.ts";
import { recovery } from "./recovery.ts";

/** All figures of the timer. */
export const timer: Benchmark = {
  name: "timer",
  peers: ["bullmq", "ioredis"],
  figures: [enqueueBulk, enqueueSingle, ...drain, ...lateness, memory, recovery, claimCurve],
};
