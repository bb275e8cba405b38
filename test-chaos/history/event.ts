/**
 * What is written down while a run goes on: by every pod in a file of its own, by the runner about its faults. Times are of the machine's
 * monotonic clock, so entries of all processes fall into one order.
 */
import type { HistoryEntry } from "@holdfast/testkit";

/** What an entry says besides who, what and when: flat, so that a person can read it in a line. */
export type Values = Readonly<Record<string, string | number | boolean | null>>;

/** How a call ended: it was carried out, it was not and never will be, or nobody knows yet. */
export type Outcome = "ok" | "refused" | "unknown";

/** A call begins. One without an answer was cut off by a kill, and counts as unknown. */
export interface Asked {
  readonly kind: "asked";
  readonly scenario: string;
  readonly call: string;
  readonly resource: string;
  /** The operation id: the same for a call and its repeats. */
  readonly operation: string;
  /** Tells this call from its repeats; unique in its process. */
  readonly turn: number;
  readonly values: Values;
}

/** A call has ended. */
export interface Answered {
  readonly kind: Outcome;
  readonly scenario: string;
  readonly turn: number;
  readonly values: Values;
}

/** Something else that a pod or a resource saw. */
export interface Noted {
  readonly kind: "noted";
  readonly scenario: string;
  readonly what: string;
  readonly resource: string;
  readonly values: Values;
}

/** An event loop stood still: a pause, a block, a collection or a busy machine, seen from inside. */
export interface Stood {
  readonly kind: "stood";
  readonly forMs: number;
  /** `redis`: not the process that says so, but a server, which did not answer it. */
  readonly who?: "redis";
}

/** A fault begins or ends. */
export interface FaultMark {
  readonly kind: "fault";
  readonly nemesis: string;
  /** The same at begin and end. */
  readonly strike: number;
  readonly phase: "begin" | "end";
  /** Names of the pods whose work it can hit. */
  readonly pods: readonly string[];
  /** What was done to whom, for people. */
  readonly what: string;
  /** How often the network says that it hit something; absent where only the history can tell. */
  readonly hits?: number;
}

/** The run goes on to its next part. */
export interface PhaseMark {
  readonly kind: "phase";
  /** `calm`: from here on all has to be as it should be; the last one counts. */
  readonly phase: "faults" | "healed" | "calm" | "finished";
}

/** Anything in a history. */
export type ChaosEvent = Asked | Answered | Noted | Stood | FaultMark | PhaseMark;

/** An event with its time and its process. */
export type ChaosEntry = HistoryEntry<ChaosEvent>;
