/** What a call costs that has to wait, with 50,000 of them in the queue. */
import pLimit from "p-limit";
import type { Figure, Turn } from "../figure.ts";
import { nsSince } from "../in-process.ts";
import { cockatielBulkhead, holdfast, nothing } from "./contestants.ts";

const calls = 50_000;

function allAtOnce(make: () => () => Promise<unknown>): Turn {
  return async () => {
    const call = make();
    const before = process.threadCpuUsage();
    await Promise.all(Array.from({ length: calls }, call));
    return nsSince(before) / calls;
  };
}

/** 50,000 calls at once, ten of them at work. */
export const queue: Figure = {
  name: "50,000 calls at once",
  unit: "ns",
  note: "Holdfast: with the breaker and a deadline for each call; the others have neither.",
  aim: { text: "≤ 0.7 × p-limit", met: (median) => median("Holdfast") <= 0.7 * median("p-limit") },
  contestants: {
    "p-limit": allAtOnce(() => {
      const limit = pLimit(10);
      return () => limit(nothing);
    }),
    cockatiel: allAtOnce(cockatielBulkhead),
    Holdfast: allAtOnce(() => holdfast({ timeoutMs: 600_000 })),
  },
};
