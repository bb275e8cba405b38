import { ManualClock } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { Bulkhead } from "../src/index.ts";
import type { BulkheadEvent, BulkheadOptions } from "../src/index.ts";
import { handWork, openCalls, turn } from "./work.ts";

/** Counts what is asked of it. */
class CountingClock extends ManualClock {
  readings = 0;
  timers = 0;

  override monotonicMs(): number {
    this.readings += 1;
    return super.monotonicMs();
  }

  override setTimer(...timer: Parameters<ManualClock["setTimer"]>): ReturnType<ManualClock["setTimer"]> {
    this.timers += 1;
    return super.setTimer(...timer);
  }
}

let clock: CountingClock;

beforeEach(() => {
  clock = new CountingClock();
});

function bulkhead(options: BulkheadOptions = {}): Bulkhead {
  return new Bulkhead("payments", { concurrencyMax: 2_000, breaker: {}, clock, ...options });
}

/** Begins calls at one moment and ends them together 300 ms later; the readings for their ends. */
async function readingsOf(one: Bulkhead, calls: number): Promise<number> {
  const { works } = openCalls(one, calls);
  await clock.advance(300);
  const before = clock.readings;
  for (const work of works) work.resolve("");
  await turn();
  return clock.readings - before;
}

describe("the end of a call", () => {
  it("is read from the clock for the first hundred of a hundredth of a second, and for one in sixteen of the others", async () => {
    const one = bulkhead();
    expect(await readingsOf(one, 100)).toBe(100);
    await clock.advance(10);
    expect(await readingsOf(one, 1_700)).toBe(200);
    // What was read is true: none of them looks as if it had taken no time.
    const { latency, outcomes } = one.snapshot();
    expect(latency).toMatchObject({ samples: 200, p50Ms: expect.closeTo(300, -1) as number });
    expect(outcomes.success).toBe(1_800);
  });

  it("is read for each call when somebody needs how long it took", async () => {
    const events: BulkheadEvent[] = [];
    const heard = bulkhead();
    heard.circuit?.on("success", () => undefined);
    const needy = [
      bulkhead({ onEvent: (event) => events.push(event) }),
      bulkhead({ classify: () => "success" }),
      bulkhead({ breaker: { slowCallMs: 1_000 } }),
      bulkhead({ adaptive: { concurrencyMin: 1_000, concurrencyMax: 2_000 } }),
      heard,
    ];
    for (const one of needy) expect(await readingsOf(one, 1_000)).toBeGreaterThanOrEqual(1_000);
    expect(events.every((event) => event.type !== "call" || event.runMs === 300)).toBe(true);
  });

  it("is read for failures and zombies, however many calls there are", async () => {
    const one = bulkhead({ timeoutMs: 100, breaker: { callsMin: 10_000 } });
    openCalls(one, 200);
    const failing = handWork();
    const failed = one.run(() => failing.promise).catch(() => undefined);
    const zombie = handWork();
    const abandoned = one.run(() => zombie.promise).catch(() => undefined);
    await clock.advance(50);
    failing.reject(new Error("down"));
    await failed;
    await clock.advance(50);
    await abandoned;
    zombie.resolve("");
    await turn();
    expect(one.snapshot().latency).toMatchObject({ samples: 2, maxMs: expect.closeTo(100, -1) as number });
  });

  it("counts in the breaker's window although it was not read: the share of failures stays exact", async () => {
    const one = bulkhead({ breaker: { callsMin: 1, failurePercent: 10, windowMs: 10_000 } });
    await readingsOf(one, 900);
    for (let call = 0; call < 99; call += 1)
      await one.run(() => Promise.reject(new Error("down"))).catch(() => undefined);
    expect(one.snapshot().state).toBe("closed");
    expect(one.circuit?.stats).toMatchObject({ fires: 999, successes: 900, failures: 99 });
    await one.run(() => Promise.reject(new Error("down"))).catch(() => undefined);
    expect(one.snapshot().state).toBe("open");
  });
});

it("calls that find a permit arm no timer of their own", async () => {
  const one = bulkhead();
  await one.run(() => 1);
  const before = clock.timers;
  for (let call = 0; call < 1_000; call += 1) await one.run(() => 1);
  expect(clock.timers).toBe(before);
});
