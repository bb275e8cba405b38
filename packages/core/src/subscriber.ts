/**
 * Where hints of a channel are heard, and the connections for it: one beside the caller's client, or on a Cluster one to each master that
 * serves a channel. A subscriber connects again by itself, whatever the caller's client is told to do.
 */
import { masterNodes, slotOwner } from "./cluster-nodes.ts";
import { isCluster } from "./redis-like.ts";
import type { RedisLike, SingleRedisLike } from "./redis-like.ts";
import { slotOf } from "./slot.ts";

/** A connection that listens. */
export interface Subscriber {
  /** `host:port` of the master on a Cluster, otherwise "". */
  readonly place: string;
  readonly client: SingleRedisLike;
  /** What it was asked for. */
  readonly channels: Set<string>;
}

/** The pause before a subscriber connects again, after so many failures in a row. */
const reconnectMs = (failures: number): number => Math.min(failures * 100, 2_000);

/** Where a channel is heard; undefined while the client of a Cluster does not know. */
export function placeOf(redis: RedisLike, channel: string): string | undefined {
  return isCluster(redis) ? slotOwner(redis, slotOf(channel)) : "";
}

/** A new subscriber, or undefined when the client has no such node any more. */
export function subscriberAt(redis: RedisLike, place: string): Subscriber | undefined {
  const beside = isCluster(redis) ? masterNodes(redis).get(place) : redis;
  if (beside === undefined) return undefined;
  const client = beside.duplicate({
    commandTimeout: undefined,
    socketTimeout: undefined,
    enableOfflineQueue: true,
    enableAutoPipelining: false,
    maxRetriesPerRequest: null,
    autoResubscribe: false,
    lazyConnect: false,
    retryStrategy: reconnectMs,
  });
  return { place, client, channels: new Set() };
}
