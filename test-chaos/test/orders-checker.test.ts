/** The checker of the order service: what it lets pass, and what it finds. */
import { describe, expect, it } from "vitest";
import { checkOrders } from "../checkers/orders.ts";
import type { StoredOrder } from "../scenarios/orders.ts";
import { broken, refusesNothing, Story } from "./story.ts";

const paid: StoredOrder = {
  id: "o1",
  amountCents: 500,
  status: "PAID",
  events: ["placed", "paid"],
  decidedAfterDueMs: -400,
};
const late: StoredOrder = {
  id: "o2",
  amountCents: 700,
  status: "PAYMENT_TIMEOUT",
  events: ["placed", "timed-out"],
  decidedAfterDueMs: 3,
};

function bought(): Story {
  return new Story("orders")
    .call("place", "k1", "k1", { id: "o1" }, { asked: { amountCents: 500 } })
    .call("pay", "o1", "p1")
    .call("place", "k2", "k2", { id: "o2" }, { asked: { amountCents: 700 } });
}

describe("the checker of orders", () => {
  it("lets pass what the service promises", () => {
    expect(broken(checkOrders(bought().record({ orders: [paid, late] })))).toEqual([]);
  });

  it("refuses a run in which nothing happened", () => {
    expect(refusesNothing(checkOrders, "orders")).toBe(true);
  });

  const pending: StoredOrder = { ...late, status: "PENDING_PAYMENT", events: ["placed"], decidedAfterDueMs: null };
  it.each([
    ["an order that is stuck", bought(), [paid, pending], "T2 P4 no order is stuck"],
    [
      "an order that is paid and timed out",
      bought(),
      [{ ...paid, events: ["placed", "paid", "timed-out"] }, late],
      "no order is both paid and timed out, or decided twice",
    ],
    [
      "a timeout before its time",
      bought(),
      [paid, { ...late, decidedAfterDueMs: -90 }],
      "T1 no order is timed out before its deadline",
    ],
    ["an order that is not there", bought(), [paid], "an order that was confirmed is there, with its amount"],
    [
      "two orders for one request",
      bought().call("place", "k1", "k1", { id: "o2" }, { asked: { amountCents: 700 } }),
      [paid, late],
      "I1 a request under one key places one order",
    ],
    [
      "a payment that was confirmed and is not there",
      bought().call("pay", "o2", "p2"),
      [paid, late],
      "money equals the orders that are paid",
    ],
    ["money that nobody paid", new Story("orders"), [paid], "money equals the orders that are paid"],
  ])("finds %s", (_, story, orders, rule) => {
    expect(broken(checkOrders(story.record({ orders })))).toContain(rule);
  });
});
