/**
 * What a history of bulkheads has to keep. A process that is paused or cut off goes on with the calls it has, so calls of such processes do
 * not count against the limit; those of all others do.
 */
import type { RoundRecord } from "../history/record.ts";
import { notesOf } from "../history/operation.ts";
import { StandStill } from "../history/stand-still.ts";
import { isLifeOf } from "../history/window.ts";
import type { BulkheadFindings } from "../scenarios/bulkhead.ts";
import { enough, Rule } from "./verdict.ts";
import type { Verdict } from "./verdict.ts";

const scenario = "bulkhead";
/** Calls in flight over all pods. */
export const limit = 5;
/** Calls in flight of one pod to its own dependency. */
export const localLimit = 3;
/** A lease and what a call may take: so long after a fault the permits of a process may be on record in no other way than by its word. */
const suspectMs = 1_800;

interface Visit {
  readonly process: string;
  readonly inMs: number;
  readonly outMs: number;
}

function visitsOf(round: RoundRecord): Visit[] {
  const outs = new Map(
    notesOf(round.entries, scenario, "out").map(({ process, values, atMs }) => [
      `${process} ${String(values["visit"])}`,
      atMs,
    ]),
  );
  return notesOf(round.entries, scenario, "in").flatMap(({ process, values, atMs }) => {
    const outMs = outs.get(`${process} ${String(values["visit"])}`);
    // Without an end the process was killed in there: its call is over.
    return outMs === undefined ? [] : [{ process, inMs: atMs, outMs }];
  });
}

function withinLimit(round: RoundRecord, visits: readonly Visit[]): Verdict {
  const rule = new Rule(scenario, `B7 calls in flight of processes that nothing happens to are at most ${limit}`);
  const stood = new StandStill(round.entries);
  const isClean = ({ process, inMs, outMs }: Visit): boolean =>
    !stood.cutsOff(process, inMs, outMs, suspectMs) &&
    !round.faults.some(
      ({ pods, beginMs, endMs }) =>
        beginMs < outMs && endMs + suspectMs > inMs && pods.some((pod) => isLifeOf(process, pod)),
    );
  const edges = visits.filter(isClean).flatMap(({ inMs, outMs }) => [
    { atMs: inMs, by: 1 },
    { atMs: outMs, by: -1 },
  ]);
  let inside = 0;
  for (const { atMs, by } of edges.toSorted((one, other) => one.atMs - other.atMs || one.by - other.by)) {
    inside += by;
    if (by < 0) continue;
    const now = inside;
    rule.check(now <= limit, () => `${now} at ${atMs.toFixed(1)}`);
  }
  return rule.verdict;
}

function localRules(round: RoundRecord): Verdict[] {
  const inside = new Rule(scenario, `B1 work in flight is at most ${localLimit}, also when its callers have given up`);
  const open = new Rule(scenario, "B2 rejections and queue timeouts never open the breaker");
  for (const { process, values } of notesOf(round.entries, scenario, "inside"))
    inside.check(Number(values["inside"]) <= localLimit, () => `${process}: ${String(values["inside"])} inside`);
  for (const { process, values } of notesOf(round.entries, scenario, "outcomes"))
    open.check(
      values["rejected-open"] === 0,
      () => `${process}: ${String(values["rejected-open"])} calls refused by the breaker of a healthy dependency`,
    );
  return [inside.verdict, open.verdict];
}

/** Checks the bulkheads of a round. */
export function checkBulkhead(round: RoundRecord): Verdict[] {
  const findings = round.findings[scenario] as BulkheadFindings | undefined;
  const visits = visitsOf(round);
  const calls = round.operations.filter((each) => each.scenario === scenario);
  const rejected = calls.filter(({ call, outcome }) => call === "run-local" && outcome === "refused");
  const returned = new Rule(scenario, "B7 all permits are returned, also those of processes that were killed");
  returned.check(
    findings?.besideEachOther === limit,
    () => `${findings?.besideEachOther} of ${limit} permits can be had`,
  );
  const after = visits.filter(({ inMs }) => inMs > round.calmAtMs);
  return [
    enough(scenario, {
      "calls to the shared dependency": [visits.length, 60],
      "calls to it after the healing": [after.length, 20],
      "calls rejected by a full bulkhead": [rejected.length, 20],
      "outcomes told": [notesOf(round.entries, scenario, "outcomes").length, 1],
    }),
    withinLimit(round, visits),
    ...localRules(round),
    returned.verdict,
  ];
}
