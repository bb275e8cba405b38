/** What happens to processes: they are paused, starved, asked to end, killed, replaced. */
import { setTimeout as delay } from "node:timers/promises";
import type { Place } from "../world/fleet.ts";
import { onPod, onPods } from "./nemesis.ts";
import type { Nemesis } from "./nemesis.ts";

/** Longer than the leases of all scenarios, which are 800 ms at most. */
const longMs = { min: 1_100, max: 2_000 };
const shortMs = { min: 150, max: 500 };
const graceMs = 5_000;
const answersWithinMs = 60_000;

function pause(name: string, ms: { readonly min: number; readonly max: number }): Nemesis {
  return onPod(name, async (place, chance, hit) => {
    const forMs = chance.int(ms.min, ms.max);
    await hit(`${place.name} stopped for ${forMs} ms`, async () => {
      place.pod.pause();
      await delay(forMs);
      place.pod.resume();
    });
  });
}

const pauseShort = pause("pause-short", shortMs);
const pauseLong = pause("pause-long", longMs);

const blockLoop = onPod("block-loop", async (place, chance, hit) => {
  const forMs = chance.pick([chance.int(shortMs.min, shortMs.max), chance.int(longMs.min, longMs.max)]);
  await hit(`the loop of ${place.name} blocked for ${forMs} ms`, async () => {
    await place.pod.blockLoop(forMs);
    await delay(forMs);
  });
});

const collect = onPod("collect", async (place, chance, hit) => {
  const forMs = chance.int(longMs.min, longMs.max);
  await hit(`${place.name} collects garbage for ${forMs} ms`, async () => {
    await place.pod.request("collect", forMs, answersWithinMs);
    await delay(forMs);
  });
});

const terminate = onPod("terminate", (place, _chance, hit) => hit(`${place.name} asked to end`, () => replace(place)));

const kill = onPod("kill", (place, _chance, hit) =>
  hit(`${place.name} killed`, async () => {
    await place.pod.kill();
    await place.start();
  }),
);

const rollingDeploy = onPods("rolling-deploy", (world, chance, hit) => {
  const order = chance.shuffle(world.places);
  return hit("every pod replaced, one after the other", async () => {
    for (const place of order) await replace(place);
  });
});

async function replace(place: Place): Promise<void> {
  await place.pod.term(graceMs);
  await place.start();
}

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
