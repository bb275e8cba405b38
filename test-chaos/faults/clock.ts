/** Wall clocks that are stepped: that of the Redis host by more than a minute both ways, and those of pods, which decide nothing. */
import { setTimeout as delay } from "node:timers/promises";
import type { ClockSkew, SeededRandom } from "@holdfast/testkit";
import { onPod, onServers } from "./nemesis.ts";
import type { Hit, Nemesis } from "./nemesis.ts";

const stepMs = { min: 61_000, max: 75_000 };

/** One that steps the clock of Redis, where this machine can. */
function ofRedis(name: string, act: (skew: ClockSkew, chance: SeededRandom, hit: Hit) => Promise<void>): Nemesis {
  return onServers(name, ["single"], "steps-clock", async ({ topology: { skew } }, chance, hit) => {
    if (skew !== undefined) await act(skew, chance, hit);
  });
}

const forward = ofRedis("clock-forward", async (skew, chance, hit) => {
  const byMs = chance.int(stepMs.min, stepMs.max);
  await hit(`the clock of Redis stepped forward by ${byMs} ms`, async () => {
    await skew.set(skew.offsetMs + byMs);
    await delay(chance.int(200, 1_000));
  });
});

const back = ofRedis("clock-back", async (skew, chance, hit) => {
  const byMs = chance.int(stepMs.min, stepMs.max);
  await hit(`the clock of Redis stepped back by ${byMs} ms, then forward again`, async () => {
    const before = skew.offsetMs;
    await skew.set(before - byMs);
    await delay(chance.int(600, 1_800));
    // As NTP puts it right: whatever time had been reached has been reached again.
    await skew.set(before);
    await delay(100);
  });
});

const ofPod = onPod("pod-clock", async ({ name, skew }, chance, hit) => {
  if (skew === undefined) return;
  const byMs = chance.pick([-1, 1]) * chance.int(stepMs.min, stepMs.max);
  await hit(`the clock of ${name} stepped by ${byMs} ms`, async () => {
    await skew.set(skew.offsetMs + byMs);
    await delay(chance.int(100, 500));
  });
});

/** Steps of clocks. */
export const clockNemeses: readonly Nemesis[] = [forward, back, ofPod];
