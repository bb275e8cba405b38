/**
 * Figures of calls that never leave the process: time and memory per call, one after the other. The time is that of this thread on the
 * processor, collections of garbage included, so that other processes on a shared machine do not count.
 */
import type { Turn } from "./figure.ts";

const warmUpCalls = 2_000;
const bytesCalls = 2_000;
const bytesRounds = 15;

/** Makes one call; what it stands on is made once per turn. */
export type Calls = () => (() => Promise<unknown>) | Promise<() => Promise<unknown>>;

/** Nanoseconds of this thread since a reading. */
export function nsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) * 1_000;
}

/** Nanoseconds per call, so many calls one after the other. */
export function nsPerCall(make: Calls, calls: number): Turn {
  return async () => {
    const call = await make();
    for (let index = 0; index < warmUpCalls; index += 1) await call();
    const before = process.threadCpuUsage();
    for (let index = 0; index < calls; index += 1) await call();
    return nsSince(before) / calls;
  };
}

/** Bytes that a call allocates, whether or not they are garbage afterwards; needs `--expose-gc`. */
export function bytesPerCall(make: Calls): Turn {
  return async () => {
    const collect = globalThis.gc;
    if (collect === undefined) throw new Error("run node with --expose-gc");
    const call = await make();
    for (let index = 0; index < warmUpCalls; index += 1) await call();
    const rounds: number[] = [];
    for (let round = 0; round < bytesRounds; round += 1) {
      collect();
      const before = process.memoryUsage().heapUsed;
      // So few that no collection comes in between.
      for (let index = 0; index < bytesCalls; index += 1) await call();
      rounds.push((process.memoryUsage().heapUsed - before) / bytesCalls);
    }
    return rounds.toSorted((a, b) => a - b)[bytesRounds >> 1] as number;
  };
}
