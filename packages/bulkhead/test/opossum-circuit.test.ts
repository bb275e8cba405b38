import { ManualClock } from "@holdfast/testkit";
import PrometheusMetrics from "opossum-prometheus";
import { beforeEach, describe, expect, it } from "vitest";
import { Bulkhead } from "../src/index.ts";
import { turn } from "./work.ts";

let clock: ManualClock;
let one: Bulkhead;

beforeEach(() => {
  clock = new ManualClock();
  one = new Bulkhead("payments", { clock, breaker: { callsMin: 4, openMs: 1_000 } });
});

async function fail(times: number): Promise<void> {
  for (let call = 0; call < times; call += 1) {
    await one.run(() => Promise.reject(new Error("down"))).catch(() => undefined);
  }
}

describe("the opossum circuit", () => {
  it("tells its standard events, and its statistics are live", async () => {
    const events: string[] = [];
    for (const name of ["fire", "success", "failure", "open", "halfOpen", "close", "reject"]) {
      one.circuit?.on(name as "open", () => events.push(name));
    }
    await one.run(() => 1);
    await fail(3);
    await one.run(() => 1).catch(() => undefined);
    expect(one.circuit?.opened).toBe(true);
    expect(one.circuit?.stats).toMatchObject({ fires: 4, successes: 1, failures: 3, rejects: 1 });
    await clock.advance(1_000);
    await one.run(() => 1);
    expect(one.circuit?.closed).toBe(true);
    expect(events).toEqual([
      "fire",
      "success",
      "fire",
      "failure",
      "fire",
      "failure",
      "fire",
      "failure",
      "open",
      "reject",
      "halfOpen",
      "success",
      "close",
    ]);
  });
});

describe("opossum's exporter for Prometheus", () => {
  it("counts answers, failures, refusals and openings of a bulkhead's circuit", async () => {
    const { circuit } = one;
    if (circuit === undefined) throw new Error("there is a breaker");
    const exporter = new PrometheusMetrics({ circuits: [circuit] });
    try {
      await one.run(() => 1);
      await fail(3);
      await one.run(() => 1).catch(() => undefined);
      await clock.advance(1_000);
      await one.run(() => 1);
      const counted = (event: string): number =>
        Number(new RegExp(`^circuit\\{name="payments",event="${event}"\\} (\\d+)`, "mu").exec(exporter.metrics)?.[1]);
      const events = ["fire", "success", "failure", "open", "reject", "close"];
      expect(events.map((event) => [event, counted(event)])).toEqual([
        ["fire", 4],
        ["success", 2],
        ["failure", 3],
        ["open", 1],
        ["reject", 1],
        ["close", 1],
      ]);
    } finally {
      exporter.clear();
    }
  });
});

describe("the opossum circuit's listeners", () => {
  it("are told from the moment they listen until they leave, and nothing is lost from the statistics", async () => {
    let successes = 0;
    const count = (): unknown => (successes += 1);
    await one.run(() => 1);
    one.circuit?.on("success", count);
    await one.run(() => 1);
    one.circuit?.once("success", count);
    await one.run(() => 1);
    one.circuit?.off("success", count);
    await one.run(() => 1);
    expect(successes).toBe(3);
    expect(one.circuit?.stats).toMatchObject({ fires: 4, successes: 4 });
  });

  it.each(["fire", "success", "failure", "open", "reject", "halfOpen", "close"])(
    "B1 that throw at %s are warned of, and neither a call nor the breaker hears of it",
    async (name) => {
      const warnings: Error[] = [];
      const warned = (warning: Error): unknown => warnings.push(warning);
      process.on("warning", warned);
      try {
        one.circuit?.on(name as "open", () => {
          throw new Error("exporter");
        });
        await expect(one.run(async () => "in time")).resolves.toBe("in time");
        await fail(3);
        await expect(one.run(() => 1)).rejects.toMatchObject({ reason: "rejected-open" });
        await clock.advance(1_000);
        await expect(one.run(async () => "a probe")).resolves.toBe("a probe");
        expect(one.snapshot()).toMatchObject({ state: "closed", inFlight: 0, zombies: 0 });
        await expect(one.run(async () => "as before")).resolves.toBe("as before");
        await turn();
        expect(warnings.map(({ message }) => message)).toContain("exporter");
      } finally {
        process.off("warning", warned);
      }
    },
  );
});
