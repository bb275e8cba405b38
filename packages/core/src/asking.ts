/**
 * ioredis (5 and 6) sends ASKING ahead of a command that was redirected while its slot moves, and nobody listens to the answer. When the
 * connection is lost before it comes, that rejection is unhandled, which ends a Node process. The command itself fails as any other does.
 */
import type { ClusterRedisLike } from "./redis-like.ts";

/** A node of a Cluster client: ioredis gives each command a method. */
interface AskingNode {
  asking?: (...args: unknown[]) => unknown;
}

/** Listens to each ASKING of a client, on the nodes it has and on those to come. Whoever sends one himself still hears what became of it. */
export function hearAsking(cluster: ClusterRedisLike): void {
  const hear = (node: AskingNode): void => {
    const { asking } = node;
    if (asking === undefined) return;
    node.asking = (...args) => {
      const answer = asking.apply(node, args);
      if (answer instanceof Promise) answer.catch(() => undefined);
      return answer;
    };
  };
  for (const node of cluster.nodes("all")) hear(node as AskingNode);
  cluster.on("+node", (node) => hear(node as AskingNode));
}
