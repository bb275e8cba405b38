/** Owns what a run came to, in a form that programs read: one JSON file beside the page. */
import { addWitnesses, hasStruck } from "../checkers/witness.ts";
import type { Witness } from "../checkers/witness.ts";
import type { Verdict } from "../checkers/verdict.ts";
import type { RoundPlan, RoundResult } from "../world/round.ts";

/** One round, in short. */
export interface RoundSummary {
  readonly seed: string;
  readonly topology: string;
  readonly ground: string;
  /** The command that repeats it. */
  readonly repeat: string;
  readonly tookMs: number;
  readonly calls: { readonly ok: number; readonly refused: number; readonly unknown: number };
  readonly broken: readonly Verdict[];
  readonly rules: number;
  readonly witnesses: readonly Witness[];
}

/** A whole run. */
export interface RunSummary {
  readonly seed: string;
  readonly rounds: readonly RoundSummary[];
  readonly witnesses: readonly Witness[];
  /** Nemeses that hit no work in flight in the whole run. */
  readonly idle: readonly string[];
  readonly held: boolean;
}

/** The command that repeats a round. */
export function repeatCommand({ seed, topology, ground, modules, nemeses, pods, faultsMs }: RoundPlan): string {
  const own = modules.flatMap((url) => /\/test-chaos\/scenarios\/([\w-]+)\.ts$/.exec(url)?.[1] ?? []);
  const foreign = modules.filter((url) => !/\/test-chaos\/scenarios\//.test(url)).map((url) => new URL(url).pathname);
  return [
    `pnpm chaos --rounds 1 --seed ${seed} --topology ${topology} --ground ${ground}`,
    ...(own.length > 0 ? [`--only ${own.join(",")}`] : []),
    ...foreign.map((file) => `--scenario ${file}`),
    ...(nemeses.length > 0 ? [`--nemesis ${nemeses.join(",")}`] : []),
    `--pods ${pods} --faults-s ${faultsMs / 1_000}`,
  ].join(" ");
}

/** Sums up a round. */
export function summaryOf({ plan, record, verdicts, witnesses, tookMs }: RoundResult): RoundSummary {
  const count = (outcome: string): number => record.operations.filter((each) => each.outcome === outcome).length;
  return {
    seed: plan.seed,
    topology: plan.topology,
    ground: plan.ground,
    repeat: repeatCommand(plan),
    tookMs: Math.round(tookMs),
    calls: { ok: count("ok"), refused: count("refused"), unknown: count("unknown") },
    broken: verdicts.filter(({ held }) => !held),
    rules: verdicts.length,
    witnesses,
  };
}

/** Sums up a run. */
export function runSummaryOf(seed: string, rounds: readonly RoundSummary[]): RunSummary {
  const witnesses = addWitnesses(rounds.map((round) => round.witnesses));
  const idle = witnesses.filter((witness) => !hasStruck(witness)).map(({ nemesis }) => nemesis);
  const held = rounds.length > 0 && idle.length === 0 && rounds.every(({ broken }) => broken.length === 0);
  return { seed, rounds, witnesses, idle, held };
}
