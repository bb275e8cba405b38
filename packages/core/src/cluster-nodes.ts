/** Who serves what on a Cluster, as far as its client knows. */
import type { ClusterRedisLike, SingleRedisLike } from "./redis-like.ts";

/** The clients of the masters by `host:port`. */
export function masterNodes(cluster: ClusterRedisLike): Map<string, SingleRedisLike> {
  return new Map(
    cluster.nodes("master").map((node) => {
      const { host, port } = node.options as { host?: string; port?: number };
      return [`${host}:${port}`, node];
    }),
  );
}

/** `host:port` of the master that serves a slot. */
export function slotOwner(cluster: ClusterRedisLike, slot: number): string | undefined {
  const { slots } = cluster as { slots?: readonly (readonly string[] | undefined)[] };
  return slots?.[slot]?.[0];
}

/** Lets the client ask a node where the slots are. Resolves when it has, or could not. */
export function refreshSlots(cluster: ClusterRedisLike): Promise<void> {
  const { refreshSlotsCache } = cluster as { refreshSlotsCache?: (done: () => void) => void };
  return new Promise((resolve) => {
    if (refreshSlotsCache === undefined || cluster.status !== "ready") resolve();
    else refreshSlotsCache.call(cluster, () => resolve());
  });
}
