/** Owns which faults go together in one round: those that leave the ground solid always, and one of the two kinds that do not. */
import { ClockSkew } from "@holdfast/testkit";
import type { SeededRandom } from "@holdfast/testkit";
import type { TopologyName } from "../history/record.ts";
import { clockNemeses } from "./clock.ts";
import { forgettingNemeses } from "./forgetting.ts";
import type { Ground, Nemesis } from "./nemesis.ts";
import { networkNemeses } from "./network.ts";
import { podNemeses } from "./pods.ts";
import { redisNemeses } from "./redis.ts";

/** Every nemesis. */
export const nemeses: readonly Nemesis[] = [
  ...podNemeses,
  ...networkNemeses,
  ...redisNemeses,
  ...forgettingNemeses,
  ...clockNemeses,
];

/** What a deck needs of this machine. */
export async function canStepClocks(): Promise<boolean> {
  return ClockSkew.available();
}

/**
 * The nemeses of one round.
 * @param ground `solid`: nothing else. Otherwise with those that make the ground so
 * @param names only these; all when empty
 */
export function deckOf(
  topology: TopologyName,
  ground: Ground,
  names: readonly string[],
  stepsClocks: boolean,
): readonly Nemesis[] {
  return nemeses.filter((nemesis) => {
    if (!nemesis.topologies.includes(topology)) return false;
    if (nemesis.ground !== "solid" && nemesis.ground !== ground) return false;
    if (!stepsClocks && clockNemeses.includes(nemesis)) return false;
    return names.length === 0 || names.includes(nemesis.name);
  });
}

/** Deals a lane's nemeses again and again, each time in another order, so that every one of them comes. */
export function* dealt(deck: readonly Nemesis[], lane: Nemesis["lane"], chance: SeededRandom): Generator<Nemesis> {
  const cards = deck.filter((nemesis) => nemesis.lane === lane);
  while (cards.length > 0) yield* chance.shuffle(cards);
}
