/** The fenced lock against the locks of npm and against the shortest code that does the bare work. */
import type { Benchmark } from "../figure.ts";
import { cyclesParallel, cyclesSerial } from "./cycles.ts";
import { handOffFigure } from "./hand-off.ts";
import { stallFigure } from "./stall.ts";

/** All figures of the lock. */
export const lock: Benchmark = {
  name: "lock",
  peers: ["ioredis", "redis-semaphore", "redlock", "redlock-universal"],
  figures: [cyclesParallel, cyclesSerial, handOffFigure, stallFigure],
};
