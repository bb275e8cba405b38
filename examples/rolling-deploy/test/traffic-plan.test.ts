import { describe, expect, it } from "vitest";
import { planTraffic, type PlannedOrder } from "../src/traffic-plan.ts";

function customersOf(seed: number): PlannedOrder[] {
  const customers = planTraffic({ seed, spacingMs: 15, paymentTimeoutMs: 4_000 });
  return Array.from({ length: 400 }, () => customers.next().value);
}

describe("the customers", () => {
  it("are the same for the same seed, and others for another one", () => {
    expect(customersOf(7)).toEqual(customersOf(7));
    expect(customersOf(8)).not.toEqual(customersOf(7));
  });

  it("come one after the other at a steady pace", () => {
    const times = customersOf(7).map(({ atMs }) => atMs);
    for (const [index, atMs] of times.entries()) {
      expect(atMs).toBeGreaterThanOrEqual(index * 15);
      expect(atMs).toBeLessThan((index + 1) * 15);
    }
  });

  it("pay in half of the cases, some of them on either side of the deadline", () => {
    const payments = customersOf(7).flatMap(({ payAfterMs }) => payAfterMs ?? []);
    expect(payments.length).toBeGreaterThan(160);
    expect(payments.length).toBeLessThan(240);
    expect(payments.filter((ms) => ms > 3_975 && ms < 4_000).length).toBeGreaterThan(5);
    expect(payments.filter((ms) => ms > 4_000 && ms < 4_025).length).toBeGreaterThan(5);
  });
});
