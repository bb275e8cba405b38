/** The checker of the database: what it lets pass, and what it finds. */
import { describe, expect, it } from "vitest";
import { checkPostgres } from "../checkers/postgres.ts";
import type { PostgresFindings } from "../scenarios/postgres.ts";
import { broken, refusesNothing, solid, Story } from "./story.ts";

const right: PostgresFindings = {
  logs: {
    a: [
      { token: 5, operation: "w1" },
      { token: 9, operation: "w2" },
    ],
  },
  counts: { a: 2 },
  effects: [{ key: "k", reminder: "r" }],
  outboxRows: 0,
};

function done(): Story {
  return new Story("postgres")
    .call("write", "a", "w1", {}, { asked: { token: 5 } })
    .call("write", "a", "w2", {}, { asked: { token: 9 } })
    .call("pay", "k", "k", { value: "r", replayed: false })
    .note("fired", "r");
}

describe("the checker of the database", () => {
  it("lets pass what the guarantees allow", () => {
    expect(broken(checkPostgres(done().record(right)))).toEqual([]);
  });

  it("refuses a run in which nothing happened", () => {
    expect(refusesNothing(checkPostgres, "postgres")).toBe(true);
  });

  const stale = [
    { token: 9, operation: "w2" },
    { token: 5, operation: "w1" },
  ];
  const answers = "P1 a write that was confirmed is there, one that was refused is not";
  it.each([
    [
      "a stale write that was committed",
      done(),
      { ...right, logs: { a: stale } },
      "P1 what was committed has tokens that never fall",
    ],
    ["a lost update", done(), { ...right, counts: { a: 1 } }, "P1 no update is lost: the counter equals the writes"],
    ["a confirmed write that is not there", done().call("write", "a", "w3"), right, answers],
    ["a refused write that is there", done().call("write", "a", "w1", {}, { outcome: "refused" }), right, answers],
    [
      "two effects",
      done(),
      { ...right, effects: [...right.effects, { key: "k", reminder: "q" }] },
      "P3 a key has one effect at most",
    ],
    ["another answer", done().call("pay", "k", "k", { value: "q" }), right, "P3 the answer is what was committed"],
    ["rows that nobody told", done(), { ...right, outboxRows: 1 }, "P4 what was committed is told to the timer"],
    [
      "a reminder that never fired",
      done(),
      { ...right, effects: [...right.effects, { key: "l", reminder: "q" }] },
      "P4 what was committed fires",
    ],
    ["a reminder of nothing", done().note("fired", "q"), right, "P4 what was rolled back never fires"],
  ])("finds %s", (_, story, findings, rule) => {
    expect(broken(checkPostgres(story.record(findings)))).toContain(rule);
  });

  it("does not ask for reminders that Redis has forgotten", () => {
    const more = { ...right, effects: [...right.effects, { key: "l", reminder: "q" }] };
    expect(broken(checkPostgres(done().record(more, { ...solid, forgets: true })))).toEqual([]);
  });
});
