/**
 * Writes that count as done when replicas have confirmed them: the script and WAIT go in one pipeline over one connection of its own,
 * since WAIT speaks of the writes of its connection only, and on a Cluster it must reach the node that took the write.
 */
import { isNoScript } from "./refusal.ts";
import { isCluster } from "./redis-like.ts";
import type { RedisLike, SingleRedisLike } from "./redis-like.ts";
import { slotOf } from "./slot.ts";
import type { WireCall } from "./wire.ts";

/** How many replicas must confirm a write, and how long to wait for them in milliseconds. */
export interface Durability {
  readonly replicas: number;
  readonly timeoutMs: number;
}

/** A reply and the number of replicas that had the write when it came. */
export interface DurableReply {
  readonly reply: unknown;
  readonly replicas: number;
}

/** The connections for durable writes of one client. */
export class DurableWire {
  readonly #redis: RedisLike;
  readonly #connections = new Map<string, SingleRedisLike>();

  constructor(redis: RedisLike) {
    this.#redis = redis;
  }

  /** Rejects with the client's error. A write that is confirmed too late answers the number of replicas that had it. */
  async send(call: WireCall, durability: Durability): Promise<DurableReply> {
    const connection = this.#connectionFor(call.keys[0] as string);
    const tail = [call.keys.length, ...call.keys, ...call.args];
    const run = async (program: string, text: string): Promise<[Error | null, unknown][]> =>
      (await connection
        .pipeline([
          [call.binary ? `${program}Buffer` : program, text, ...tail],
          ["wait", durability.replicas, durability.timeoutMs],
        ])
        .exec()) ?? [];
    let replies = await run("evalsha", call.source.sha1);
    if (isNoScript(replies[0]?.[0])) replies = await run("eval", call.source.source);
    for (const [error] of replies) if (error !== null) throw error;
    return { reply: replies[0]?.[1], replicas: Number(replies[1]?.[1]) };
  }

  /** Disconnects. */
  close(): void {
    for (const connection of this.#connections.values()) connection.disconnect();
    this.#connections.clear();
  }

  #connectionFor(key: string): SingleRedisLike {
    const redis = this.#redis;
    const owner = isCluster(redis) ? ownerOf(redis, key) : { name: "", client: redis };
    let connection = this.#connections.get(owner.name);
    if (connection === undefined) {
      connection = owner.client.duplicate();
      // Each failure reaches the caller through its command.
      connection.on("error", () => undefined);
      this.#connections.set(owner.name, connection);
    }
    return connection;
  }
}

function ownerOf(cluster: RedisLike & { isCluster: true }, key: string): { name: string; client: SingleRedisLike } {
  const { slots } = cluster as { slots?: readonly (readonly string[] | undefined)[] };
  const name = slots?.[slotOf(key)]?.[0];
  const client = cluster.nodes("master").find((node) => {
    const { host, port } = node.options as { host?: string; port?: number };
    return `${host}:${port}` === name;
  });
  if (name === undefined || client === undefined) throw new Error("Failed to refresh slots cache: no master is known for the key");
  return { name, client };
}
