/** What a history of scopes has to keep. */
import { notesOf } from "../history/operation.ts";
import type { RoundRecord } from "../history/record.ts";
import { StandStill } from "../history/stand-still.ts";
import { enough, Rule } from "./verdict.ts";
import type { Verdict } from "./verdict.ts";

const scenario = "scope";
/** How late a loop that runs may be: the machine is shared. */
const lateMaxMs = 300;
const outcomes = ["success", "failed", "timedOut", "cancelled", "zombies"] as const;

/** Checks the scopes of a round. */
export function checkScope(round: RoundRecord): Verdict[] {
  const longer = new Rule(scenario, "S1 a child never has more time than its scope");
  const late = new Rule(
    scenario,
    `S2 a scope returns by its deadline and its grace, in a loop that runs within ${lateMaxMs} ms`,
  );
  const sum = new Rule(scenario, "S4 the outcomes of the forks sum up to the forks");
  const scopes = round.operations.filter((each) => each.scenario === scenario && each.call === "scope");
  const stood = new StandStill(round.entries);
  const children = Map.groupBy(notesOf(round.entries, scenario, "child"), ({ resource }) => resource);
  for (const { id, asked, askedAtMs, answeredAtMs, process } of scopes) {
    for (const { values } of children.get(id) ?? [])
      longer.check(
        Number(values["remainingMs"]) <= Number(asked["timeoutMs"]),
        () => `${id}: a child had ${String(values["remainingMs"])} ms`,
      );
    if (!Number.isFinite(answeredAtMs) || stood.touches(process, askedAtMs, answeredAtMs, lateMaxMs)) continue;
    const tookMs = answeredAtMs - askedAtMs;
    const mostMs = Number(asked["timeoutMs"]) + Number(asked["graceMs"]) + lateMaxMs;
    late.check(tookMs <= mostMs, () => `${id}: returned after ${tookMs.toFixed(0)} ms`);
  }
  const ended = notesOf(round.entries, scenario, "ended");
  for (const { resource, values } of ended) {
    const counted = outcomes.reduce((total, outcome) => total + Number(values[outcome]), 0);
    sum.check(counted === Number(values["forks"]), () => `${resource}: ${JSON.stringify(values)}`);
  }
  const total = (outcome: string): number => ended.reduce((all, { values }) => all + Number(values[outcome]), 0);
  return [
    enough(scenario, {
      scopes: [scopes.length, 40],
      "subtasks that succeeded": [total("success"), 40],
      "subtasks that timed out": [total("timedOut"), 10],
      zombies: [total("zombies"), 3],
    }),
    longer.verdict,
    late.verdict,
    sum.verdict,
  ];
}
