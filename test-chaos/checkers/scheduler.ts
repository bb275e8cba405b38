/** What a history of a recurring job has to keep. */
import type { RoundRecord } from "../history/record.ts";
import { notesOf } from "../history/operation.ts";
import type { RecordedRun, SchedulerFindings } from "../scenarios/scheduler.ts";
import { enough, Rule } from "./verdict.ts";
import type { Verdict } from "./verdict.ts";

const scenario = "scheduler";
/** The rhythm of the job. */
export const everyMs = 500;

/** What every record of a job has to keep, however it came about. */
export function checkRecord(round: RoundRecord, runs: readonly RecordedRun[]): Verdict[] {
  const began = notesOf(round.entries, scenario, "began");
  const ended = notesOf(round.entries, scenario, "ended");
  const once = new Rule(scenario, "C1 an occurrence is recorded once");
  const completed = new Rule(scenario, "C1 every occurrence is completed");
  const ran = new Rule(scenario, "C1 what is recorded as completed was run to its end");
  const last = new Rule(scenario, "C1 what is recorded is the last attempt that began");
  const tokens = new Rule(scenario, "C1 each attempt has a token of its own, higher than those before it");
  const seen = new Set<string>();
  const finished = new Set(ended.map((note) => attemptOf(note.resource, note.values["token"])));
  const begun = Map.groupBy(began, ({ resource }) => resource);
  for (const { occurrenceId, outcome, token } of runs) {
    once.check(!seen.has(occurrenceId), () => `${occurrenceId} is recorded twice`);
    seen.add(occurrenceId);
    completed.check(outcome === "completed", () => `${occurrenceId}: ${outcome}`);
    if (outcome !== "completed") continue;
    ran.check(
      finished.has(attemptOf(occurrenceId, token)),
      () => `${occurrenceId} was never run to its end with token ${token}`,
    );
    // Whoever began later had overtaken it: unless that was forgotten.
    const highest = Math.max(0, ...(begun.get(occurrenceId) ?? []).map(({ values }) => Number(values["token"])));
    if (!round.conditions.forgets)
      last.check(
        Number(token) >= highest,
        () => `${occurrenceId} is recorded with token ${token}, and an attempt with ${highest} had begun`,
      );
  }
  const byToken = new Map<number, string>();
  for (const note of began) {
    const token = Number(note.values["token"]);
    const who = `${note.resource} attempt ${String(note.values["attempt"])}`;
    tokens.check(!byToken.has(token), () => `${who} and ${byToken.get(token)} have token ${token}`);
    byToken.set(token, who);
  }
  for (const { occurrenceId, token } of runs) {
    if (token !== null)
      tokens.check(
        byToken.get(token)?.startsWith(`${occurrenceId} `) !== false,
        () => `${occurrenceId} is recorded with the token of ${byToken.get(token)}`,
      );
  }
  return [once, completed, ran, last, tokens].map(({ verdict }) => verdict);
}

/** Checks the job of a round. */
export function checkScheduler(round: RoundRecord): Verdict[] {
  const { runs, historyMax } = (round.findings[scenario] as SchedulerFindings | undefined) ?? {
    runs: [],
    historyMax: 0,
  };
  const began = notesOf(round.entries, scenario, "began");
  const ended = notesOf(round.entries, scenario, "ended");
  const missing = new Rule(scenario, "C2 with missed: all, no occurrence is missing");
  const early = new Rule(scenario, "C1 nothing runs before its time");
  // A record that was lost begins anew with the first occurrence after now.
  if (!round.conditions.forgets && runs.length < historyMax) {
    const times = runs.map(({ scheduledForMs }) => scheduledForMs).toSorted((one, other) => one - other);
    for (const [index, timeMs] of times.entries()) {
      const before = times[index - 1];
      if (before !== undefined)
        missing.check(
          timeMs - before <= everyMs,
          () => `nothing between ${new Date(before).toISOString()} and ${new Date(timeMs).toISOString()}`,
        );
    }
  }
  if (!round.conditions.stepsClock) {
    // Redis and the runner share one machine: their wall clocks are the same.
    const wallOffsetMs = wallOffset(round);
    for (const note of began) {
      const dueMs = Number(note.values["scheduledForMs"]) - wallOffsetMs;
      early.check(note.atMs >= dueMs - 2, () => `${note.resource} began ${(dueMs - note.atMs).toFixed(1)} ms early`);
    }
  }
  const after = ended.filter(({ atMs }) => atMs > round.calmAtMs);
  return [
    enough(scenario, {
      "occurrences on record": [runs.length, 8],
      "runs begun": [began.length, 8],
      "runs after the healing": [after.length, 2],
    }),
    ...checkRecord(round, runs),
    missing.verdict,
    early.verdict,
  ];
}

function attemptOf(occurrenceId: string, token: unknown): string {
  return `${occurrenceId} ${String(token)}`;
}

/** The most that wall time was ahead of monotonic time: what began then is early by no other reading. */
function wallOffset(round: RoundRecord): number {
  const marks = notesOf(round.entries, scenario, "clock");
  return Math.max(Number.NEGATIVE_INFINITY, ...marks.map(({ values, atMs }) => Number(values["wallMs"]) - atMs));
}
