/** What happens to the servers, with nothing acknowledged being lost: killed and restarted, frozen, full, emptied of scripts, resharded. */
import { setTimeout as delay } from "node:timers/promises";
import { pollUntil, slotOfKey } from "@holdfast/testkit";
import type { RedisCluster, RedisServer, SeededRandom } from "@holdfast/testkit";
import type { World } from "../world/world.ts";
import { everywhere, onServers } from "./nemesis.ts";
import type { Hit, Nemesis } from "./nemesis.ts";

/** A master at random; waits while there is none. */
export async function aMaster(world: World, chance: SeededRandom): Promise<RedisServer> {
  const pick = async (): Promise<RedisServer | false> => {
    const masters = await world.topology.masters();
    return masters.length > 0 && chance.pick(masters);
  };
  return pollUntil("there is a master", pick, { timeoutMs: 60_000 });
}

const restart = onServers("redis-restart", ["single"], "solid", async (world, chance, hit) => {
  const server = await aMaster(world, chance);
  const downMs = chance.int(50, 900);
  await hit(`Redis killed, and started again after ${downMs} ms`, async () => {
    await server.kill();
    await delay(downMs);
    await server.restart();
  });
});

const freeze = onServers("redis-freeze", ["single"], "solid", async (world, chance, hit) => {
  const server = await aMaster(world, chance);
  const forMs = chance.pick([chance.int(100, 600), chance.int(1_000, 2_500)]);
  await hit(`Redis stopped for ${forMs} ms`, async () => {
    server.pause();
    await delay(forMs);
    server.resume();
  });
});

const forgetScripts = onServers("script-flush", everywhere, "solid", async ({ topology }, chance, hit) => {
  await hit("SCRIPT FLUSH, several times", async () => {
    for (let times = chance.int(2, 5); times > 0; times -= 1) {
      for (const server of await topology.masters()) await server.call("SCRIPT", "FLUSH");
      await delay(chance.int(20, 150));
    }
  });
});

const outOfMemory = onServers("out-of-memory", everywhere, "solid", async ({ topology }, chance, hit) => {
  const forMs = chance.int(200, 900);
  await hit(`Redis has no memory left for ${forMs} ms`, async () => {
    const masters = await topology.masters();
    for (const server of masters) await server.call("CONFIG", "SET", "maxmemory", "1");
    await delay(forMs);
    for (const server of masters) await server.call("CONFIG", "SET", "maxmemory", "0");
  });
});

/** How many slots change their master in one strike. */
const slotsMoved = 40;

/** One for a cluster, and nothing else. */
function onCluster(
  name: string,
  act: (cluster: RedisCluster, world: World, chance: SeededRandom, hit: Hit) => Promise<void>,
): Nemesis {
  return onServers(name, ["cluster"], "solid", async (world, chance, hit) => {
    const { cluster } = world.topology;
    if (cluster !== undefined) await act(cluster, world, chance, hit);
  });
}

const reshard = onCluster("reshard", async (cluster, _world, chance, hit) => {
  const masters = await cluster.masters();
  const [to] = chance.shuffle(masters);
  if (to === undefined) return;
  const slots = chance.shuffle(await slotsInUse(masters)).slice(0, slotsMoved);
  await hit(`${slots.length} slots with keys moved to the master on port ${to.port}`, async (strike) => {
    // On a busy machine a node may not answer in time: what has been moved stays, the rest is moved by the next try.
    await pollUntil(
      "the slots have been moved",
      async () => {
        strike.hit(await cluster.moveSlots(slots, to, { onStep: () => delay(2) }));
        return true;
      },
      { timeoutMs: 120_000, intervalMs: 200 },
    );
  });
});

/** Slots that hold keys now: empty ones move without anybody noticing. */
async function slotsInUse(masters: readonly RedisServer[]): Promise<number[]> {
  const slots = new Set<number>();
  for (const master of masters)
    for (const key of [await master.call("KEYS", "*")].flat()) slots.add(slotOfKey(String(key)));
  return [...slots];
}

const orderlyFailover = onCluster("cluster-handover", async (cluster, world, chance, hit) => {
  const master = await aMaster(world, chance);
  await hit(`the master on port ${master.port} hands over to its replica`, () => cluster.failover(master));
});

/** Faults of servers that keep what they acknowledged. */
export const redisNemeses: readonly Nemesis[] = [restart, freeze, forgetScripts, outOfMemory, reshard, orderlyFailover];
