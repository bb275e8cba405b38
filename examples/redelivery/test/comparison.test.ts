import { describe, expect, it } from "vitest";
import { compare } from "../src/comparison.ts";
import { scaleOf, type Order } from "../src/course.ts";
import { tally } from "../src/outcome.ts";
import type { RunResult } from "../src/run.ts";

const course = { seed: 1, ordersMin: 3, burst: 1, spacingMs: 10, scale: scaleOf(25) };
const orders: readonly Order[] = [
  { id: "a", amountCents: 100 },
  { id: "b", amountCents: 200 },
  { id: "c", amountCents: 400 },
];

/** @param charged an order for each charge that the provider booked */
function resultOf(charged: string, rest: Partial<RunResult> = {}, receipts = 3): RunResult {
  const bookings = charged.split("").map((orderId) => ({
    orderId,
    amountCents: orders.find(({ id }) => id === orderId)?.amountCents ?? 0,
  }));
  return {
    outcome: tally(orders, bookings, 1, { receipts, earningsCents: 700 }),
    replicas: { finished: 4, killed: 2 },
    deliveredAgain: 2,
    unsettled: 0,
    ...rest,
  };
}

const doubled = resultOf("abbc");
const held = resultOf("abc");

describe("the comparison", () => {
  it("counts who was charged twice, what they paid too much, and who was not charged", () => {
    expect(doubled.outcome).toMatchObject({ charges: 4, chargedTwice: 1, overchargedCents: 200, notCharged: 0 });
    expect(resultOf("aaac").outcome).toMatchObject({ chargedTwice: 1, overchargedCents: 200, notCharged: 1 });
  });

  it("has no problem when one side charges twice and the other one does not", () => {
    const report = compare(doubled, held, course);
    expect(report.problems).toEqual([]);
    expect(report.verdict).toEqual({
      usual: "1 of 3 charged twice, 2 redeliveries",
      holdfast: "0 of 3 charged twice, 2 redeliveries",
    });
    expect(report.rows.find(({ label }) => label === "taken from them too much")).toMatchObject({
      usual: { text: "2.00", tone: "bad" },
      holdfast: { text: "0.00", tone: "good" },
    });
  });

  it("says so when the usual code charged nobody twice, which is no failure of the other side", () => {
    const report = compare(held, held, course);
    expect(report.problems).toEqual([]);
    expect(report.notes.join()).toContain("nobody was charged twice this time");
  });

  it.each([
    ["a customer charged twice", resultOf("aabc"), "1 customers were charged twice"],
    ["a customer who was not charged", resultOf("ab"), "1 customers were not charged"],
    ["a receipt that is missing", resultOf("abc", {}, 2), "1 orders have no receipt"],
    ["a message that was never acknowledged", resultOf("abc", { unsettled: 1 }), "1 messages were not acknowledged"],
    ["nobody killed", resultOf("abc", { replicas: { finished: 6, killed: 0 } }), "0 of 2 replicas were killed"],
    ["no redelivery", resultOf("abc", { deliveredAgain: 0 }), "no message had to come again"],
  ])("fails on %s", (_what, result, problem) => {
    expect(compare(doubled, result, course).problems.join()).toContain(problem);
  });
});
