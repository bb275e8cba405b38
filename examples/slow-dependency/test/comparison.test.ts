import { describe, expect, it } from "vitest";
import { compare } from "../src/comparison.ts";
import { FULL } from "../src/course.ts";
import { outcomeOf, type Outcome } from "../src/outcome.ts";

const pool: Outcome = {
  payments: { offered: 1_300, inTime: 20, longestMs: 7_700, requestMs: 21 },
  profiles: { offered: 1_300, inTime: 50, longestMs: 7_600, requestMs: 21 },
  openings: 0,
  advice: null,
  stoodStillMs: 4,
  dependenciesStoodStillMs: 3,
};
const opossum: Outcome = {
  ...pool,
  openings: 9,
  payments: { offered: 1_300, inTime: 40, longestMs: 519, requestMs: 21 },
};
const bulkhead: Outcome = {
  payments: { offered: 1_300, inTime: 970, longestMs: 520, requestMs: 21 },
  profiles: { offered: 1_300, inTime: 1_300, longestMs: 60, requestMs: 21 },
  openings: 0,
  advice: "at 33 calls/s and p99 400 ms you need 14 permits, you have 4",
  stoodStillMs: 4,
  dependenciesStoodStillMs: 3,
};

function problemsOf(held: Partial<Outcome>): readonly string[] {
  return compare({ pool, opossum, bulkhead: { ...bulkhead, ...held } }, FULL).problems;
}

describe("the comparison", () => {
  it("has a row per figure and finds no fault with a run that went well", () => {
    const report = compare({ pool, opossum, bulkhead }, FULL);
    expect(report.problems).toEqual([]);
    const goodput = report.rows.find(({ label }) => label === "answered within 500 ms");
    expect(goodput).toMatchObject({
      usual: { text: "1.5 %", tone: "bad" },
      alsoUsual: { text: "3.1 %", tone: "bad" },
      holdfast: { text: "74.6 %", tone: "good" },
    });
    const openings = report.rows.find(({ label }) => label.startsWith("openings"));
    expect(openings).toMatchObject({ usual: { text: "–" }, alsoUsual: { text: "9", tone: "bad" } });
    expect(report.notes).toContainEqual(expect.stringContaining("you need 14 permits, you have 4"));
  });

  it("fails for what the bulkheads did not hold, and for nothing that the others did not", () => {
    expect(problemsOf({ openings: 1 })).toEqual(["bulkheads: the breaker of a healthy dependency opened 1 times"]);
    expect(problemsOf({ payments: { offered: 100, inTime: 59, longestMs: 500, requestMs: 21 } })[0]).toContain(
      "only 59.0 %",
    );
    expect(problemsOf({ payments: { offered: 100, inTime: 90, longestMs: 555, requestMs: 21 } })[0]).toContain(
      "past its deadline",
    );
    expect(problemsOf({ profiles: { offered: 100, inTime: 94, longestMs: 20, requestMs: 21 } })[0]).toContain(
      "calls to profiles",
    );
    expect(problemsOf({ payments: { offered: 0, inTime: 0, longestMs: 0, requestMs: 21 } })).toEqual([
      "bulkhead: nothing was called",
    ]);
  });

  it("allows a wait for as long as the process itself stood still", () => {
    const payments = { offered: 100, inTime: 90, longestMs: 700, requestMs: 21 };
    expect(problemsOf({ payments, stoodStillMs: 150 })).toEqual([]);
    expect(problemsOf({ payments, stoodStillMs: 149 })).toHaveLength(1);
  });

  it("blames nobody for the shares of a run in which the machine stood still, and says so", () => {
    const starved = { openings: 3, profiles: { offered: 100, inTime: 77, longestMs: 500, requestMs: 21 } };
    expect(problemsOf({ ...starved, stoodStillMs: 250 })).toHaveLength(2);
    expect(problemsOf({ ...starved, stoodStillMs: 251 })).toEqual([]);
    expect(problemsOf({ ...starved, dependenciesStoodStillMs: 251 })).toEqual([]);
    const { notes } = compare({ pool, opossum, bulkhead: { ...bulkhead, stoodStillMs: 2_345 } }, FULL);
    expect(notes.at(-1)).toContain("stood still for 2345 ms");
    expect(
      problemsOf({ stoodStillMs: 251, payments: { offered: 100, inTime: 90, longestMs: 802, requestMs: 21 } }),
    ).toHaveLength(1);
  });

  it("blames nobody either where a healthy dependency took longer than its permits have time for", () => {
    const profiles = { offered: 100, inTime: 77, longestMs: 500 };
    expect(problemsOf({ profiles: { ...profiles, requestMs: 120 } })).toHaveLength(1);
    expect(problemsOf({ profiles: { ...profiles, requestMs: 121 } })).toEqual([]);
    const { notes } = compare(
      { pool, opossum, bulkhead: { ...bulkhead, profiles: { ...profiles, requestMs: 121 } } },
      FULL,
    );
    expect(notes.at(-1)).toContain("a request to profiles, which takes 20 ms, took 121 ms");
  });

  it("adds up the replicas of a side", () => {
    const replica = { ...bulkhead, openings: 2, stoodStillMs: 9 };
    expect(outcomeOf([bulkhead, replica], 7)).toMatchObject({
      payments: { offered: 2_600, inTime: 1_940, longestMs: 520, requestMs: 21 },
      openings: 2,
      stoodStillMs: 9,
      dependenciesStoodStillMs: 7,
    });
    expect(outcomeOf([])).toMatchObject({ advice: null, stoodStillMs: 0 });
  });
});
