/** What every process has to keep, whatever it works on. */
import { notesOf } from "../history/operation.ts";
import type { RoundRecord } from "../history/record.ts";
import { Rule } from "./verdict.ts";
import type { Verdict } from "./verdict.ts";

/** As pods note it. */
const scenario = "process";

/** L7, B8, S5: nothing is ever rejected with nobody listening. */
export function checkProcesses(round: RoundRecord): Verdict {
  const rule = new Rule(scenario, "L7 B8 S5 no rejection is unhandled");
  const unhandled = Map.groupBy(notesOf(round.entries, scenario, "unhandled"), ({ process }) => process);
  const processes = new Set([...round.operations.map(({ process }) => process), ...unhandled.keys()]);
  for (const process of processes) {
    const notes = unhandled.get(process) ?? [];
    rule.check(
      notes.length === 0,
      () => `${process}: ${notes.map(({ values }) => String(values["error"])).join("; ")}`,
    );
  }
  return rule.verdict;
}
