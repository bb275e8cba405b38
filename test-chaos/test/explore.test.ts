/** How exploring ends when something breaks: with a schedule that can be played again, however little time there is to shorten it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Rule } from "../checkers/verdict.ts";
import { canStepClocks } from "../faults/deck.ts";
import type { Cast } from "../schedules/cast.ts";
import { explore } from "../schedules/explore.ts";
import type { Explored } from "../schedules/explore.ts";
import type { Theatre } from "../schedules/play.ts";
import { parseSchedule } from "../schedules/step.ts";
import { openTheatre } from "../schedules/theatre.ts";

/** A primitive that breaks its rule with every second word; `played` is how long each schedule was. */
function fragile(played: number[]): Cast {
  let acts = 0;
  return {
    name: "fragile",
    actions: ["touch"],
    pinned: [],
    restMs: 1,
    enter: () => ({
      act: (action) => {
        if (action === "touch") acts += 1;
        return Promise.resolve();
      },
      vanish: () => undefined,
    }),
    scenario: {
      name: "fragile",
      work: () => Promise.resolve(),
      check: () => {
        const rule = new Rule("fragile", "it is touched less than twice");
        rule.check(acts < 2, () => `${acts} times`);
        played.push(acts);
        acts = 0;
        return [rule.verdict];
      },
    },
  };
}

describe.runIf(await canStepClocks())("exploring", { timeout: 900_000 }, () => {
  let theatre: Theatre & AsyncDisposable;
  beforeAll(async () => {
    theatre = await openTheatre();
  });
  afterAll(() => theatre[Symbol.asyncDispose]());

  async function explored(shrinkMs: number): Promise<{ readonly played: number[]; readonly found: Explored }> {
    const played: number[] = [];
    const found = await explore(fragile(played), theatre, { runs: 20, seed: 7, stepsMax: 20, shrinkMs });
    return { played, found };
  }

  function touches({ broken }: Explored): number {
    const steps = parseSchedule(broken?.schedule ?? "", ["touch"]);
    return steps.filter(({ kind }) => kind === "act").length;
  }

  it("without time to shorten it answers with the first schedule that broke a rule", async () => {
    const { played, found } = await explored(0);
    expect(found.broken?.rules[0]).toMatch(/^fragile: it is touched less than twice/);
    expect(touches(found)).toBe(played.at(-1));
  });

  it("when the time to shorten is over it answers with the shortest schedule so far", async () => {
    // So little that no second schedule is played to its end.
    const { played, found } = await explored(1);
    const breaking = played.filter((acts) => acts >= 2);
    expect(touches(found)).toBe(Math.min(...breaking));
    expect(found.broken?.rules).toHaveLength(1);
  });

  it("with time to shorten it answers with the shortest there is", async () => {
    const { found } = await explored(600_000);
    expect(found.broken?.schedule).toBe("0.touch 0.touch");
  });
});
