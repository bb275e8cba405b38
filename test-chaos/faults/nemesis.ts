/** What a nemesis is: one kind of fault, and where it may be let loose. */
import type { SeededRandom } from "@holdfast/testkit";
import type { TopologyName } from "../history/record.ts";
import type { World } from "../world/world.ts";

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
