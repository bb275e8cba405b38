/** Everything that faults can be done to, and the history into which they are written. */
import type { History, RedisServer, SeededRandom } from "@holdfast/testkit";
import type { ChaosEvent } from "../history/event.ts";
import type { Place } from "./fleet.ts";
import type { Topology } from "./topology.ts";

/** What a strike reports while it lasts. */
export interface Strike {
  /** Adds to how often the network says that it hit something. */
  hit(times: number): void;
}

/** The stage of one round. */
export class World {
  readonly topology: Topology;
  readonly places: readonly Place[];
  readonly ledger: RedisServer;
  readonly history: History<ChaosEvent>;
  private strikes = 0;

  constructor(topology: Topology, places: readonly Place[], ledger: RedisServer, history: History<ChaosEvent>) {
    this.topology = topology;
    this.places = places;
    this.ledger = ledger;
    this.history = history;
  }

  /** A pod at random. */
  place(chance: SeededRandom): Place {
    return chance.pick(this.places);
  }

  /**
   * Does something bad and writes down from when to when.
   * @param pods the pods whose work it can hit; all when left out
   */
  async strike(
    nemesis: string,
    what: string,
    fault: (strike: Strike) => Promise<unknown>,
    pods: readonly Place[] = this.places,
  ): Promise<void> {
    this.strikes += 1;
    const strike = this.strikes;
    const mark = { kind: "fault" as const, nemesis, strike, pods: pods.map(({ name }) => name), what };
    this.history.record({ ...mark, phase: "begin" });
    let hits: number | undefined;
    try {
      await fault({ hit: (times) => (hits = (hits ?? 0) + times) });
    } finally {
      this.history.record({ ...mark, phase: "end", ...(hits === undefined ? {} : { hits }) });
    }
  }
}
