import { describe, expect, it } from "vitest";
import { compare } from "../src/comparison.ts";
import type { Outcome } from "../src/outcome.ts";
import type { RunResult } from "../src/run.ts";
import { scaleOf } from "../src/scale.ts";

const course = { seed: 1, ordersMin: 100, spacingMs: 10, scale: scaleOf(15), rollAtMs: 0 };

function resultWith(outcome: Partial<Outcome>, deployment: Partial<RunResult["deployment"]> = {}): RunResult {
  return {
    outcome: {
      placed: 100,
      paid: 40,
      timedOut: 60,
      stuck: 0,
      timedOutTwice: 0,
      paidAndTimedOut: 0,
      timedOutEarly: 0,
      refused: 3,
      latenessMedianMs: 3.2,
      latenessWorstMs: 12.9,
      ...outcome,
    },
    traffic: { placed: 100, paid: 40, tooLate: 4, answersLost: 0 },
    deployment: { replaced: 3, overran: 0, crashed: 1, ...deployment },
    retries: 2,
  };
}

const lost = resultWith({ timedOut: 40, stuck: 20 });
const held = resultWith({});

describe("the comparison", () => {
  it("has no problem when memory loses timeouts and the durable timer does not", () => {
    const report = compare(lost, held, course);
    expect(report.problems).toEqual([]);
    expect(report.verdict).toEqual({ usual: "20 of 100 stuck", holdfast: "0 of 100 stuck" });
    expect(report.rows.find(({ label }) => label === "manual clean-up needed")).toMatchObject({
      usual: { text: "yes, 20 orders" },
      holdfast: { text: "no" },
    });
    expect(report.notes[0]).toContain("payment timeout 60 s → 4 s");
  });

  it("says so when memory lost nothing, which is no failure of the timer", () => {
    const report = compare(held, held, course);
    expect(report.problems).toEqual([]);
    expect(report.notes.join()).toContain("nothing was lost this time");
  });

  it.each([
    ["a stuck order", { stuck: 1, timedOut: 59 }, "1 orders are stuck"],
    ["an order timed out twice", { timedOutTwice: 1 }, "timed out twice"],
    ["an order paid and timed out", { paidAndTimedOut: 1 }, "both paid and timed out"],
    ["an order timed out early", { timedOutEarly: 1 }, "timed out early"],
    ["an order that vanished", { paid: 39 }, "do not add up"],
    ["too little traffic", { placed: 50, paid: 20, timedOut: 30 }, "only 50 of 100 orders were placed"],
    ["no payment at all", { paid: 0, timedOut: 100 }, "no order was paid"],
  ])("fails on %s in the durable column", (_what, outcome, problem) => {
    expect(compare(lost, resultWith(outcome), course).problems.join()).toContain(problem);
  });

  it("fails when nobody was replaced or killed, since then nothing was shown", () => {
    expect(compare(lost, resultWith({}, { crashed: 0 }), course).problems).toHaveLength(1);
    expect(compare(resultWith({}, { replaced: 2 }), held, course).problems).toHaveLength(1);
  });
});
