/** What a history of the order service has to keep, whatever happened to Redis: the database has the last word. */
import type { Operation } from "../history/operation.ts";
import type { RoundRecord } from "../history/record.ts";
import type { OrderFindings, StoredOrder } from "../scenarios/orders.ts";
import { enough, Rule } from "./verdict.ts";
import type { Verdict } from "./verdict.ts";

const scenario = "orders";
const decisions = new Set(["paid", "timed-out"]);

function ordersAreDecided(orders: readonly StoredOrder[], stepsClock: boolean): Verdict[] {
  const stuck = new Rule(scenario, "T2 P4 no order is stuck");
  const both = new Rule(scenario, "no order is both paid and timed out, or decided twice");
  const early = new Rule(scenario, "T1 no order is timed out before its deadline");
  for (const { id, status, events, decidedAfterDueMs } of orders) {
    stuck.check(status !== "PENDING_PAYMENT", () => `${id} waits for its payment for ever: ${events.join(", ")}`);
    const decided = events.filter((event) => decisions.has(event));
    both.check(decided.length <= 1, () => `${id}: ${decided.join(", ")}`);
    const said = status === "PAID" ? "paid" : "timed-out";
    if (status !== "PENDING_PAYMENT")
      both.check(decided[0] === said, () => `${id} is ${status} and was ${decided.join(", ")}`);
    // Redis and PostgreSQL share one machine here, hence one clock, unless that of Redis is stepped.
    if (status === "PAYMENT_TIMEOUT" && !stepsClock)
      early.check((decidedAfterDueMs ?? 0) >= -5, () => `${id}: ${(-(decidedAfterDueMs ?? 0)).toFixed(0)} ms early`);
  }
  return [stuck.verdict, both.verdict, early.verdict];
}

function answersAreTrue(calls: readonly Operation[], orders: readonly StoredOrder[], forgets: boolean): Verdict[] {
  const there = new Rule(scenario, "an order that was confirmed is there, with its amount");
  const once = new Rule(scenario, "I1 a request under one key places one order");
  const money = new Rule(scenario, "money equals the orders that are paid");
  const byId = new Map(orders.map((order) => [order.id, order]));
  const byKey = new Map<string, string>();
  for (const { call, outcome, id: key, answer, asked, resource } of calls) {
    if (call === "place" && outcome === "ok") {
      const id = String(answer["id"]);
      there.check(
        byId.get(id)?.amountCents === asked["amountCents"],
        () => `${id}: ${byId.get(id)?.amountCents}, ${String(asked["amountCents"])} was ordered`,
      );
      // A key that Redis has forgotten places another order: the database has no key of this request.
      if (!forgets) once.check((byKey.get(key) ?? id) === id, () => `${key}: ${byKey.get(key)} and ${id}`);
      byKey.set(key, id);
    }
    if (call === "pay" && outcome === "ok")
      money.check(
        byId.get(resource)?.status === "PAID",
        () => `${resource}: the customer heard "paid", it is ${byId.get(resource)?.status}`,
      );
  }
  const paid = orders.filter(({ status }) => status === "PAID");
  const taken = paid.reduce((sum, { amountCents }) => sum + amountCents, 0);
  const asked = new Set(calls.filter(({ call }) => call === "pay").map(({ resource }) => resource));
  const owed = orders
    .filter(({ id, events }) => asked.has(id) && events.includes("paid"))
    .reduce((sum, { amountCents }) => sum + amountCents, 0);
  money.check(taken === owed, () => `${taken} cents were taken, ${owed} were paid for`);
  return [there.verdict, once.verdict, money.verdict];
}

/** Checks the orders of a round. */
export function checkOrders(round: RoundRecord): Verdict[] {
  const { orders } = (round.findings[scenario] as OrderFindings | undefined) ?? { orders: [] };
  const calls = round.operations.filter((each) => each.scenario === scenario);
  const answered = calls.filter(({ outcome }) => outcome === "ok");
  const of = (status: string): number => orders.filter((order) => order.status === status).length;
  return [
    enough(scenario, {
      orders: [orders.length, 30],
      "orders paid": [of("PAID"), 5],
      "orders timed out": [of("PAYMENT_TIMEOUT"), 5],
      "requests answered after the healing": [answered.filter(({ askedAtMs }) => askedAtMs > round.calmAtMs).length, 5],
    }),
    ...ordersAreDecided(orders, round.conditions.stepsClock),
    ...answersAreTrue(calls, orders, round.conditions.forgets),
  ];
}
