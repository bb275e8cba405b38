/** What a history of timers has to keep. */
import type { RoundRecord } from "../history/record.ts";
import { notesOf } from "../history/operation.ts";
import type { Note, Operation } from "../history/operation.ts";
import type { TimerFindings } from "../scenarios/timer.ts";
import { StandStill } from "../history/stand-still.ts";
import { number } from "./deliveries.ts";
import type { Deliveries } from "./deliveries.ts";
import { leasesKeepOthersOut, noneIsStranded } from "./staged-timer.ts";
import { enough, Rule } from "./verdict.ts";
import type { Verdict } from "./verdict.ts";

const scenario = "timer";
/** Attempts of a timer whose handler always throws. */
export const attemptsMax = 6;
/** How long a firing is kept without renewal. */
export const leaseMs = 700;
/** A handler may begin so long after its claim: a lease, and a process that stands still. */
const heldBackMs = 3_000;
/** What a timer may be late when nothing fails any more: a poll, a loaded machine. */
const lateMaxMs = 2_500;
/** A lease is renewed after a third, and again after two thirds. */
const stillMaxMs = leaseMs / 3;

function noneEarly(round: RoundRecord, schedules: readonly Operation[], { delivered }: Deliveries): Verdict {
  const rule = new Rule(scenario, "T1 no timer is delivered before it is due");
  // By the monotonic clock of this machine, independent of what the server says: a generation is no older than the request for it.
  const due = new Map<string, number>();
  for (const { id, resource, answer, asked, outcome } of schedules) {
    if (outcome !== "ok") continue;
    const key = `${resource} ${String(answer["generation"])}`;
    const firstAskedMs = Math.min(
      ...schedules.filter((each) => each.id === id && each.resource === resource).map(({ askedAtMs }) => askedAtMs),
    );
    due.set(key, firstAskedMs + Number(asked["afterMs"]));
  }
  for (const note of delivered) {
    // Delivered again while the clock was back: it had been due before, by the same clock.
    const again = round.faults.some(
      ({ nemesis, beginMs, endMs }) =>
        nemesis === "clock-back" && beginMs <= note.atMs && note.atMs <= endMs + heldBackMs,
    );
    rule.check(
      number(note, "latenessMs") >= 0 || again,
      () => `${note.resource}: early by the server, ${number(note, "latenessMs")} ms`,
    );
    const dueMs = due.get(`${note.resource} ${number(note, "generation")}`);
    if (dueMs === undefined || round.conditions.stepsClock) continue;
    // Deadlines are whole milliseconds of the server.
    rule.check(
      note.atMs >= dueMs - 2,
      () => `${note.resource}: delivered ${(dueMs - note.atMs).toFixed(1)} ms before it was due`,
    );
  }
  return rule.verdict;
}

function noneLost(
  schedules: readonly Operation[],
  cancels: readonly Operation[],
  dones: readonly Note[],
  findings: TimerFindings,
): Verdict[] {
  const lost = new Rule(scenario, "T2 what was scheduled and not cancelled fires");
  const rest = new Rule(scenario, "T2 nothing is left behind at the end");
  const poisoned = new Rule(scenario, "T6 what always fails ends among the dead letters, after its attempts");
  const done = new Set(dones.map(({ resource }) => resource));
  const touched = new Set(cancels.map(({ resource }) => resource));
  for (const [id, ofId] of Map.groupBy(schedules, ({ resource }) => resource)) {
    const last = ofId.findLast(({ outcome }) => outcome === "ok");
    if (last === undefined || touched.has(id)) continue;
    const behaviours = new Set(ofId.map(({ asked }) => asked["behaviour"]));
    if (behaviours.size === 1 && behaviours.has("poison")) {
      const attempts = findings.dead[id];
      poisoned.check(
        attempts === undefined ? done.has(id) : attempts >= 1,
        () => `${id}: neither a dead letter nor restored`,
      );
      poisoned.check((attempts ?? 0) <= attemptsMax + 1, () => `${id}: given up after ${attempts} attempts`);
    } else {
      lost.check(done.has(id) || findings.dead[id] !== undefined, () => `${id}: scheduled, and never fired to its end`);
    }
  }
  rest.check(findings.pending === 0, () => `${findings.pending} timers are pending`);
  rest.check(findings.leased === 0, () => `${findings.leased} timers are leased`);
  return [lost.verdict, rest.verdict, poisoned.verdict];
}

/** Handlers that were claimed before the cancellation may begin while its answer travels; those claimed after it may not. */
function noneAfterCancel(
  round: RoundRecord,
  schedules: readonly Operation[],
  cancels: readonly Operation[],
  { byId }: Deliveries,
): Verdict[] {
  if (round.conditions.forgets || round.conditions.stepsClock) return [];
  const rule = new Rule(scenario, "T5 nothing is first delivered after a cancel was acknowledged");
  for (const cancel of cancels) {
    if (cancel.outcome !== "ok" || cancel.answer["kind"] === "firing") continue;
    // A schedule that was asked for before, and is still on its way, must not arrive any more.
    const again = schedules.some(
      ({ resource, askedAtMs }) => resource === cancel.resource && askedAtMs > cancel.askedAtMs,
    );
    if (again) continue;
    const late = (byId.get(cancel.resource) ?? []).filter(({ atMs }) => atMs > cancel.answeredAtMs);
    rule.check(
      late.length === 0,
      () =>
        `${cancel.resource}: delivered ${((late[0]?.atMs ?? 0) - cancel.answeredAtMs).toFixed(1)} ms after "${String(cancel.answer["kind"])}"`,
    );
  }
  return [rule.verdict];
}

function deliveriesAreOrdered(round: RoundRecord, { byId, delivered }: Deliveries): Verdict[] {
  const tokens = new Rule(scenario, "T3 each delivery of a timer has a token of its own, higher than those before it");
  const generations = new Rule(scenario, "T4 an older generation never begins after a newer one");
  const attempts = new Rule(scenario, "T6 no timer has more attempts than allowed");
  for (const [id, notes] of byId) {
    let [highest, generation] = [0, 0];
    for (const note of notes) {
      const [before, newest] = [highest, generation];
      const token = number(note, "token");
      const stalled = notes.some((other) => other !== note && number(other, "token") === token);
      tokens.check(!stalled, () => `${id}: token ${token} delivered twice`);
      // A process that was paused between its claim and its handler begins late, with an older token: that is what the token is for.
      highest = Math.max(before, token);
      if (token > before) {
        const own = number(note, "generation");
        generations.check(
          own >= newest || round.conditions.forgets,
          () => `${id}: generation ${own} began after ${newest}`,
        );
        generation = Math.max(newest, own);
      }
    }
  }
  for (const note of delivered)
    attempts.check(
      number(note, "attempt") <= attemptsMax,
      () => `${note.resource}: attempt ${number(note, "attempt")}`,
    );
  return [tokens.verdict, generations.verdict, attempts.verdict];
}

/** One request, one generation; and the last of them is not lost behind an earlier one. */
function generationsAreKept(
  round: RoundRecord,
  schedules: readonly Operation[],
  cancels: readonly Operation[],
  { byId }: Deliveries,
  { dead }: TimerFindings,
): Verdict[] {
  // A clock that jumps by more than what has ended is remembered for ends that memory.
  if (round.conditions.forgets || round.conditions.stepsClock) return [];
  const one = new Rule(scenario, "T9 a repeat gets the first answer");
  const effect = new Rule(scenario, "T9 one request makes one generation");
  const last = new Rule(scenario, "T4 what was scheduled last fires, also behind an earlier generation");
  const touched = new Set(cancels.map(({ resource }) => resource));
  for (const [id, ofId] of Map.groupBy(schedules, ({ resource }) => resource)) {
    const scheduled = ofId.filter(({ outcome }) => outcome === "ok");
    for (const [operation, repeats] of Map.groupBy(scheduled, (each) => each.id)) {
      const generations = new Set(repeats.map(({ answer }) => answer["generation"]));
      one.check(generations.size === 1, () => `${id}: ${operation} got ${[...generations].join(" and ")}`);
    }
    const delivered = new Set((byId.get(id) ?? []).map((note) => number(note, "generation")));
    const requests = new Set(ofId.map((each) => each.id)).size;
    effect.check(
      delivered.size <= requests,
      () => `${id}: ${requests} requests, delivered as ${[...delivered].join(", ")}`,
    );
    if (scheduled.length === 0 || touched.has(id)) continue;
    const newest = Math.max(...scheduled.map(({ answer }) => Number(answer["generation"])));
    last.check(
      Math.max(0, ...delivered) >= newest || dead[id] !== undefined,
      () => `${id}: generation ${newest} was never delivered`,
    );
  }
  return [one.verdict, effect.verdict, last.verdict];
}

function toldOf(notes: readonly Note[]): string {
  const [first] = notes;
  return notes
    .map((note) => {
      const afterMs = note.atMs - (first?.atMs ?? 0);
      return `attempt ${number(note, "attempt")} in ${note.process} after ${afterMs.toFixed(0)} ms`;
    })
    .join(", ");
}

/** When nothing fails any more: in time, and each plain timer exactly once. */
function calmAgain(round: RoundRecord, schedules: readonly Operation[], { byId }: Deliveries): Verdict[] {
  const late = new Rule(scenario, `T8 after the healing no timer is more than ${lateMaxMs} ms late`);
  const once = new Rule(scenario, "T2 after the healing a timer that succeeds is delivered once");
  const fromMs = round.calmAtMs;
  const stood = new StandStill(round.entries);
  for (const { resource, asked, askedAtMs, answeredAtMs, outcome } of schedules) {
    if (askedAtMs < fromMs || outcome !== "ok" || asked["behaviour"] !== "plain") continue;
    if (schedules.filter((each) => each.resource === resource).length > 1) continue;
    const notes = byId.get(resource) ?? [];
    const first = notes[0];
    if (first !== undefined && !round.conditions.stepsClock) {
      const lateMs = first.atMs - (answeredAtMs + Number(asked["afterMs"]));
      const stoodMs = stood.longestIn(askedAtMs, first.atMs);
      late.check(
        lateMs <= lateMaxMs + stoodMs,
        () => `${resource}: ${lateMs.toFixed(0)} ms late, nothing stood still for more than ${stoodMs.toFixed(0)} ms`,
      );
    }
    // Whose request waits for as long as a lease may be renewed late, for itself, the network or the server, is taken for dead, and its timers
    // are delivered again.
    const stoodMs = stood.totalIn(askedAtMs, notes.at(-1)?.atMs ?? askedAtMs);
    if (stoodMs > stillMaxMs) continue;
    once.check(
      notes.length <= 1,
      () => `${resource}: ${toldOf(notes)}, while ${stoodMs.toFixed(0)} ms were stood still`,
    );
  }
  return [late.verdict, once.verdict];
}

/** Checks the timers of a round. */
export function checkTimer(round: RoundRecord): Verdict[] {
  const findings = (round.findings[scenario] as TimerFindings | undefined) ?? { pending: -1, leased: -1, dead: {} };
  const calls = round.operations.filter((each) => each.scenario === scenario);
  const schedules = calls.filter(({ call }) => call === "schedule");
  const cancels = calls.filter(({ call }) => call === "cancel");
  const delivered = notesOf(round.entries, scenario, "delivered");
  const deliveries = { delivered, byId: Map.groupBy(delivered, ({ resource }) => resource) };
  const dones = notesOf(round.entries, scenario, "done");
  const scheduled = schedules.filter(({ outcome }) => outcome === "ok");
  return [
    enough(scenario, {
      "timers scheduled": [scheduled.length, 60],
      "timers delivered": [delivered.length, 40],
      "cancels acknowledged": [cancels.filter(({ outcome }) => outcome === "ok").length, 5],
      "timers scheduled after the healing": [scheduled.filter(({ askedAtMs }) => askedAtMs > round.calmAtMs).length, 5],
    }),
    noneEarly(round, schedules, deliveries),
    ...noneLost(schedules, cancels, dones, findings),
    ...noneAfterCancel(round, schedules, cancels, deliveries),
    ...deliveriesAreOrdered(round, deliveries),
    ...leasesKeepOthersOut(round, deliveries),
    ...generationsAreKept(round, schedules, cancels, deliveries, findings),
    ...noneIsStranded(round, schedules, deliveries),
    ...calmAgain(round, schedules, deliveries),
  ];
}
