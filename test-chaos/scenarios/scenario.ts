/**
 * What a scenario is: work that pods do while everything around them fails, and the rules that its history has to keep.
 *
 * One module, one scenario, exported as `scenario`: the runner loads it to prepare, settle and check, and every pod loads it to work.
 */
import type { SeededRandom } from "@holdfast/testkit";
import type { Redis, Cluster } from "ioredis";
import type { Verdict } from "../checkers/verdict.ts";
import type { ChaosEntry, Values } from "../history/event.ts";
import type { Conditions, RoundRecord, TopologyName } from "../history/record.ts";
import type { Workplace } from "./workplace.ts";

/** Work and rules of one primitive, or of a handler of yours. */
export interface Scenario {
  /** What `--only` takes; one word. */
  readonly name: string;
  /** Where it can be played; everywhere when left out. */
  readonly topologies?: readonly TopologyName[];
  /**
   * In the runner, before any pod starts.
   * @returns what pods find in `place.given`, such as the address of a server
   */
  prepare?(bench: Bench): Promise<Values | void>;
  /**
   * In every pod: works until `place.quiet` aborts, goes on serving what has begun until `place.stopping` aborts, then ends. It can be
   * killed at any moment.
   */
  work(place: Workplace): Promise<void>;
  /** In the runner, when the faults are over and the pods ask nothing new, but still serve: waits until everything is at rest. */
  settle?(bench: Bench): Promise<void>;
  /**
   * In the runner, when every pod has ended.
   * @returns what the resources say, for `check`
   */
  inspect?(bench: Bench): Promise<unknown>;
  /** The rules, over the whole history of a round. */
  check(round: RoundRecord): readonly Verdict[];
}

/** What a scenario has in the runner: connections that no fault touches. */
export interface Bench {
  /** The Redis of the primitives. */
  readonly redis: Redis | Cluster;
  /** A Redis of its own for the resources that are protected: it is never killed, paused or flushed. */
  readonly ledger: Redis;
  /** First part of every key of this round. */
  readonly prefix: string;
  readonly random: SeededRandom;
  readonly conditions: Conditions;
  /** What `prepare` returned. */
  readonly given: Values;
  /** Keeps something until the round is over, such as a server. */
  readonly own: (resource: AsyncDisposable) => void;
  /** The history so far. */
  readonly entries: () => Promise<readonly ChaosEntry[]>;
  /** Writes something into the history. */
  readonly note: (what: string, resource: string, values?: Values) => void;
}

/** A module with a scenario. */
export interface ScenarioModule {
  readonly scenario: Scenario;
}
