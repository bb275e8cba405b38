/** Who holds a quorum lock, by what each node says. Changes nothing. */
import { QuorumUnreachableError } from "./errors.ts";
import type { QuorumKeys } from "./quorum-keys.ts";
import type { NodeState, QuorumNode } from "./quorum-node.ts";

/** Who holds a quorum lock. */
export interface QuorumState {
  readonly owner: string;
  readonly token: number;
  /** The shortest rest among the majority. */
  readonly remainingMs: number;
  readonly nodes: readonly { readonly node: string; readonly holder: string | null; readonly error?: unknown }[];
}

/**
 * Asks all nodes; null when no majority is held by one owner.
 * @throws QuorumUnreachableError when no majority answers
 */
export async function askState(nodes: readonly QuorumNode[], keys: QuorumKeys): Promise<QuorumState | null> {
  const answers = await Promise.allSettled(nodes.map((node) => node.inspect(keys)));
  const told = answers.map((answer, place) => {
    const node = nodes[place]?.name ?? "";
    return answer.status === "fulfilled"
      ? { node, holder: answer.value?.value ?? null }
      : { node, holder: null, error: answer.reason };
  });
  const majority = Math.floor(nodes.length / 2) + 1;
  const states = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
  if (states.length < majority) {
    const votes = told.map(({ node, error }) => ({
      node,
      vote: error === undefined ? ("unasked" as const) : ("timed-out" as const),
      error,
    }));
    throw new QuorumUnreachableError(keys.resource, votes);
  }
  const held = states.filter((state): state is NodeState => state !== null);
  const owner = held.find(({ value }) => held.filter((other) => other.value === value).length >= majority)?.value;
  if (owner === undefined) return null;
  const owned = held.filter(({ value }) => value === owner);
  return {
    owner,
    token: agreed(
      owned.map(({ token }) => token),
      majority,
    ),
    remainingMs: Math.max(0, Math.min(...owned.map(({ remainingMs }) => remainingMs))),
    nodes: told,
  };
}

/** The token that a majority remembers; a node outside of it may have proposed a higher one. */
function agreed(tokens: readonly number[], majority: number): number {
  const common = tokens.find((token) => tokens.filter((other) => other === token).length >= majority);
  return common ?? Math.max(...tokens);
}
