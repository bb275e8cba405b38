/** A Cluster and a group under Sentinel, as far as a job notices them: its clients, and masters that die. */
import { slotOf } from "@holdfast/core";
import { RedisCluster, RedisSentinel } from "@holdfast/testkit";
import { Cluster, Redis } from "ioredis";

/** Servers whose masters are replaced. */
export interface Topology {
  /** A client, closed with the servers. */
  client(): Redis | Cluster;
  /**
   * Kills the master of a job's record, then that of its timer, if it is another one by then; each comes back as a replica.
   * @param meanwhile runs when the first is dead
   */
  failOver(name: string, job: string, meanwhile?: () => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

/** Ready ones, by name. */
export const topologies: readonly (readonly [string, () => Promise<Topology>])[] = [
  ["a Cluster", startCluster],
  ["Sentinel", startSentinel],
];

const nothing = (): Promise<void> => Promise.resolve();

async function startCluster(): Promise<Topology> {
  const cluster = await RedisCluster.start();
  const clients: Cluster[] = [];
  return {
    client: () => {
      const client = new Cluster(cluster.nodes.map(({ host, port }) => ({ host, port })));
      client.on("error", () => undefined);
      clients.push(client);
      return client;
    },
    failOver: async (name, job, meanwhile = nothing) => {
      const slots = [slotOf(`{scheduler:${name}/${job}}`), slotOf(`{timer:scheduler/${name}/${job}}`)];
      const doomed = await Promise.all(slots.map((slot) => cluster.masterOf(slot)));
      for (const [index, slot] of slots.entries()) {
        const master = doomed[index] as (typeof doomed)[number];
        if (index > 0 && master === doomed[0]) continue;
        await master.kill();
        if (index === 0) await meanwhile();
        await cluster.waitForNewMaster(slot, master);
        // The new master needs a replica, or nothing counts as done.
        await master.restart();
        await cluster.ready();
      }
    },
    close: async () => {
      for (const client of clients) client.disconnect();
      await cluster.stop();
    },
  };
}

async function startSentinel(): Promise<Topology> {
  const sentinel = await RedisSentinel.start();
  const clients: Redis[] = [];
  return {
    client: () => {
      const client = new Redis(sentinel.clientOptions);
      client.on("error", () => undefined);
      clients.push(client);
      return client;
    },
    failOver: async (_name, _job, meanwhile = nothing) => {
      const master = await sentinel.currentMaster();
      await master.kill();
      await meanwhile();
      await sentinel.waitForFailover(master);
      await master.restart();
      await sentinel.ready();
    },
    close: async () => {
      for (const client of clients) client.disconnect();
      await sentinel.stop();
    },
  };
}
