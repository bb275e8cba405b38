/**
 * A hundred calls under one key at once, on two services with a connection each: how long after the end of the work does each of the others
 * have the answer? More than one execution is a failure.
 */
import { setTimeout as delay } from "node:timers/promises";
import { quantile } from "../figure.ts";
import type { Bench, Figure, Turn } from "../figure.ts";
import { floor, holdfast, nodeIdempotency, paymentOf, powertools } from "./contestants.ts";
import type { OpenService } from "./contestants.ts";

const callers = 100;
const rounds = 20;
/** Long enough for every duplicate to have asked, and to wait. */
const workMs = 60;

function duplicates(open: OpenService): Turn {
  return async (bench: Bench) => {
    await using here = await open(bench);
    await using there = await open(bench);
    const latenciesMs: number[] = [];
    let executions = 0;
    for (let round = 0; round < rounds; round += 1) {
      let endedMs = 0;
      const call = async (index: number): Promise<void> => {
        let worked = false;
        const service = index % 2 === 0 ? here : there;
        const { charge } = await service.run(`key-${round}`, paymentOf(round), async () => {
          worked = true;
          executions += 1;
          await delay(workMs);
          endedMs = performance.now();
          return { charge: `ch_${round}`, state: "captured" };
        });
        if (charge !== `ch_${round}`) throw new Error(`an answer of another key: ${charge}`);
        if (!worked) latenciesMs.push(performance.now() - endedMs);
      };
      await Promise.all(Array.from({ length: callers }, (_, index) => call(index)));
    }
    if (executions !== rounds) throw new Error(`${rounds} keys cost ${executions} executions`);
    return { p50: quantile(latenciesMs, 0.5), p99: quantile(latenciesMs, 0.99) };
  };
}

/** The figure. */
export const waking: Figure = {
  name: "100 concurrent duplicates of one key, from the end of the work to the answer",
  unit: "ms",
  aim: {
    text: "p50 ≤ 5 ms",
    met: (median) => median("Holdfast", "p50") <= 5,
  },
  contestants: {
    "AWS Powertools": duplicates(powertools),
    "node-idempotency": duplicates(nodeIdempotency),
    floor: duplicates(floor),
    Holdfast: duplicates(holdfast),
  },
  note: "Peers and the floor ask again every 10 ms; their defaults are 100 ms, or the caller's own loop. The work runs once for each key, or the turn fails.",
};
