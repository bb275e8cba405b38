/** The Redis of the primitives: one server, a master with Sentinels, or a cluster, behind one face. */
import { ClockSkew, RedisCluster, RedisSentinel, RedisServer } from "@holdfast/testkit";
import type { TopologyName } from "../history/record.ts";
import type { Address, RedisPlan } from "./client.ts";

/** What all topologies can do. */
export interface Topology extends AsyncDisposable {
  readonly name: TopologyName;
  /** Every server that holds data. */
  readonly servers: readonly RedisServer[];
  /** The clock of all of them; undefined where this machine cannot step one. */
  readonly skew: ClockSkew | undefined;
  readonly sentinel?: RedisSentinel;
  readonly cluster?: RedisCluster;
  /** The servers that take writes now. */
  masters(): Promise<readonly RedisServer[]>;
  /** How a client reaches it, with each server's address replaced by another one. */
  plan(through: (server: RedisServer) => Address): RedisPlan;
  /** Resolves when every server is up and knows its part. */
  ready(): Promise<void>;
}

const readyTimeoutMs = 120_000;
/** What a kill of the process cannot lose: written to the operating system before the answer. */
const aof = "no";

/** A clock that can be stepped; undefined where this machine cannot. */
export async function startSkew(): Promise<ClockSkew | undefined> {
  return (await ClockSkew.available()) ? ClockSkew.create() : undefined;
}

function addressesOf(
  servers: readonly RedisServer[],
  through: (server: RedisServer) => Address,
): Record<string, Address> {
  return Object.fromEntries(servers.map((server) => [`${server.host}:${server.port}`, through(server)]));
}

async function startSingle(): Promise<Topology> {
  const skew = await startSkew();
  const server = await RedisServer.start({ aof, ...(skew === undefined ? {} : { env: skew.env }) });
  return {
    name: "single",
    servers: [server],
    skew,
    masters: () => Promise.resolve([server]),
    plan: (through) => ({ kind: "single", address: through(server) }),
    ready: async () => {
      await server.call("PING");
    },
    [Symbol.asyncDispose]: async () => {
      await server.stop();
      await skew?.remove();
    },
  };
}

async function startSentinel(): Promise<Topology> {
  const sentinel = await RedisSentinel.start({ aof, downAfterMs: 700, failoverTimeoutMs: 3_000 });
  const { servers } = sentinel;
  return {
    name: "sentinel",
    servers,
    skew: undefined,
    sentinel,
    masters: async () => [await sentinel.currentMaster()],
    plan: (through) => ({
      kind: "sentinel",
      sentinels: sentinel.sentinels,
      masterName: sentinel.masterName,
      addresses: addressesOf(servers, through),
    }),
    ready: () => sentinel.ready(readyTimeoutMs),
    [Symbol.asyncDispose]: () => sentinel.stop(),
  };
}

async function startCluster(): Promise<Topology> {
  const cluster = await RedisCluster.start({ aof, nodeTimeoutMs: 1_000 });
  const { nodes: servers } = cluster;
  return {
    name: "cluster",
    servers,
    skew: undefined,
    cluster,
    masters: () => cluster.masters(),
    plan: (through) => ({
      kind: "cluster",
      nodes: servers.map(through),
      addresses: addressesOf(servers, through),
    }),
    ready: () => cluster.ready(readyTimeoutMs),
    [Symbol.asyncDispose]: () => cluster.stop(),
  };
}

/** Starts the servers of a topology. */
export function startTopology(name: TopologyName): Promise<Topology> {
  return { single: startSingle, sentinel: startSentinel, cluster: startCluster }[name]();
}
