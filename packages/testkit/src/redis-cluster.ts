/**
 * A real Redis Cluster on loopback ports. Owns how it is formed and who is master of what; cluster-node.ts owns how a node starts,
 * slot-move.ts resharding.
 */
import { busPortOf, type ClusterNodeOptions, startClusterNode, viewOf } from "./cluster-node.ts";
import { slotCount, slotOfKey } from "./cluster-slot.ts";
import { type ClusterNodeView, isHealthy, ownsSlot } from "./cluster-view.ts";
import { pollUntil } from "./poll.ts";
import { RedisProbe } from "./redis-probe.ts";
import type { RedisServer } from "./redis-server.ts";
import { type MoveOptions, type MoveParty, moveSlot } from "./slot-move.ts";

/** How to form a cluster. */
export interface RedisClusterOptions extends ClusterNodeOptions {
  /** Default 3, the fewest that can elect a new master. */
  readonly masters?: number;
  /** Default 1. */
  readonly replicasPerMaster?: number;
}

const formTimeoutMs = 30_000;
/** Detection, and a second election when the first one found too few who heard of it in time. */
const failoverMs = 60_000;
/** A replica that cannot take over within this time forgets that it was asked. */
const manualFailoverMs = 5_000;

/** Masters and replicas, formed and ready. Kill, pause and restart its nodes one by one. */
export class RedisCluster implements AsyncDisposable {
  /** Every node, the first masters first. Roles change with failovers: see {@link masterOf} and {@link masters}. */
  readonly nodes: readonly RedisServer[];
  readonly #ids: ReadonlyMap<RedisServer, string>;

  private constructor(nodes: readonly RedisServer[], ids: ReadonlyMap<RedisServer, string>) {
    this.nodes = nodes;
    this.#ids = ids;
  }

  /**
   * Starts the nodes and forms the cluster. Takes about 2.1 s: a new master waits 2 s before it accepts writes.
   *
   * @throws Error when a node does not start, or the cluster is not complete after 30 s.
   */
  static async start(options: RedisClusterOptions = {}): Promise<RedisCluster> {
    const { masters = 3, replicasPerMaster = 1, ...nodeOptions } = options;
    const count = masters * (1 + replicasPerMaster);
    const starts = await Promise.allSettled(Array.from({ length: count }, () => startClusterNode(nodeOptions)));
    const nodes = starts.flatMap((start) => (start.status === "fulfilled" ? [start.value] : []));
    try {
      for (const start of starts) if (start.status === "rejected") throw start.reason;
      const ids = new Map<RedisServer, string>();
      for (const node of nodes) ids.set(node, String(await node.call("CLUSTER", "MYID")));
      const cluster = new RedisCluster(nodes, ids);
      await cluster.#form(masters);
      return cluster;
    } catch (error) {
      await Promise.all(nodes.map((node) => node.stop()));
      throw error;
    }
  }

  /** Addresses for a client: `new Redis.Cluster(cluster.addresses)`. */
  get addresses(): { host: string; port: number }[] {
    return this.nodes.map(({ host, port }) => ({ host, port }));
  }

  /** The id by which the cluster knows the node. */
  idOf(node: RedisServer): string {
    const id = this.#ids.get(node);
    if (id === undefined) throw new Error(`The server on port ${node.port} is not a node of this cluster.`);
    return id;
  }

  /** The master that owns a slot, or the slot of a key, by the newest claim among the nodes that answer. */
  async masterOf(slotOrKey: number | string): Promise<RedisServer> {
    const slot = typeof slotOrKey === "number" ? slotOrKey : slotOfKey(slotOrKey);
    const owners = (await this.#selfViews()).filter(({ self }) => ownsSlot(self, slot));
    const [newest] = owners.toSorted((a, b) => b.self.configEpoch - a.self.configEpoch);
    if (newest === undefined) throw new Error(`No running node owns slot ${slot} at this moment.`);
    return newest.node;
  }

  /** The nodes that own slots now and answer. */
  async masters(): Promise<RedisServer[]> {
    return (await this.#selfViews()).filter(({ self }) => self.slots.length > 0).map(({ node }) => node);
  }

  /** The running replicas of a master. */
  async replicasOf(master: RedisServer): Promise<RedisServer[]> {
    const id = this.idOf(master);
    return (await this.#selfViews()).filter(({ self }) => self.masterId === id).map(({ node }) => node);
  }

  /**
   * Waits until a slot, or the slot of a key, has another master, as after the old one was killed or paused.
   *
   * @returns the new master.
   */
  waitForNewMaster(slotOrKey: number | string, old: RedisServer, timeoutMs: number = failoverMs): Promise<RedisServer> {
    return pollUntil(
      `another node than ${old.port} is master of ${slotOrKey}`,
      async () => {
        const master = await this.masterOf(slotOrKey);
        return master === old ? undefined : master;
      },
      { timeoutMs, intervalMs: 20 },
    );
  }

  /**
   * Makes a replica the master, without a fault: the old master stops writes until the replica has them all. Given a master, one of
   * its replicas takes over.
   *
   * @returns the new master, once every running node knows it.
   */
  async failover(node: RedisServer): Promise<RedisServer> {
    const replica = (await this.replicasOf(node))[0] ?? node;
    const id = this.idOf(replica);
    let askAgainMs = 0;
    await pollUntil(`every node knows ${replica.port} as a master`, async () => {
      if (performance.now() >= askAgainMs && String(await replica.call("ROLE")).startsWith("slave")) {
        await replica.call("CLUSTER", "FAILOVER");
        askAgainMs = performance.now() + manualFailoverMs + 1_000;
      }
      const views = await Promise.all(this.nodes.filter((peer) => peer.isRunning).map(viewOf));
      return views.every((view) => view.some((peer) => peer.id === id && peer.slots.length > 0));
    });
    return replica;
  }

  /**
   * Moves one slot with all its keys to another master while clients go on: SETSLOT, MIGRATE, SETSLOT, as redis-cli does it.
   *
   * @returns how many keys were moved.
   */
  moveSlot(slot: number, to: RedisServer, options: MoveOptions = {}): Promise<number> {
    return this.moveSlots([slot], to, options);
  }

  /** Moves many slots one after the other, like {@link moveSlot}. */
  async moveSlots(slots: readonly number[], to: RedisServer, options: MoveOptions = {}): Promise<number> {
    const parties = new Map<RedisServer, MoveParty>();
    const party = async (server: RedisServer): Promise<MoveParty> => {
      const known = parties.get(server);
      if (known !== undefined) return known;
      const opened = {
        id: this.idOf(server),
        address: server.address,
        probe: await RedisProbe.open(server.address, 30_000),
      };
      parties.set(server, opened);
      return opened;
    };
    try {
      let keys = 0;
      for (const master of await this.masters()) await party(master);
      for (const [index, slot] of slots.entries()) {
        const from = await this.masterOf(slot);
        if (from === to) continue;
        const all = [...parties.values()];
        keys += await moveSlot(slot, await party(from), await party(to), all, {
          ...options,
          onStep: (step) => options.onStep?.({ ...step, slotsDone: index + (step.kind === "moved" ? 1 : 0) }),
        });
      }
      return keys;
    } finally {
      for (const { probe } of parties.values()) probe.close();
    }
  }

  /** Waits until every running node sees all slots served and every replica is linked to its master. */
  async ready(timeoutMs: number = formTimeoutMs): Promise<void> {
    await pollUntil("the cluster is complete", () => this.#isComplete(), { timeoutMs, intervalMs: 20 });
  }

  /** Ends every node. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #form(masters: number): Promise<void> {
    const [first, ...others] = this.nodes;
    for (const [index, node] of this.nodes.entries()) {
      await node.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1);
      if (index >= masters) continue;
      const from = Math.floor((index * slotCount) / masters);
      await node.call("CLUSTER", "ADDSLOTSRANGE", from, Math.floor(((index + 1) * slotCount) / masters) - 1);
    }
    if (first !== undefined) await this.#introduce(first, others);
    await Promise.all(
      this.nodes.slice(masters).map((replica, index) => {
        const master = this.nodes[index % masters] ?? replica;
        // Refused until gossip has brought the master's name.
        return pollUntil(
          `${replica.port} replicates ${master.port}`,
          () => replica.call("CLUSTER", "REPLICATE", this.idOf(master)),
          { timeoutMs: formTimeoutMs, intervalMs: 20 },
        );
      }),
    );
    await this.ready();
  }

  /** A handshake that takes longer than the node time-out is forgotten, so strangers are introduced again. */
  async #introduce(first: RedisServer, others: readonly RedisServer[]): Promise<void> {
    const busPorts = new Map<RedisServer, number>();
    for (const node of others) busPorts.set(node, await busPortOf(node));
    await pollUntil(
      `${first.port} has met every node`,
      async () => {
        const view = await viewOf(first);
        const seenOf = (node: RedisServer) => view.find((seen) => seen.port === node.port);
        for (const node of others) {
          if (seenOf(node) === undefined)
            await first.call("CLUSTER", "MEET", node.host, node.port, busPorts.get(node) ?? 0);
        }
        return others.every((node) => seenOf(node)?.flags.includes("handshake") === false);
      },
      { timeoutMs: formTimeoutMs, intervalMs: 20 },
    );
  }

  async #isComplete(): Promise<boolean> {
    const running = this.nodes.filter((node) => node.isRunning);
    const answers = await Promise.all(
      running.map(async (node) => {
        const info = String(await node.call("CLUSTER", "INFO"));
        const replication = String(await node.call("INFO", "replication"));
        const view = await viewOf(node);
        return (
          info.includes("cluster_state:ok") &&
          info.includes(`cluster_slots_ok:${slotCount}`) &&
          view.length === this.nodes.length &&
          running.every((peer) => view.some((seen) => seen.port === peer.port && isHealthy(seen))) &&
          (replication.includes("role:master") || replication.includes("master_link_status:up"))
        );
      }),
    );
    return answers.every(Boolean);
  }

  /** What each node that answers says about itself. */
  async #selfViews(): Promise<{ node: RedisServer; self: ClusterNodeView }[]> {
    const views = await Promise.all(
      this.nodes.map(async (node) => {
        const view = node.isRunning ? await viewOf(node).catch(() => []) : [];
        const self = view.find((peer) => peer.flags.includes("myself"));
        return self === undefined ? [] : [{ node, self }];
      }),
    );
    return views.flat();
  }
}
