/** What happens to processes: they are paused, starved, asked to end, killed, replaced. */
import { setTimeout as delay } from "node:timers/promises";
import type { SeededRandom } from "@holdfast/testkit";
import type { World } from "../world/world.ts";
import { everywhere } from "./nemesis.ts";
import type { Nemesis } from "./nemesis.ts";

/** Longer than the leases of all scenarios, which are 800 ms at most. */
const longMs = { min: 1_100, max: 2_000 };
const shortMs = { min: 150, max: 500 };
const graceMs = 5_000;
const answersWithinMs = 60_000;

function solid(name: string, strike: Nemesis["strike"]): Nemesis {
  return { name, lane: "pods", topologies: everywhere, ground: "solid", strike };
}

async function pause(world: World, chance: SeededRandom, name: string, forMs: number): Promise<void> {
  const place = world.place(chance);
  const fault = async (): Promise<void> => {
    place.pod.pause();
    await delay(forMs);
    place.pod.resume();
  };
  await world.strike(name, `${place.name} stopped for ${forMs} ms`, fault, [place]);
}

const pauseShort = solid("pause-short", (world, chance) =>
  pause(world, chance, "pause-short", chance.int(shortMs.min, shortMs.max)),
);

const pauseLong = solid("pause-long", (world, chance) =>
  pause(world, chance, "pause-long", chance.int(longMs.min, longMs.max)),
);

const blockLoop = solid("block-loop", async (world, chance) => {
  const place = world.place(chance);
  const forMs = chance.pick([chance.int(shortMs.min, shortMs.max), chance.int(longMs.min, longMs.max)]);
  const fault = async (): Promise<void> => {
    await place.pod.blockLoop(forMs);
    await delay(forMs);
  };
  await world.strike("block-loop", `the loop of ${place.name} blocked for ${forMs} ms`, fault, [place]);
});

const collect = solid("collect", async (world, chance) => {
  const place = world.place(chance);
  const forMs = chance.int(longMs.min, longMs.max);
  const fault = async (): Promise<void> => {
    await place.pod.request("collect", forMs, answersWithinMs);
    await delay(forMs);
  };
  await world.strike("collect", `${place.name} collects garbage for ${forMs} ms`, fault, [place]);
});

const terminate = solid("terminate", async (world, chance) => {
  const place = world.place(chance);
  const fault = async (): Promise<void> => {
    await place.pod.term(graceMs);
    await place.start();
  };
  await world.strike("terminate", `${place.name} asked to end`, fault, [place]);
});

const kill = solid("kill", async (world, chance) => {
  const place = world.place(chance);
  const fault = async (): Promise<void> => {
    await place.pod.kill();
    await place.start();
  };
  await world.strike("kill", `${place.name} killed`, fault, [place]);
});

const rollingDeploy = solid("rolling-deploy", async (world, chance) => {
  const order = chance.shuffle(world.places);
  const fault = async (): Promise<void> => {
    for (const place of order) {
      await place.pod.term(graceMs);
      await place.start();
    }
  };
  await world.strike("rolling-deploy", "every pod replaced, one after the other", fault);
});

/** Faults of processes. */
export const podNemeses: readonly Nemesis[] = [
  pauseShort,
  pauseLong,
  blockLoop,
  collect,
  terminate,
  kill,
  rollingDeploy,
];
