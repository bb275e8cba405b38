/** Timers by schedule: two ids, a worker in every actor, and handlers that end when the schedule says so. */
import { DurableTimer } from "@holdfast/timer";
import { stagedAfterMs, stagedLeaseMs, stagedPollMs } from "../checkers/staged-timer.ts";
import { attemptsMax } from "../checkers/timer.ts";
import { scenario } from "../scenarios/timer.ts";
import type { Payload } from "../scenarios/timer.ts";
import type { Cast } from "./cast.ts";

/** A request is repeated while the server is bound to know it again, which is longer than this. */
const againWithinMs = 30_000;

/** The timers on the stage. */
export const timerCast: Cast = {
  name: "timer",
  actions: ["schedule-1", "schedule-2", "cancel-1", "cancel-2", "finish", "fail", "again"],
  pinned: [
    "0.schedule-1!late +1000 1.cancel-1 deliver +1000 0.finish",
    "0.schedule-1!late 1.cancel-1 +130000 +130000 deliver +1000 0.finish 1.finish 2.finish",
    "0.schedule-1 +1000 0.freeze 1.freeze 2.freeze +11000 0.thaw 1.thaw 2.thaw 0.finish 1.finish 2.finish",
    "0.schedule-1 +1000 0.freeze +11000 1.finish 2.finish 0.finish 0.thaw 1.schedule-1 +1000 1.finish 2.finish",
    "0.schedule-1!lose +1000 0.finish 1.finish 2.finish",
    "0.schedule-1 +1000 0.schedule-1 0.finish 1.finish 2.finish +1000 0.finish 1.finish 2.finish",
    "0.schedule-1 +1000 0.finish 1.finish 2.finish 0.again +1000 0.finish 1.finish 2.finish",
    "0.schedule-1 +50 0.next!lose 1.next!lose 2.next!lose +1000 +1000 +1000 +1000 +1000 0.finish 1.finish 2.finish",
    // Whoever begins to listen looks once more: that is over before nobody hears anything any more.
    "+1000 +1000 hush 0.schedule-1 +1000 +1000 +1000 +1000 +1000 0.finish 1.finish 2.finish",
    "1.freeze 2.freeze 0.schedule-1 +1000 0.freeze +9000 0.fail!late 1.thaw +1500 deliver +1000 1.finish 0.thaw 2.thaw",
    "0.schedule-1 full +1000 +1000 +1000 +1000 +1000 0.finish 1.finish 2.finish",
    "0.schedule-2 +1000 1.schedule-2 0.cancel-2 +11000 0.cancel-2 1.again",
    "0.schedule-1!twice +1000 0.crash 1.crash 2.crash +11000 0.finish 1.finish 2.finish",
  ],
  scenario,
  restMs: 11_000,
  enter: async (place, clock) => {
    const open = (): DurableTimer<Payload> =>
      new DurableTimer<Payload>(place.redis, "timeouts", { prefix: place.prefix, clock, random: place.random });
    // Who schedules and who fires are two: nothing but Redis tells the one of the other.
    const [timer, firing] = [open(), open()];
    const gates: ((fails: boolean) => void)[] = [];
    let resting = false;
    let latest: { readonly id: string; readonly operation: string; readonly untilMs: number } | undefined;
    const worker = firing.worker(
      {
        leaseMs: stagedLeaseMs,
        pollMs: stagedPollMs,
        attemptsMax,
        backoff: { baseMs: 50, delayMaxMs: 100 },
        concurrencyMax: 2,
      },
      async ({ id, generation, token, attempt, latenessMs, signal }) => {
        place.note("delivered", id, { generation, token, attempt, latenessMs });
        const fails = resting ? false : await new Promise<boolean>((resolve) => gates.push(resolve));
        if (fails) {
          place.note("failed", id, { token });
          throw new Error("as the schedule says");
        }
        place.note("done", id, { generation, token, lost: signal.aborted });
      },
    );
    await worker.start();
    const schedule = (id: string, operation: string): Promise<unknown> =>
      place.call(
        // To the history it is due at once: time on this stage does not pass by the clock of the machine.
        { call: "schedule", resource: id, operation, values: { afterMs: 0, behaviour: "plain" } },
        () =>
          timer.schedule({
            id,
            afterMs: stagedAfterMs,
            payload: { behaviour: "plain" },
            ifExists: "replace",
            operationId: operation,
          }),
        ({ kind, generation }) => ({ kind, generation }),
      );
    const cancel = (id: string, operation: string): Promise<unknown> =>
      place.call(
        { call: "cancel", resource: id, operation },
        () => timer.cancel(id, { operationId: operation }),
        ({ kind }) => ({ kind }),
      );
    return {
      act: async (action) => {
        const [verb, number = ""] = action.split("-");
        if (verb === "schedule") {
          const [id, operation] = [`timer-${number}`, place.random.id()];
          latest = { id, operation, untilMs: clock.monotonicMs() + againWithinMs };
          await schedule(id, operation);
        } else if (verb === "again") {
          // As a caller does that has not heard its answer.
          if (latest !== undefined && clock.monotonicMs() < latest.untilMs) await schedule(latest.id, latest.operation);
        }
        if (verb === "cancel") await cancel(`timer-${number}`, place.random.id());
        else if (verb === "finish" || verb === "fail") gates.shift()?.(verb === "fail");
        else if (verb === "rest") {
          resting = true;
          for (const go of gates.splice(0)) go(false);
        }
      },
      vanish: () => {
        gates.splice(0);
        void worker.stop({ graceMs: 0 });
      },
    };
  },
};
