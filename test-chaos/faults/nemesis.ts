/** What a nemesis is: one kind of fault, and where it may be let loose. */
import type { SeededRandom } from "@holdfast/testkit";
import type { TopologyName } from "../history/record.ts";
import type { Place } from "../world/fleet.ts";
import type { Strike, World } from "../world/world.ts";

/** What a fault does to the ground that guarantees stand on. */
export type Ground = "solid" | "forgets" | "steps-clock";

/** One kind of fault. */
export interface Nemesis {
  /** What `--nemesis` takes. */
  readonly name: string;
  /** Pods and their networks, or the servers: one of each may happen at a time. */
  readonly lane: "pods" | "redis";
  readonly topologies: readonly TopologyName[];
  readonly ground: Ground;
  /** Does it once, from its beginning to its end. */
  strike(world: World, chance: SeededRandom): Promise<void>;
}

/** Every topology. */
export const everywhere: readonly TopologyName[] = ["single", "sentinel", "cluster"];

/**
 * Does something bad, under the name of its nemesis.
 * @param what in words, for the report
 * @param pods the pods whose work it can hit; all when left out
 */
export type Hit = (what: string, fault: (strike: Strike) => Promise<unknown>, pods?: readonly Place[]) => Promise<void>;

/** Aims, and then hits once; or not at all where there is nothing to hit. */
export type Act = (world: World, chance: SeededRandom, hit: Hit) => Promise<void>;

function nemesis(where: Omit<Nemesis, "strike">, act: Act): Nemesis {
  const strike: Nemesis["strike"] = async (world, chance) => {
    await act(world, chance, (what, fault, pods) => world.strike(where.name, what, fault, pods));
  };
  return { ...where, strike };
}

/** One that befalls pods, wherever Redis runs, and takes nothing back. */
export function onPods(name: string, act: Act): Nemesis {
  return nemesis({ name, lane: "pods", topologies: everywhere, ground: "solid" }, act);
}

/** The same for one of them, or its network. */
export function onPod(name: string, act: (place: Place, chance: SeededRandom, hit: Hit) => Promise<void>): Nemesis {
  return onPods(name, async (world, chance, hit) => {
    const place = world.place(chance);
    await act(place, chance, (what, fault) => hit(what, fault, [place]));
  });
}

/** One that befalls the servers. */
export function onServers(name: string, topologies: readonly TopologyName[], ground: Ground, act: Act): Nemesis {
  return nemesis({ name, lane: "redis", topologies, ground }, act);
}
