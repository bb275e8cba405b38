/**
 * One node of a Redis Cluster. Owns how it is started, on a bus port of its own, and how it is asked about the others.
 */
import { ask } from "./ask.ts";
import { type ClusterNodeView, decodeClusterNodes } from "./cluster-view.ts";
import { freePort, releasePort } from "./loopback-port.ts";
import type { RedisConfig } from "./redis-config.ts";
import { RedisServer, type RedisServerOptions } from "./redis-server.ts";

/** How to start the nodes of a cluster. */
export interface ClusterNodeOptions extends Pick<RedisServerOptions, "aof" | "binary" | "env"> {
  /** After this many milliseconds without an answer a node counts as failing. Default 5 000. */
  readonly nodeTimeoutMs?: number;
  /** Further redis.conf directives for every node. */
  readonly config?: RedisConfig;
}

const busPortAttemptsMax = 5;
/** A longer stand-still of the whole machine would let healthy nodes take one another for dead. */
const nodeTimeoutDefaultMs = 5_000;

/** Starts a node that knows nobody yet. */
export async function startClusterNode(options: ClusterNodeOptions): Promise<RedisServer> {
  const { nodeTimeoutMs = nodeTimeoutDefaultMs, config = {}, ...server } = options;
  for (let attempt = 1; ; attempt += 1) {
    const busPort = await freePort();
    try {
      return await RedisServer.start({
        ...server,
        config: {
          "cluster-enabled": "yes",
          "cluster-port": busPort,
          "cluster-node-timeout": nodeTimeoutMs,
          // A replica stays with the master it was given, so that a test knows its cluster.
          "cluster-allow-replica-migration": "no",
          "repl-diskless-sync-delay": 0,
          "repl-ping-replica-period": 1,
          ...config,
        },
      });
    } catch (error) {
      releasePort(busPort);
      const taken = error instanceof Error && error.message.includes("in use");
      if (!taken || attempt === busPortAttemptsMax) throw error;
    }
  }
}

/** What a node believes about all of them. */
export async function viewOf(node: RedisServer): Promise<ClusterNodeView[]> {
  return decodeClusterNodes(await ask(node, "CLUSTER", "NODES"));
}

/** The port by which nodes reach it. */
export async function busPortOf(node: RedisServer): Promise<number> {
  return Number([await node.call("CONFIG", "GET", "cluster-port")].flat()[1]);
}
