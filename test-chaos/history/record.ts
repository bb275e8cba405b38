/** Owns what a checker gets: the whole history of one round, put together, and the conditions under which it was made. */
import type { ChaosEntry } from "./event.ts";
import { operationsOf } from "./operation.ts";
import type { Operation } from "./operation.ts";
import { windowsOf } from "./window.ts";
import type { FaultWindow } from "./window.ts";

/** How Redis is run. */
export type TopologyName = "single" | "sentinel" | "cluster";

/** What happened to the ground on which the primitives stand: each of them is outside some promise. */
export interface Conditions {
  readonly topology: TopologyName;
  /** Acknowledged writes may have been taken back: by a failover, a flush, an eviction. */
  readonly forgets: boolean;
  /** The clock of Redis was stepped. */
  readonly stepsClock: boolean;
  /** How soon after the healing everything has to be as it should be again, in milliseconds. */
  readonly healedWithinMs: number;
}

/** One round, over. */
export interface RoundRecord {
  readonly entries: readonly ChaosEntry[];
  readonly operations: readonly Operation[];
  readonly faults: readonly FaultWindow[];
  readonly conditions: Conditions;
  /** When the faults ended; Infinity when they never did. */
  readonly healedAtMs: number;
  /** From when on everything has to be as it should be again. */
  readonly calmAtMs: number;
  readonly finishedAtMs: number;
  /** What the resources say at the end, by scenario. */
  readonly findings: Readonly<Record<string, unknown>>;
}

/** Puts a round together. */
export function recordOf(
  entries: readonly ChaosEntry[],
  conditions: Conditions,
  findings: Readonly<Record<string, unknown>>,
): RoundRecord {
  const phaseAt = (phase: string): number =>
    entries.find((entry) => entry.kind === "phase" && entry.phase === phase)?.atMs ?? Number.POSITIVE_INFINITY;
  const calm = entries.findLast((entry) => entry.kind === "phase" && entry.phase === "calm");
  return {
    entries,
    operations: operationsOf(entries),
    faults: windowsOf(entries),
    conditions,
    healedAtMs: phaseAt("healed"),
    calmAtMs: calm?.atMs ?? phaseAt("healed") + conditions.healedWithinMs,
    finishedAtMs: phaseAt("finished"),
    findings,
  };
}
