/**
 * What a history of quorum locks has to keep: tokens, and the resource. A node that forgets lets two holders in, so what is asserted of them
 * is that the resource takes the later one's writes alone.
 */
import type { RoundRecord } from "../history/record.ts";
import { notesOf } from "../history/operation.ts";
import type { LockFindings } from "../scenarios/lock.ts";
import { hangingEnds, resourceRefuses, tokensRise } from "./lock.ts";
import { enough } from "./verdict.ts";
import type { Verdict } from "./verdict.ts";

const scenario = "quorum";

/** Checks the quorum locks of a round. */
export function checkQuorum(round: RoundRecord): Verdict[] {
  const findings = (round.findings[scenario] as LockFindings | undefined) ?? { logs: {}, counts: {} };
  const calls = round.operations.filter((each) => each.scenario === scenario);
  const grants = calls.filter(({ call, outcome }) => call === "acquire" && outcome === "ok");
  const accepted = calls.filter(({ call, outcome }) => call === "append" && outcome === "ok");
  const after = grants.filter(({ answeredAtMs }) => answeredAtMs > round.calmAtMs);
  return [
    enough(scenario, {
      "locks granted": [grants.length, 15],
      "writes accepted": [accepted.length, 15],
      "locks granted after the healing": [after.length, 2],
      "troubles of a node": [notesOf(round.entries, scenario, "trouble").length, 4],
    }),
    ...tokensRise(grants, scenario),
    ...resourceRefuses(round, findings, scenario),
    hangingEnds(round, scenario),
  ];
}
