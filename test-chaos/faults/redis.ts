/** What happens to the servers, with nothing acknowledged being lost: killed and restarted, frozen, full, emptied of scripts, resharded. */
import { setTimeout as delay } from "node:timers/promises";
import { pollUntil } from "@holdfast/testkit";
import type { RedisServer, SeededRandom } from "@holdfast/testkit";
import type { World } from "../world/world.ts";
import { everywhere } from "./nemesis.ts";
import type { Nemesis } from "./nemesis.ts";

/** A master at random; waits while there is none. */
export async function aMaster(world: World, chance: SeededRandom): Promise<RedisServer> {
  const pick = async (): Promise<RedisServer | false> => {
    const masters = await world.topology.masters();
    return masters.length > 0 && chance.pick(masters);
  };
  return pollUntil("there is a master", pick, { timeoutMs: 60_000 });
}

const restart: Nemesis = {
  name: "redis-restart",
  lane: "redis",
  topologies: ["single"],
  ground: "solid",
  async strike(world, chance) {
    const server = await aMaster(world, chance);
    const downMs = chance.int(50, 900);
    await world.strike("redis-restart", `Redis killed, and started again after ${downMs} ms`, async () => {
      await server.kill();
      await delay(downMs);
      await server.restart();
    });
  },
};

const freeze: Nemesis = {
  name: "redis-freeze",
  lane: "redis",
  topologies: ["single"],
  ground: "solid",
  async strike(world, chance) {
    const server = await aMaster(world, chance);
    const forMs = chance.pick([chance.int(100, 600), chance.int(1_000, 2_500)]);
    await world.strike("redis-freeze", `Redis stopped for ${forMs} ms`, async () => {
      server.pause();
      await delay(forMs);
      server.resume();
    });
  },
};

const forgetScripts: Nemesis = {
  name: "script-flush",
  lane: "redis",
  topologies: everywhere,
  ground: "solid",
  async strike(world, chance) {
    await world.strike("script-flush", "SCRIPT FLUSH, several times", async () => {
      for (let times = chance.int(2, 5); times > 0; times -= 1) {
        for (const server of await world.topology.masters()) await server.call("SCRIPT", "FLUSH");
        await delay(chance.int(20, 150));
      }
    });
  },
};

const outOfMemory: Nemesis = {
  name: "out-of-memory",
  lane: "redis",
  topologies: everywhere,
  ground: "solid",
  async strike(world, chance) {
    const forMs = chance.int(200, 900);
    await world.strike("out-of-memory", `Redis has no memory left for ${forMs} ms`, async () => {
      const masters = await world.topology.masters();
      for (const server of masters) await server.call("CONFIG", "SET", "maxmemory", "1");
      await delay(forMs);
      for (const server of masters) await server.call("CONFIG", "SET", "maxmemory", "0");
    });
  },
};

/** How many slots change their master in one strike. */
const slotsMoved = 40;

const reshard: Nemesis = {
  name: "reshard",
  lane: "redis",
  topologies: ["cluster"],
  ground: "solid",
  async strike(world, chance) {
    const { cluster } = world.topology;
    if (cluster === undefined) return;
    const [to] = chance.shuffle(await cluster.masters());
    if (to === undefined) return;
    const keys = await slotsInUse(await cluster.masters());
    const slots = chance.shuffle(keys).slice(0, slotsMoved);
    await world.strike(
      "reshard",
      `${slots.length} slots with keys moved to the master on port ${to.port}`,
      async (strike) => {
        // On a busy machine a node may not answer in time: what has been moved stays, the rest is moved by the next try.
        await pollUntil(
          "the slots have been moved",
          async () => {
            strike.hit(await cluster.moveSlots(slots, to, { onStep: () => delay(2) }));
            return true;
          },
          { timeoutMs: 120_000, intervalMs: 200 },
        );
      },
    );
  },
};

/** Slots that hold keys now: empty ones move without anybody noticing. */
async function slotsInUse(masters: readonly RedisServer[]): Promise<number[]> {
  const slots = new Set<number>();
  for (const master of masters) {
    const keys = [await master.call("KEYS", "*")].flat();
    for (const key of keys) slots.add(Number(await master.call("CLUSTER", "KEYSLOT", String(key))));
  }
  return [...slots];
}

const orderlyFailover: Nemesis = {
  name: "cluster-handover",
  lane: "redis",
  topologies: ["cluster"],
  ground: "solid",
  async strike(world, chance) {
    const { cluster } = world.topology;
    if (cluster === undefined) return;
    const master = await aMaster(world, chance);
    await world.strike("cluster-handover", `the master on port ${master.port} hands over to its replica`, async () => {
      await cluster.failover(master);
    });
  },
};

/** Faults of servers that keep what they acknowledged. */
export const redisNemeses: readonly Nemesis[] = [restart, freeze, forgetScripts, outOfMemory, reshard, orderlyFailover];
