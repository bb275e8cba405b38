import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { watchStandStill } from "../src/stand-still.ts";

it("reads for how long the process stood still at most", async () => {
  const stoodStillMs = watchStandStill();
  await sleep(20);
  const untilMs = performance.now() + 80;
  while (performance.now() < untilMs);
  await sleep(20);
  expect(stoodStillMs()).toBeGreaterThanOrEqual(70);
});
