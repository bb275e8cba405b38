/** What takes acknowledged writes back: failovers, a flush, evictions. Outside any promise of a client; what must still hold is checked. */
import { setTimeout as delay } from "node:timers/promises";
import { checkServer } from "@holdfast/core";
import { pollUntil } from "@holdfast/testkit";
import type { RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import type { World } from "../world/world.ts";
import { everywhere, onServers } from "./nemesis.ts";
import type { Nemesis } from "./nemesis.ts";
import { aMaster } from "./redis.ts";

const failoverTimeoutMs = 120_000;

/** Waits until somebody else has the part of this server. */
async function replaced(world: World, old: RedisServer, slot: number | undefined): Promise<void> {
  const { sentinel, cluster } = world.topology;
  if (sentinel !== undefined) await sentinel.waitForFailover(old, failoverTimeoutMs);
  if (cluster !== undefined && slot !== undefined) await cluster.waitForNewMaster(slot, old, failoverTimeoutMs);
}

async function firstSlotOf(world: World, server: RedisServer): Promise<number | undefined> {
  if (world.topology.cluster === undefined) return undefined;
  const nodes = String(await server.call("CLUSTER", "NODES")).split("\n");
  const own = nodes.find((line) => line.includes("myself"));
  const slot = /(?:^| )(\d+)-\d+(?: |$)/.exec(own?.split(" ").slice(8).join(" ") ?? "")?.[1];
  return slot === undefined ? undefined : Number(slot);
}

/** The master is lost for so long that another one is elected, then comes back. */
function failover(
  name: string,
  words: string,
  lose: (master: RedisServer) => unknown,
  bringBack: (master: RedisServer) => unknown,
): Nemesis {
  return onServers(name, ["sentinel", "cluster"], "forgets", async (world, chance, hit) => {
    const master = await aMaster(world, chance);
    const slot = await firstSlotOf(world, master);
    await hit(`the master on port ${master.port} ${words}`, async () => {
      await lose(master);
      try {
        await replaced(world, master, slot);
      } finally {
        await bringBack(master);
      }
      await world.topology.ready();
    });
  });
}

const failoverByKill = failover(
  "failover-kill",
  "killed, another one elected",
  (master) => master.kill(),
  (master) => master.restart(),
);

const failoverByFreeze = failover(
  "failover-freeze",
  "stopped, another one elected, the old one comes back",
  (master) => master.pause(),
  (master) => master.resume(),
);

const flush = onServers("flush", everywhere, "forgets", async ({ topology }, chance, hit) => {
  await hit("FLUSHALL on every master", async () => {
    for (const server of await topology.masters()) await server.call("FLUSHALL");
    await delay(chance.int(10, 200));
  });
});

const evict = onServers("wrong-eviction-policy", ["single"], "forgets", async (world, chance, hit) => {
  const server = await aMaster(world, chance);
  const forMs = chance.int(300, 800);
  await hit(`allkeys-random with too little memory for ${forMs} ms`, async (strike) => {
    const before = await evicted(server);
    await server.call("CONFIG", "SET", "maxmemory-policy", "allkeys-random");
    await server.call("CONFIG", "SET", "maxmemory", "1mb");
    const client = new Redis(server.url);
    try {
      const { findings } = await checkServer(client);
      if (!findings.some(({ topic, severity }) => topic === "eviction" && severity === "danger"))
        throw new Error("checkServer does not see that keys are evicted");
      await pollUntil("something was evicted", async () => (await evicted(server)) > before, {
        timeoutMs: forMs,
      }).catch(() => undefined);
    } finally {
      client.disconnect();
      await server.call("CONFIG", "SET", "maxmemory", "0");
      await server.call("CONFIG", "SET", "maxmemory-policy", "noeviction");
    }
    strike.hit((await evicted(server)) - before);
  });
});

async function evicted(server: RedisServer): Promise<number> {
  return Number(/^evicted_keys:(\d+)/m.exec(String(await server.call("INFO", "stats")))?.[1] ?? 0);
}

/** Faults after which Redis knows less than it acknowledged. */
export const forgettingNemeses: readonly Nemesis[] = [failoverByKill, failoverByFreeze, flush, evict];
