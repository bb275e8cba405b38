import { describe, expect, it } from "vitest";
import { compare } from "../src/comparison.ts";
import type { Mail } from "../src/mailing.ts";
import { outcomeOf, type Killed } from "../src/outcome.ts";
import type { RunResult } from "../src/run.ts";

const hours = [1_000, 2_000];
const course = { hourMs: 1_000, hours: 2, customers: 3, mailMs: 1, leaseMs: 300 };

function mailsOf(replica: string, hourMs: number, ...customers: readonly number[]): Mail[] {
  return customers.map((customer) => ({ hourMs, customer, replica }));
}

const KILLED: Killed = { replica: "a", hourMs: 2_000 };

function resultOf(mails: readonly Mail[], killed: Killed | null = KILLED): RunResult {
  return {
    outcome: outcomeOf(mails, hours, course.customers, killed),
    killed,
  };
}

const held = resultOf([...mailsOf("b", 1_000, 0, 1, 2), ...mailsOf("a", 2_000, 0, 1), ...mailsOf("b", 2_000, 2)]);
const doubled = resultOf([
  ...mailsOf("a", 1_000, 0, 1, 2),
  ...mailsOf("b", 1_000, 0, 1, 2),
  ...mailsOf("a", 2_000, 0),
  ...mailsOf("b", 2_000, 0, 1, 2),
]);

describe("the comparison", () => {
  it("counts what was repeated, what is missing, and what was taken over", () => {
    expect(held.outcome).toEqual({ due: 6, sent: 6, repeated: 0, missing: 0, doubledHours: 0, takenOver: 1 });
    expect(doubled.outcome).toMatchObject({ sent: 10, repeated: 4, missing: 0, doubledHours: 2 });
  });

  it("has no problem when the scheduler sent each mail once", () => {
    const report = compare(doubled, held, course);
    expect(report.problems).toEqual([]);
    expect(report.verdict).toEqual({ usual: "4 of 6 mails repeated", holdfast: "0 of 6 mails repeated" });
  });

  it.each([
    ["a mail sent twice", doubled, "sent more than once"],
    ["a mail that is missing", resultOf([...mailsOf("a", 2_000, 0), ...mailsOf("b", 2_000, 1)]), "were not sent"],
    ["nobody killed", resultOf(mailsOf("b", 1_000, 0, 1, 2), null), "no replica was killed"],
    ["nothing taken over", resultOf(mailsOf("a", 2_000, 0, 1, 2)), "left nothing to take over"],
  ])("fails on %s", (_what, result, problem) => {
    expect(compare(doubled, result, course).problems.join()).toContain(problem);
  });
});
