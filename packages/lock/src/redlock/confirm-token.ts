/** The second phase of an acquire: brings a token to a majority of nodes, each of which has to have a clock past it. The rule is token-round.ts. */
import { isTransient, sleep } from "@holdfast/core";
import type { Clock } from "@holdfast/core";
import type { NodeVote } from "./errors.ts";
import type { QuorumKeys } from "./quorum-keys.ts";
import type { QuorumNode } from "./quorum-node.ts";
import type { TokenRound } from "./token-round.ts";

/** How it ended. */
export type ConfirmOutcome = "decided" | "refused" | "skewed";

/** What it works with. */
export interface ConfirmSettings {
  readonly round: TokenRound;
  readonly clock: Clock;
  readonly clockSkewMaxMs: number;
  /** Monotonic milliseconds. */
  readonly giveUpAtMs: number;
  /** Told what each node says, the last word counts. */
  readonly onVote: (place: number, vote: NodeVote) => void;
}

/** Resolves as soon as the outcome is clear; nodes that have not answered by then are not waited for. */
export async function confirmToken(
  nodes: readonly QuorumNode[],
  keys: QuorumKeys,
  value: string,
  settings: ConfirmSettings,
): Promise<ConfirmOutcome> {
  const { round, clock, giveUpAtMs } = settings;
  while (!round.decided) {
    const { token } = round;
    if (clock.monotonicMs() >= giveUpAtMs) return "refused";
    const outcome = await new Promise<ConfirmOutcome | "again">((resolve) => {
      const against = { all: 0, skewed: 0 };
      for (const [place, node] of nodes.entries()) {
        confirmAt(node, place, keys, value, token, settings).then(
          (vote) => {
            if (round.token !== token) resolve("again");
            else if (round.decided) resolve("decided");
            if (vote === "granted") return;
            against.all += 1;
            if (vote === "skewed") against.skewed += 1;
            if (against.all > nodes.length / 2) resolve(against.skewed > 0 ? "skewed" : "refused");
          },
          () => undefined,
        );
      }
    });
    if (outcome === "refused" || outcome === "skewed") return outcome;
  }
  return "decided";
}

/** Never rejects: what goes wrong is the node's vote. */
async function confirmAt(
  node: QuorumNode,
  place: number,
  keys: QuorumKeys,
  value: string,
  token: number,
  { round, clock, clockSkewMaxMs, giveUpAtMs, onVote }: ConfirmSettings,
): Promise<NodeVote["vote"]> {
  const say = (vote: NodeVote["vote"], more: Partial<NodeVote> = {}): NodeVote["vote"] => {
    if (!round.decided) onVote(place, { node: node.name, vote, ...more });
    return vote;
  };
  try {
    for (;;) {
      const reply = await node.confirm(keys, value, token);
      if (reply.kind === "lost") return say("lost");
      if (reply.kind === "higher") {
        round.see(reply.token);
        return say("granted");
      }
      const behindMs = round.confirm(place, token, reply.nowUs) / 1_000;
      if (behindMs === 0) {
        onVote(place, { node: node.name, vote: "granted" });
        return "granted";
      }
      if (behindMs > clockSkewMaxMs) return say("skewed", { behindMs });
      if (round.token !== token || clock.monotonicMs() + behindMs >= giveUpAtMs) return say("lost");
      await sleep(clock, behindMs);
    }
  } catch (error) {
    return say(isTransient(error) ? "timed-out" : "failed", { error });
  }
}
