/** Wall clocks that are stepped: that of the Redis host by more than a minute both ways, and those of pods, which decide nothing. */
import { setTimeout as delay } from "node:timers/promises";
import { everywhere } from "./nemesis.ts";
import type { Nemesis } from "./nemesis.ts";

const stepMs = { min: 61_000, max: 75_000 };

const forward: Nemesis = {
  name: "clock-forward",
  lane: "redis",
  topologies: ["single"],
  ground: "steps-clock",
  async strike(world, chance) {
    const { skew } = world.topology;
    if (skew === undefined) return;
    const byMs = chance.int(stepMs.min, stepMs.max);
    await world.strike("clock-forward", `the clock of Redis stepped forward by ${byMs} ms`, async () => {
      await skew.set(skew.offsetMs + byMs);
      await delay(chance.int(200, 1_000));
    });
  },
};

const back: Nemesis = {
  name: "clock-back",
  lane: "redis",
  topologies: ["single"],
  ground: "steps-clock",
  async strike(world, chance) {
    const { skew } = world.topology;
    if (skew === undefined) return;
    const byMs = chance.int(stepMs.min, stepMs.max);
    await world.strike("clock-back", `the clock of Redis stepped back by ${byMs} ms, then forward again`, async () => {
      const before = skew.offsetMs;
      await skew.set(before - byMs);
      await delay(chance.int(600, 1_800));
      // As NTP puts it right: whatever time had been reached has been reached again.
      await skew.set(before);
      await delay(100);
    });
  },
};

const ofPod: Nemesis = {
  name: "pod-clock",
  lane: "pods",
  topologies: everywhere,
  ground: "solid",
  async strike(world, chance) {
    const place = world.place(chance);
    const { skew } = place;
    if (skew === undefined) return;
    const byMs = chance.pick([-1, 1]) * chance.int(stepMs.min, stepMs.max);
    await world.strike(
      "pod-clock",
      `the clock of ${place.name} stepped by ${byMs} ms`,
      async () => {
        await skew.set(skew.offsetMs + byMs);
        await delay(chance.int(100, 500));
      },
      [place],
    );
  },
};

/** Steps of clocks. */
export const clockNemeses: readonly Nemesis[] = [forward, back, ofPod];
