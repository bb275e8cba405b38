/**
 * Owns what the figures of the two runs mean: the table, and what would make the demo fail.
 */
import { plain, wantedZero, type Cell, type ComparisonRow, type ScenarioReport } from "@holdfast-examples/stage";
import type { Outcome } from "./outcome.ts";
import type { Course, RunResult } from "./run.ts";

/** Compares the run with a cron in each replica to the one with the scheduler. */
export function compare(cron: RunResult, held: RunResult, course: Course): ScenarioReport {
  return {
    usual: "cron in each replica",
    holdfast: "scheduler",
    rows: rowsOf(cron.outcome, held.outcome),
    verdict: { usual: verdictOf(cron.outcome), holdfast: verdictOf(held.outcome) },
    notes: notesOf(cron, held, course),
    problems: [...failuresOf(held), ...emptinessOf("cron", cron), ...emptinessOf("holdfast", held)],
  };
}

function rowsOf(cron: Outcome, held: Outcome): ComparisonRow[] {
  const row = (label: string, cell: (outcome: Outcome) => Cell): ComparisonRow => ({
    label,
    usual: cell(cron),
    holdfast: cell(held),
  });
  return [
    row("mails due", ({ due }) => plain(due)),
    row("mails sent", ({ sent }) => plain(sent)),
    row("customers mailed more than once for an hour", ({ repeated }) => wantedZero(repeated)),
    row("customers not mailed for an hour", ({ missing }) => wantedZero(missing)),
    row("hours begun by more than one replica", ({ doubledHours }) => wantedZero(doubledHours)),
  ];
}

function verdictOf({ due, repeated, missing }: Outcome): string {
  return `${repeated} of ${due} mails repeated${missing > 0 ? `, ${missing} missing` : ""}`;
}

function notesOf(cron: RunResult, held: RunResult, { hourMs, hours, leaseMs }: Course): string[] {
  const notes = [
    `an hour → ${hourMs} ms, the lease of a run 15 s → ${leaseMs} ms; ${hours} hours, three replicas, one killed in the middle of the second hour`,
  ];
  if (held.killed !== null) {
    notes.push(
      `scheduler: ${held.killed.replica} died in the middle of its run; another replica sent the ${held.outcome.takenOver} mails that were left`,
    );
  }
  if (cron.outcome.repeated === 0)
    notes.push("the crons repeated nothing this time: only one replica was there in time");
  return notes;
}

/** What Holdfast promised and did not keep. */
function failuresOf({ outcome }: RunResult): string[] {
  const { repeated, missing } = outcome;
  return [
    ...(repeated > 0 ? [`scheduler: ${repeated} mails were sent more than once`] : []),
    ...(missing > 0 ? [`scheduler: ${missing} mails were not sent`] : []),
  ];
}

/** What would make a good figure worthless: that nothing happened. */
function emptinessOf(side: string, { outcome, killed }: RunResult): string[] {
  return [
    ...(outcome.sent === 0 ? [`${side}: no mail was sent`] : []),
    ...(killed === null ? [`${side}: no replica was killed during a run`] : []),
    ...(side === "holdfast" && outcome.takenOver === 0
      ? [`${side}: the killed replica left nothing to take over`]
      : []),
  ];
}
