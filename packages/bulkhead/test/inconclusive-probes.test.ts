/** Probes that tell nothing: they neither close the breaker, nor go on for ever. */
import { ManualClock } from "@holdfast/testkit";
import { beforeEach, expect, it } from "vitest";
import { Bulkhead } from "../src/index.ts";
import { hang, turn, watch } from "./work.ts";

let clock: ManualClock;
let one: Bulkhead;

beforeEach(async () => {
  clock = new ManualClock();
  one = new Bulkhead("payments", { timeoutMs: 60_000, clock, breaker: { callsMin: 4, openMs: 1_000 } });
  for (let call = 0; call < 4; call += 1) await one.run(() => Promise.reject(new Error("down"))).catch(() => undefined);
  await clock.advance(1_000);
  expect(one.snapshot().state).toBe("half-open");
});

/** Ends when it is told to. */
function abortable(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

/** Calls and gives it up. */
async function giveUp(fn: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const controller = new AbortController();
  const cancelled = watch(one.run({ signal: controller.signal }, ({ signal }) => fn(signal)));
  controller.abort(new Error("gone"));
  await turn();
  expect(cancelled.error).toMatchObject({ message: "gone" });
}

it("B2 however many probes their callers give up, it stays half-open, and the next call is a probe", async () => {
  for (let probe = 0; probe < 30; probe += 1) await giveUp(abortable);
  expect(one.snapshot()).toMatchObject({ state: "half-open", outcomes: { cancelled: 30 } });
  await expect(one.run(() => 1)).resolves.toBe(1);
  expect(one.snapshot().state).toBe("closed");
});

it("B4 probes that never tell anything open it again after a bounded number", async () => {
  for (let probe = 0; probe < 10; probe += 1) {
    expect(one.snapshot().state).toBe("half-open");
    await one.run({ classify: () => "ignore" }, () => "429");
  }
  expect(one.snapshot().state).toBe("open");
});

it("B4 so do those that go on although their callers have given them up: they do not pile up", async () => {
  for (let probe = 0; probe < 10; probe += 1) {
    expect(one.snapshot().state).toBe("half-open");
    await giveUp(hang);
  }
  expect(one.snapshot().state).toBe("open");
  await clock.advance(70_000);
});
