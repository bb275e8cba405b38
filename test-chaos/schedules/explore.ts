/** Draws schedules at random, plays them, and shrinks the first that breaks a rule to the shortest that still does. */
import fc from "fast-check";
import type { Cast } from "./cast.ts";
import { actorCount, play } from "./play.ts";
import type { Played, Theatre } from "./play.ts";
import { parseSchedule, printSchedule } from "./step.ts";
import type { Step } from "./step.ts";

/** What exploring came to. */
export interface Explored {
  readonly schedules: number;
  readonly calls: number;
  readonly struck: { lose: number; late: number; mute: number; twice: number };
  /** The shortest schedule found that breaks a rule, and what it breaks; undefined when none did. */
  readonly broken: { readonly schedule: string; readonly rules: readonly string[] } | undefined;
}

/** How to explore. */
export interface ExploreOptions {
  readonly runs: number;
  readonly seed: number;
  /** Longest schedule. */
  readonly stepsMax: number;
  /** For how long to look for a shorter schedule once one has broken a rule, in milliseconds; 0 does not look. */
  readonly shrinkMs: number;
}

function stepsOf(cast: Cast): fc.Arbitrary<Step> {
  const actor = fc.nat(actorCount - 1);
  const act = fc.record({
    kind: fc.constant("act" as const),
    actor,
    action: fc.constantFrom(...cast.actions),
    fate: fc.oneof(
      { withCrossShrink: true },
      { weight: 6, arbitrary: fc.constant("pass" as const) },
      { weight: 1, arbitrary: fc.constant("lose" as const) },
      { weight: 1, arbitrary: fc.constant("late" as const) },
      { weight: 1, arbitrary: fc.constant("mute" as const) },
      { weight: 1, arbitrary: fc.constant("twice" as const) },
    ),
  });
  return fc.oneof(
    { weight: 20, arbitrary: act },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant("advance" as const), ms: fc.constantFrom(50, 1_000, 4_000, 11_000) }),
    },
    { weight: 2, arbitrary: fc.constant({ kind: "deliver" as const }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constantFrom("freeze" as const, "thaw" as const, "crash" as const), actor }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant("next" as const),
        actor,
        fate: fc.constantFrom("lose" as const, "late" as const, "mute" as const, "twice" as const),
      }),
    },
    { weight: 1, arbitrary: fc.constant({ kind: "forget" as const }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("hush" as const, "full" as const, "room" as const) }) },
  );
}

/** Everything that the actors of a primitive can do. */
export function wordsOf({ actions, moreActions = [] }: Cast): string[] {
  return [...actions, ...moreActions];
}

/** The rules that a schedule broke, with the first thing that broke each. */
export function rulesOf({ broken }: Played): string[] {
  return broken.map(({ scenario, rule, violations }) => `${scenario}: ${rule}: ${violations[0] ?? ""}`);
}

/** Explores. Stops at the first schedule that breaks a rule. */
export async function explore(cast: Cast, theatre: Theatre, options: ExploreOptions): Promise<Explored> {
  const total = { schedules: 0, calls: 0, struck: { lose: 0, late: 0, mute: 0, twice: 0 } };
  let last: readonly string[] = [];
  let shrinksUntilMs = Number.POSITIVE_INFINITY;
  const broke = (rules: readonly string[]): void => {
    last = rules;
    shrinksUntilMs = Math.min(shrinksUntilMs, performance.now() + options.shrinkMs);
  };
  const property = fc.asyncProperty(
    fc.array(stepsOf(cast), { minLength: 1, maxLength: options.stepsMax, size: "max" }),
    async (steps) => {
      // Whatever is left to try is taken for harmless, so that the shortest so far is the answer.
      if (performance.now() > shrinksUntilMs) return true;
      const played = await play(cast, theatre, steps).catch((error: unknown) => {
        broke([`stage: ${String(error)}`]);
        throw error;
      });
      total.schedules += 1;
      total.calls += played.record.operations.length;
      for (const fate of ["lose", "late", "mute", "twice"] as const) total.struck[fate] += played.struck[fate];
      if (played.broken.length === 0) return true;
      broke(rulesOf(played));
      return false;
    },
  );
  const details = await fc.check(property, {
    seed: options.seed,
    examples: cast.pinned.map((words) => [parseSchedule(words, wordsOf(cast))] as [Step[]]),
    numRuns: options.runs,
    endOnFailure: options.shrinkMs === 0,
  });
  const [steps] = details.counterexample ?? [];
  if (!details.failed || steps === undefined) return { ...total, broken: undefined };
  return { ...total, broken: { schedule: printSchedule(steps), rules: last } };
}
