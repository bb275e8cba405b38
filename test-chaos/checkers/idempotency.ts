/** What a history of idempotency keys has to keep. */
import type { RoundRecord } from "../history/record.ts";
import { notesOf } from "../history/operation.ts";
import type { Note, Operation } from "../history/operation.ts";
import { StageTime } from "../history/stage-time.ts";
import { isLifeOf } from "../history/window.ts";
import type { IdempotencyFindings } from "../scenarios/idempotency.ts";
import { enough, Rule } from "./verdict.ts";
import type { Verdict } from "./verdict.ts";

const scenario = "idempotency";
/** How long a key is kept without renewal. */
export const leaseMs = 600;
/** A lease is renewed after a third, and that has to fail twice before it is lost: nothing that takes no longer than this can do it. */
const slowMaxMs = leaseMs / 4;
/** The lease of the stage. */
const stagedLeaseMs = 10_000;
/** How long a call on the stage waits for its answer. */
const stagedTimeoutMs = 2_000;

function effects(round: RoundRecord, { entries }: IdempotencyFindings): Verdict[] {
  const most = new Rule(scenario, "I1 I8 at most one effect per key");
  const least = new Rule(scenario, "I1 every key has its effect at the end");
  for (const [key, list] of Object.entries(entries)) {
    // A key that Redis has forgotten is run again; then it is the downstream key by which the other side knows it.
    if (!round.conditions.forgets)
      most.check(list.length <= 1, () => `${key}: ${list.length} effects: ${list.join(", ")}`);
    least.check(list.length >= 1, () => `${key}: no effect`);
  }
  return [most.verdict, least.verdict];
}

function answersAreEqual(round: RoundRecord, runs: readonly Operation[], findings: IdempotencyFindings): Verdict[] {
  // A key that Redis has forgotten is run again, by another attempt under the same key downstream.
  const said = (value: unknown): string =>
    round.conditions.forgets ? (String(value).split(" ")[0] ?? "") : String(value);
  const equal = new Rule(scenario, "I2 everybody gets the same answer");
  const other = new Rule(scenario, "I3 another payload under the same key is never answered");
  for (const [key, ofKey] of Map.groupBy(runs, ({ resource }) => resource)) {
    const final = said(findings.answers[key]);
    for (const { call, outcome, answer, process } of ofKey) {
      if (call !== "run")
        other.check(outcome !== "ok", () => `${key}: ${process} got ${String(answer["value"])} for another payload`);
      else if (outcome === "ok")
        equal.check(
          said(answer["value"]) === final,
          () => `${key}: ${process} got ${String(answer["value"])}, the end is ${final}`,
        );
    }
  }
  return [equal.verdict, other.verdict];
}

function tokenOf(note: Note): number {
  return Number(note.values["token"]);
}

/** What follows from one attempt at a time. Nothing of it is promised of a key that Redis has forgotten. */
function oneAtATime(round: RoundRecord, runs: readonly Operation[], findings: IdempotencyFindings): Verdict[] {
  if (round.conditions.forgets) return [];
  const last = new Rule(scenario, "I2 the answer is that of the last attempt");
  const busy = new Rule(scenario, "I1 nobody hears that a key is in progress while it is nobody's");
  // What its caller has given up comes to nothing by its bound, unless the clock of Redis is set back before it arrives.
  const mayArrive = ({ answer }: Operation): boolean =>
    round.conditions.stepsClock && answer["error"] === "RedisUnavailableError";
  const ofKeys = Map.groupBy(runs, ({ resource }) => resource);
  for (const [key, attempts] of Map.groupBy(notesOf(round.entries, scenario, "attempt"), ({ resource }) => resource)) {
    const by = / by (\d+)$/.exec(findings.answers[key] ?? "")?.[1];
    const highest = Math.max(...attempts.map(tokenOf));
    if (by !== undefined)
      last.check(Number(by) === highest, () => `${key}: the answer is by ${by}, the last was ${highest}`);
  }
  for (const [key, ofKey] of ofKeys) {
    for (const run of ofKey) {
      if (run.outcome !== "refused" || run.answer["error"] !== "InProgressError") continue;
      const somebody = ofKey.some(
        (other) =>
          other !== run &&
          other.askedAtMs < run.answeredAtMs &&
          (other.outcome === "unknown" || other.answeredAtMs > run.askedAtMs || mayArrive(other)),
      );
      busy.check(somebody, () => `${key}: ${run.process} was told so, and nobody else had asked`);
    }
  }
  return [last.verdict, busy.verdict];
}

/**
 * An attempt keeps its key for as long as it works, if nothing keeps it from renewing: no fault during it, nearly a whole lease at its
 * beginning, and a process and a way to the server that were fast all the time, as it has found out itself by asking.
 */
function leasesAreRenewed(round: RoundRecord): Verdict {
  const rule = new Rule(scenario, "I4 an attempt that outlasts its lease keeps its key");
  if (round.conditions.forgets || round.conditions.stepsClock) return rule.verdict;
  for (const { resource, process, atMs, values } of notesOf(round.entries, scenario, "outlasted")) {
    const forMs = Number(values["forMs"]);
    const isFree =
      leaseMs - Number(values["leftMs"]) <= slowMaxMs &&
      Number(values["slowestMs"]) <= slowMaxMs &&
      !round.faults.some(
        ({ pods, beginMs, endMs }) =>
          beginMs < atMs && endMs > atMs - forMs && pods.some((pod) => isLifeOf(process, pod)),
      );
    if (forMs < leaseMs * 0.8 || !isFree) continue;
    rule.check(
      values["lost"] === false,
      () =>
        `${resource}: ${process} lost it after ${forMs.toFixed(0)} ms, in which nothing took longer than ${Number(values["slowestMs"]).toFixed(0)} ms`,
    );
  }
  return rule.verdict;
}

/** On the stage, where time is known: whose answer was lost keeps the key for a lease. */
function lostAnswersKeepKeys(round: RoundRecord): Verdict {
  const closed = new Rule(scenario, "I8 a key stays closed for a lease after an answer was lost");
  const time = new StageTime(round, scenario);
  if (!time.isGentle) return closed.verdict;
  const timedOut = new Set(
    notesOf(round.entries, scenario, "left")
      .filter(({ values }) => values["error"] === "TimeoutError")
      .map((note) => `${note.resource} ${tokenOf(note)}`),
  );
  for (const [key, attempts] of Map.groupBy(notesOf(round.entries, scenario, "attempt"), ({ resource }) => resource)) {
    const byToken = attempts.toSorted((one, other) => tokenOf(one) - tokenOf(other));
    for (const [index, note] of byToken.entries()) {
      const next = byToken[index + 1];
      if (next === undefined || !timedOut.has(`${key} ${tokenOf(note)}`)) continue;
      const afterMs = time.at(next.atMs) - time.at(note.atMs);
      closed.check(
        afterMs >= stagedLeaseMs / 2,
        () => `${key}: ${tokenOf(next)} began ${afterMs.toFixed(0)} ms after ${tokenOf(note)}`,
      );
    }
  }
  return closed.verdict;
}

/** On the stage: one answer that does not come is no reason to tell a caller that nobody knows. */
function outcomesAreAskedForAgain(round: RoundRecord, runs: readonly Operation[]): Verdict {
  const rule = new Rule(scenario, "I9 an outcome is sent again before its caller hears that it is unknown");
  const time = new StageTime(round, scenario);
  // Without memory nothing can be stored: that is another reason.
  if (!time.isStaged || round.faults.some(({ nemesis }) => nemesis === "full")) return rule.verdict;
  const left = notesOf(round.entries, scenario, "left").filter(({ values }) => values["error"] === null);
  for (const { resource, process, outcome, answer, askedAtMs, answeredAtMs } of runs) {
    if (outcome !== "unknown" || answer["error"] !== "OutcomeUnknownError") continue;
    const note = left.findLast(
      (each) =>
        each.resource === resource && each.process === process && askedAtMs < each.atMs && each.atMs < answeredAtMs,
    );
    if (note === undefined) continue;
    const forMs = time.at(answeredAtMs) - time.at(note.atMs);
    rule.check(forMs >= 2 * stagedTimeoutMs, () => `${resource}: ${process} gave up after ${forMs.toFixed(0)} ms`);
  }
  return rule.verdict;
}

function attemptsAreOrdered(round: RoundRecord, runs: readonly Operation[]): Verdict[] {
  const unique = new Rule(scenario, "I5 tokens of the attempts of a key are unique");
  const rising = new Rule(scenario, "K5 tokens of the attempts of a key increase in real time");
  const sameKey = new Rule(scenario, "I1 the key that is handed downstream is the same in every attempt");
  const recovered = new Rule(scenario, "I8 a later attempt knows that an earlier one started");
  const asked = Map.groupBy(runs, ({ resource }) => resource);
  for (const [key, attempts] of Map.groupBy(notesOf(round.entries, scenario, "attempt"), ({ resource }) => resource)) {
    for (const note of attempts) {
      // Its request is no older than the first that was open there.
      const open = (asked.get(key) ?? []).filter(
        ({ process, askedAtMs, answeredAtMs }) =>
          process === note.process && askedAtMs <= note.atMs && note.atMs <= answeredAtMs,
      );
      const sinceMs = Math.min(note.atMs, ...open.map(({ askedAtMs }) => askedAtMs));
      const known = Math.max(0, ...attempts.filter(({ atMs }) => atMs < sinceMs).map(tokenOf));
      rising.check(tokenOf(note) > known, () => `${key}: token ${tokenOf(note)} asked for after ${known} was given`);
    }
    const byToken = attempts.toSorted((one, other) => tokenOf(one) - tokenOf(other));
    for (const [index, note] of byToken.entries()) {
      const before = byToken[index - 1];
      if (before === undefined) continue;
      sameKey.check(
        before.values["downstreamKey"] === note.values["downstreamKey"],
        () => `${key}: ${String(before.values["downstreamKey"])}, then ${String(note.values["downstreamKey"])}`,
      );
      unique.check(
        before.values["token"] !== note.values["token"],
        () => `${key}: token ${String(note.values["token"])} twice`,
      );
      if (!round.conditions.forgets)
        recovered.check(
          note.values["recovered"] === true,
          () =>
            `${key}: attempt with token ${String(note.values["token"])} was not told of ${String(before.values["token"])}`,
        );
    }
  }
  return [unique.verdict, rising.verdict, recovered.verdict, sameKey.verdict];
}

/** Checks the keys of a round. */
export function checkIdempotency(round: RoundRecord): Verdict[] {
  const findings = (round.findings[scenario] as IdempotencyFindings | undefined) ?? { entries: {}, answers: {} };
  const calls = round.operations.filter((each) => each.scenario === scenario);
  const runs = calls.filter(({ call }) => call === "run");
  const answered = runs.filter(({ outcome }) => outcome === "ok");
  return [
    enough(scenario, {
      "keys answered": [answered.length, 60],
      "answers replayed": [answered.filter(({ answer }) => answer["replayed"] === true).length, 10],
      attempts: [notesOf(round.entries, scenario, "attempt").length, 30],
      "keys answered after the healing": [answered.filter(({ askedAtMs }) => askedAtMs > round.calmAtMs).length, 5],
    }),
    ...effects(round, findings),
    ...answersAreEqual(round, calls, findings),
    ...attemptsAreOrdered(round, runs),
    ...oneAtATime(round, calls, findings),
    leasesAreRenewed(round),
    lostAnswersKeepKeys(round),
    outcomesAreAskedForAgain(round, runs),
  ];
}
