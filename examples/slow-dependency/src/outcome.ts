/**
 * Owns what the replicas of one side have seen together.
 */
import type { ReplicaFigures } from "./replica-pod.ts";
import { together, type CallFigures } from "./tally.ts";

/** One side. */
export interface Outcome {
  /** Calls to the dependency that became slow. */
  readonly payments: CallFigures;
  /** Calls to the other one. */
  readonly profiles: CallFigures;
  readonly openings: number;
  /** What the operator was told, by any of the replicas. */
  readonly advice: string | null;
  /** The longest time for which one of the replicas did not run. */
  readonly stoodStillMs: number;
  /** The same for the dependencies that they called. */
  readonly dependenciesStoodStillMs: number;
}

/** Adds up what the replicas have seen. */
export function outcomeOf(replicas: readonly ReplicaFigures[], dependenciesStoodStillMs = 0): Outcome {
  return {
    payments: together(replicas.map(({ payments }) => payments)),
    profiles: together(replicas.map(({ profiles }) => profiles)),
    openings: replicas.reduce((sum, { openings }) => sum + openings, 0),
    advice: replicas.find(({ advice }) => advice !== null)?.advice ?? null,
    stoodStillMs: Math.max(0, ...replicas.map(({ stoodStillMs }) => stoodStillMs)),
    dependenciesStoodStillMs,
  };
}
