/** Idempotency keys by schedule: handlers that stand between their beginning and their effect until the schedule lets them go on. */
import { Idempotency } from "@holdfast/idempotency";
import { effectOf, lostAnswer, scenario } from "../scenarios/idempotency.ts";
import type { Cast } from "./cast.ts";

const leaseMs = 10_000;

/** The keys on the stage. */
export const idempotencyCast: Cast = {
  name: "idempotency",
  actions: ["run-1", "run-2", "finish", "fail", "time-out"],
  pinned: [
    "0.run-1 0.freeze +11000 1.run-1 1.finish 0.finish 0.thaw 2.run-1",
    "0.run-1!lose 0.finish!lose 1.run-1",
    "0.run-1 0.fail 1.run-1 1.finish",
    "0.run-1 0.freeze +11000 1.run-1 0.finish 1.finish 0.thaw 2.run-1",
    "0.run-1 0.freeze +11000 1.run-1 0.fail 2.run-1 1.finish 0.thaw 2.run-1 2.finish",
    "0.run-1 0.finish!lose 0.crash 1.run-1",
    "0.run-1!late +1000 1.run-1 1.finish deliver 0.finish",
    "0.run-1 0.freeze +9000 0.next!late 0.finish +1500 1.run-1 deliver 1.finish 2.run-1 0.thaw",
    "0.run-1 0.freeze +9000 0.next!late 0.fail +1500 1.run-1 1.finish +50 deliver 2.run-1 2.finish 0.thaw",
    "0.run-1!mute +2100 deliver 0.finish",
    "0.run-1 0.time-out +50 1.run-1 1.finish",
    "0.run-1 0.crash +11000 1.run-1 1.finish",
    "0.run-1 0.next!late 0.finish +4000 deliver 1.run-1",
    "0.run-1 0.next!mute 0.finish +2100 deliver 1.run-1",
  ],
  scenario,
  restMs: 11_000,
  enter: (place, clock) => {
    const idempotency = new Idempotency(place.redis, "payments", {
      prefix: place.prefix,
      leaseMs,
      clock,
      random: place.random,
    });
    /** Handlers that wait, and what says that their run is over. */
    const gates: { readonly go: (error: Error | null) => void; readonly over: Promise<void> }[] = [];
    let resting = false;
    const run = async (key: string, onWaits: () => void): Promise<void> => {
      const { promise: over, resolve: isOver } = Promise.withResolvers<void>();
      await place.call(
        { call: "run", resource: key, operation: key },
        () =>
          idempotency.run(key, { fingerprint: { key } }, (attempt) =>
            effectOf(place, key, attempt, async () => {
              if (resting) return null;
              const { promise, resolve } = Promise.withResolvers<Error | null>();
              gates.push({ go: resolve, over });
              onWaits();
              return promise;
            }),
          ),
        ({ value, replayed }) => ({ value, replayed }),
      );
      isOver();
    };
    const letGo = async (error: Error | null): Promise<void> => {
      const gate = gates.shift();
      gate?.go(error);
      await gate?.over;
    };
    return {
      act: async (action, onWaits) => {
        if (action.startsWith("run-")) await run(`key-${action.slice(4)}`, onWaits);
        else if (action === "finish") await letGo(null);
        else if (action === "fail") await letGo(new Error("after the effect"));
        else if (action === "time-out") await letGo(lostAnswer());
        else if (action === "rest") {
          resting = true;
          for (const { go } of gates.splice(0)) go(null);
        }
      },
      // A handler that was killed never comes to its effect: its gate stays closed.
      vanish: () => gates.splice(0),
    };
  },
};
