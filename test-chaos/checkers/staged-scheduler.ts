/**
 * What a history of a recurring job on the stage has to keep: there time is the server's, so it is known which occurrences were due, when the
 * job was paused, and who could have spent an attempt.
 */
import { notesOf } from "../history/operation.ts";
import type { Note, Operation } from "../history/operation.ts";
import type { RoundRecord } from "../history/record.ts";
import { ServerTime } from "../history/server-time.ts";
import type { RecordedRun, SchedulerFindings } from "../scenarios/scheduler.ts";
import { checkRecord } from "./scheduler.ts";
import { Rule } from "./verdict.ts";
import type { Verdict } from "./verdict.ts";

const scenario = "scheduler";
/** Every definition on the stage names the multiples of this; those with an even version name what lies halfway, too. */
export const rhythmMs = 10_000;
/** The operation that is asked for when the schedule is over. */
export const lastRequest = "last";
/** How long a request can be on its way and still have its effect. */
const boundMs = 2_500;
/** A request may have begun an attempt of which nobody heard. */
const deaf: ReadonlySet<string> = new Set(["crash", "late", "mute"]);

/** A span in which the job may have been paused, by the server's clock. */
interface Pause {
  readonly fromMs: number;
  readonly toMs: number;
}

function firstAskedMs(ofOperation: readonly Operation[]): number {
  return Math.min(...ofOperation.map(({ askedAtMs }) => askedAtMs));
}

function firstDoneMs(ofOperation: readonly Operation[]): number {
  const done = ofOperation.filter(({ outcome }) => outcome === "ok");
  return Math.min(...done.map(({ answeredAtMs }) => answeredAtMs));
}

function byOperation(calls: readonly Operation[], call: string): readonly (readonly Operation[])[] {
  const may = calls.filter((each) => each.call === call && each.outcome !== "refused");
  return [...Map.groupBy(may, ({ id }) => id).values()];
}

function pausesIn(calls: readonly Operation[], time: ServerTime): Pause[] {
  const resumes = byOperation(calls, "resume");
  return byOperation(calls, "pause").map((pause) => {
    const lastAskedMs = Math.max(...pause.map(({ askedAtMs }) => askedAtMs));
    const doneMs = Math.min(time.at(firstDoneMs(pause)), time.at(lastAskedMs) + boundMs);
    const ends = resumes
      .filter((resume) => time.at(firstAskedMs(resume)) >= doneMs)
      .map((resume) => time.at(firstDoneMs(resume)));
    return { fromMs: time.at(firstAskedMs(pause)), toMs: Math.min(...ends) };
  });
}

function noneIsMissing(round: RoundRecord, runs: readonly RecordedRun[], time: ServerTime): Verdict[] {
  const missing = new Rule(scenario, "C2 C5 with missed: all, no occurrence is missing but those of a pause");
  const foreign = new Rule(scenario, "C1 nothing is recorded that no definition names");
  const recorded = new Set(runs.map(({ occurrenceId }) => occurrenceId));
  const pauses = pausesIn(callsOf(round), time);
  const defined = notesOf(round.entries, scenario, "defined");
  const [first] = defined;
  missing.check(first !== undefined, () => "no definition was ever put on record");
  for (
    let dueMs = Math.ceil((time.at(first?.atMs ?? 0) + time.errorMs) / rhythmMs) * rhythmMs;
    dueMs <= time.lastMs;
    dueMs += rhythmMs
  ) {
    const paused = pauses.some(({ fromMs, toMs }) => fromMs - time.errorMs <= dueMs && dueMs <= toMs + time.errorMs);
    const id = new Date(dueMs).toISOString();
    missing.check(paused || recorded.has(id), () => `${id} is not on record`);
  }
  const halfway = joinedVersions(round).some((version) => version % 2 === 0);
  for (const { occurrenceId, scheduledForMs } of runs) {
    if (isRequested(occurrenceId)) continue;
    foreign.check(scheduledForMs % (halfway ? rhythmMs / 2 : rhythmMs) === 0, () => `${occurrenceId} is on record`);
  }
  return [missing.verdict, foreign.verdict];
}

/** A delivery that was claimed after a pause was acknowledged finds the job paused. */
function nothingBeginsWhilePaused(began: readonly Note[], calls: readonly Operation[], time: ServerTime): Verdict {
  const rule = new Rule(scenario, "while a job is paused no occurrence begins that was planned");
  const resumes = calls.filter(({ call }) => call === "resume");
  for (const pause of byOperation(calls, "pause")) {
    const doneMs = time.at(firstDoneMs(pause)) + time.errorMs;
    const until = resumes.filter(({ answeredAtMs }) => answeredAtMs > firstAskedMs(pause));
    const untilMs = Math.min(...until.map(({ askedAtMs }) => time.at(askedAtMs))) - time.errorMs;
    for (const { resource, values } of began) {
      const claimedMs = Number(values["token"]) / 1_000;
      if (isRequested(resource) || values["attempt"] !== 1) continue;
      rule.check(
        claimedMs <= doneMs || claimedMs >= untilMs,
        () => `${resource} was claimed ${(claimedMs - doneMs).toFixed(0)} ms after the answer to a pause`,
      );
    }
  }
  return rule.verdict;
}

/** Whoever begins hears of it, unless he ends, or stands still past his lease, or his request or its answer stays on the way. */
function noAttemptIsWasted(round: RoundRecord, began: readonly Note[]): Verdict {
  const rule = new Rule(scenario, "C1 a lost answer spends no attempt");
  const heard = Map.groupBy([...began, ...notesOf(round.entries, scenario, "not-begun")], ({ resource }) => resource);
  for (const note of began) {
    const id = note.resource;
    const attempt = Number(note.values["attempt"]);
    const known = (heard.get(id) ?? []).filter(({ values }) => Number(values["attempt"]) < attempt).length;
    const strikes = round.faults.filter(({ nemesis, beginMs }) => deaf.has(nemesis) && beginMs < note.atMs).length;
    rule.check(
      attempt - 1 - known <= strikes,
      () => `${id}: attempt ${attempt} began, ${known} before it, and ${strikes} can have gone unheard`,
    );
  }
  return rule.verdict;
}

function versionsRise(round: RoundRecord, began: readonly Note[]): Verdict[] {
  const once = new Rule(scenario, "C5 each version is put on record once");
  const highest = new Rule(scenario, "C5 the highest version counts");
  const defined = notesOf(round.entries, scenario, "defined").map(({ values }) => Number(values["version"]));
  for (const version of defined)
    once.check(defined.filter((each) => each === version).length === 1, () => `version ${version} was, again`);
  const joined = Map.groupBy(notesOf(round.entries, scenario, "joined"), ({ process }) => process.split(".")[0]);
  const living = [...joined.values()].map((notes) => Number(notes.at(-1)?.values["version"]));
  const wanted = Math.max(0, ...defined, ...living);
  const last = Number(began.findLast(({ resource }) => resource === `now-${lastRequest}`)?.values["version"]);
  // A higher one may have been put on record by a replica that is gone and never heard the answer.
  highest.check(
    last === wanted || (last > wanted && joinedVersions(round).includes(last)),
    () => `the last run was by version ${last}, the highest is ${wanted}`,
  );
  return [once.verdict, highest.verdict];
}

function requestsAreKept(calls: readonly Operation[], runs: readonly RecordedRun[], began: readonly Note[]): Verdict[] {
  const kept = new Rule(scenario, "what was asked for by hand runs");
  const same = new Rule(scenario, "K1 a repeat gets the first answer");
  const recorded = new Set(runs.map(({ occurrenceId }) => occurrenceId));
  kept.check(recorded.has(`now-${lastRequest}`), () => "the last request is not on record");
  for (const [operation, repeats] of Map.groupBy(calls, ({ id }) => id)) {
    const answers = new Set(repeats.filter(({ outcome }) => outcome === "ok").map(({ answer }) => answer["kind"]));
    same.check(answers.size <= 1, () => `${operation} got ${[...answers].join(" and ")}`);
    const id = `now-${operation}`;
    if (answers.has("queued")) kept.check(recorded.has(id), () => `${id} is not on record`);
    else if (answers.size > 0)
      kept.check(!began.some(({ resource }) => resource === id), () => `${id} was refused and ran`);
  }
  return [kept.verdict, same.verdict];
}

/** Whatever any replica brought: who has heard of it knows less than who has put it on record. */
function joinedVersions(round: RoundRecord): number[] {
  return notesOf(round.entries, scenario, "joined").map(({ values }) => Number(values["version"]));
}

function isRequested(occurrenceId: string): boolean {
  return occurrenceId.startsWith("now-");
}

function callsOf(round: RoundRecord): Operation[] {
  return round.operations.filter((each) => each.scenario === scenario);
}

/** Checks the job of a schedule. */
export function checkStagedScheduler(round: RoundRecord): Verdict[] {
  const { runs } = (round.findings[scenario] as SchedulerFindings | undefined) ?? { runs: [] };
  const began = notesOf(round.entries, scenario, "began");
  const time = new ServerTime(round, scenario);
  const early = new Rule(scenario, "C1 nothing runs before its time");
  for (const { resource, values } of began)
    early.check(
      isRequested(resource) || Number(values["token"]) >= Number(values["scheduledForMs"]) * 1_000,
      () => `${resource} was claimed with token ${String(values["token"])}`,
    );
  return [
    ...checkRecord(round, runs),
    ...noneIsMissing(round, runs, time),
    early.verdict,
    nothingBeginsWhilePaused(began, callsOf(round), time),
    noAttemptIsWasted(round, began),
    ...versionsRise(round, began),
    ...requestsAreKept(callsOf(round), runs, began),
  ];
}
