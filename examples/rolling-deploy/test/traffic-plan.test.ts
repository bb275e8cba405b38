import { describe, expect, it } from "vitest";
import { planTraffic } from "../src/traffic-plan.ts";

const options = { seed: 7, orders: 400, durationMs: 6_000, paymentTimeoutMs: 4_000 };

describe("the customers", () => {
  it("are the same for the same seed, and others for another one", () => {
    expect(planTraffic(options)).toEqual(planTraffic(options));
    expect(planTraffic({ ...options, seed: 8 })).not.toEqual(planTraffic(options));
  });

  it("come one after the other over the whole time", () => {
    const times = planTraffic(options).map(({ atMs }) => atMs);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(times[0]).toBeLessThan(15);
    expect(times.at(-1)).toBeGreaterThan(5_985);
    expect(times.at(-1)).toBeLessThan(6_000);
  });

  it("pay in half of the cases, some of them on either side of the deadline", () => {
    const payments = planTraffic(options).flatMap(({ payAfterMs }) => payAfterMs ?? []);
    expect(payments.length).toBeGreaterThan(160);
    expect(payments.length).toBeLessThan(240);
    expect(payments.filter((ms) => ms > 3_975 && ms < 4_000).length).toBeGreaterThan(5);
    expect(payments.filter((ms) => ms > 4_000 && ms < 4_025).length).toBeGreaterThan(5);
  });
});
