import { describe, expect, it } from "vitest";
import { compare } from "../src/comparison.ts";
import { FULL } from "../src/course.ts";
import type { Outcome } from "../src/outcome.ts";

const traffic = { answered: 160, timedOut: 160, longestMs: 480 };
const race: Outcome = {
  traffic,
  shop: { running: 0, mostAtOnce: 108, outlived: 168, wastedMs: 736_000, known: {}, stoodStillMs: 4 },
  recommender: { working: 0, mostAtOnce: 104, abandoned: 0 },
  runningAtTheEnd: 92,
  afterLastAnswerMs: 4_700,
  customersStoodStillMs: 5,
};
const scope: Outcome = {
  traffic,
  shop: { running: 0, mostAtOnce: 14, outlived: 8, wastedMs: 7_600, known: { "legacy-audit": 8 }, stoodStillMs: 4 },
  recommender: { working: 0, mostAtOnce: 9, abandoned: 160 },
  runningAtTheEnd: 1,
  afterLastAnswerMs: 1_100,
  customersStoodStillMs: 5,
};

describe("the comparison", () => {
  it("has a row per figure and finds no fault with a run that went well", () => {
    const report = compare({ race, scope }, FULL);
    expect(report.problems).toEqual([]);
    const row = (label: string): unknown[] => {
      const found = report.rows.find((one) => one.label === label);
      return [found?.usual.text, found?.holdfast.text];
    };
    expect(row("subtasks that ran on after their request")).toEqual(["168", "8"]);
    expect(row("of them, nobody knows of")).toEqual(["168", "0"]);
    expect(row("all quiet after the last answer")).toEqual(["4.7 s", "1.1 s"]);
    expect(report.notes[1]).toContain("legacy-audit 8 times");
  });

  it("fails for what the scope did not hold", () => {
    const problemsOf = (changed: Partial<Outcome>): readonly string[] =>
      compare({ race, scope: { ...scope, ...changed } }, FULL).problems;
    expect(problemsOf({ shop: { ...scope.shop, known: { "legacy-audit": 7 } } })).toEqual([
      "scope: 1 subtasks ran on that have no name",
    ]);
    const more = { ...scope.shop, outlived: 9, known: { "legacy-audit": 8, recommendations: 1 } };
    expect(problemsOf({ shop: more })[0]).toContain("9 subtasks ran on after their request, 8 of them do not listen");
    expect(problemsOf({ recommender: { ...scope.recommender, working: 1 } })[0]).toContain("never ended");
    expect(problemsOf({ traffic: { ...traffic, longestMs: 1_500 } })[0]).toContain("an answer took 1500 ms");
    const late = { ...traffic, longestMs: 3_500 };
    expect(
      problemsOf({ traffic: late, customersStoodStillMs: 1_000, shop: { ...scope.shop, stoodStillMs: 1_051 } }),
    ).toEqual([]);
    expect(
      problemsOf({ traffic: late, customersStoodStillMs: 1_000, shop: { ...scope.shop, stoodStillMs: 1_049 } })[0],
    ).toContain("an answer took 3500 ms");
    expect(problemsOf({ traffic: { ...traffic, timedOut: 159 } })).toEqual(["scope: 159 of 160 requests timed out"]);
  });
});
