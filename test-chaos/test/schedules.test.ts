/**
 * The deterministic part of the suite: schedules of calls, lost and late and doubled messages, stopped actors and passing time, drawn from
 * a seed, played with real scripts. A schedule that breaks a rule is shrunk and printed as a command.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { canStepClocks } from "../faults/deck.ts";
import type { Cast } from "../schedules/cast.ts";
import { casts } from "../schedules/casts.ts";
import { explore } from "../schedules/explore.ts";
import { play } from "../schedules/play.ts";
import { lockCast } from "../schedules/lock-cast.ts";
import type { Theatre } from "../schedules/play.ts";
import { parseSchedule, printSchedule } from "../schedules/step.ts";
import { openTheatre } from "../schedules/theatre.ts";

const seed = Number(process.env["HOLDFAST_SEED"] ?? 20_261_122);
const runs = 25;
/** Together with the runs before it well within the time of a test. */
const shrinkMs = 60_000;

describe.runIf(await canStepClocks())("schedules", { timeout: 900_000 }, () => {
  let theatre: Theatre & AsyncDisposable;
  beforeAll(async () => {
    theatre = await openTheatre();
  });
  afterAll(() => theatre[Symbol.asyncDispose]());

  it.each(casts.map((cast) => ({ name: cast.name, cast })))(
    "$name: every rule holds in every schedule",
    async ({ cast }) => {
      const explored = await explore(cast, theatre, { runs, seed, stepsMax: 30, shrinkMs });
      const again =
        explored.broken === undefined ? "" : `again: pnpm chaos:schedule ${cast.name} "${explored.broken.schedule}"`;
      expect({ again, broken: explored.broken }).toEqual({ again: "", broken: undefined });
      expect(explored.calls).toBeGreaterThan(runs * 2);
      for (const [fate, times] of Object.entries(explored.struck))
        expect({ fate, times: times > 3 }).toEqual({ fate, times: true });
    },
  );

  it("a holder that stood still past its lease writes in vain: the schedule is played as it is written", async () => {
    const words = "0.acquire 0.freeze +11000 1.acquire 1.write 0.write 0.thaw";
    const { record, broken } = await play(lockCast, theatre, parseSchedule(words, lockCast.actions));
    expect(broken).toEqual([]);
    const writes = record.operations.filter(({ call }) => call === "append");
    expect(writes.map(({ process, outcome, answer }) => [process, outcome, answer["error"]])).toEqual([
      ["actor-1.1", "ok", undefined],
      ["actor-0.1", "refused", "StaleTokenError"],
    ]);
  });

  it("a request that arrives after its bound does nothing: a late acquire leaves no ghost", async () => {
    const words = "0.acquire!late +3000 1.acquire 1.write 1.release deliver 2.acquire 2.write";
    const { record, broken } = await play(lockCast, theatre, parseSchedule(words, lockCast.actions));
    expect(broken).toEqual([]);
    const acquires = record.operations.filter(({ call }) => call === "acquire");
    expect(acquires.map(({ process, outcome }) => [process, outcome])).toEqual([
      ["actor-0.1", "unknown"],
      ["actor-1.1", "ok"],
      ["actor-2.1", "ok"],
    ]);
  });
});

describe.runIf(await canStepClocks())("a schedule during which the server did not answer for a while", () => {
  it("is played again, from its beginning: that is not what it says", async () => {
    await using theatre = await openTheatre();
    let entered = 0;
    const cast: Cast = {
      ...lockCast,
      enter: (place, clock) => {
        entered += 1;
        if (entered === 1) {
          theatre.server.pause();
          setTimeout(() => theatre.server.resume(), 1_300);
        }
        return lockCast.enter(place, clock);
      },
    };
    const { record } = await play(cast, theatre, parseSchedule("0.acquire 0.write", lockCast.actions));
    expect(entered).toBeGreaterThanOrEqual(6);
    expect(record.operations.map(({ process, outcome }) => [process, outcome])).toEqual([
      ["actor-0.1", "ok"],
      ["actor-0.1", "ok"],
    ]);
  });
});

describe("the words of a schedule", () => {
  it("are read as they are printed", () => {
    const words =
      "0.acquire 1.acquire!lose 2.write!late +11000 0.freeze deliver forget hush full room 0.thaw 1.crash 2.release!twice";
    expect(printSchedule(parseSchedule(words, lockCast.actions))).toBe(words);
  });

  it.each(["0.fly", "x.acquire", "+", "0.acquire!never"])("%s is no step", (word) => {
    expect(() => parseSchedule(word, lockCast.actions)).toThrow(RangeError);
  });
});
