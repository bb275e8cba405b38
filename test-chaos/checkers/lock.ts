/**
 * What a history of locks has to keep. Overlapping holders are expected under pauses and reported as a number; what is asserted is that the
 * resource refused every one that had been overtaken.
 */
import type { RoundRecord } from "../history/record.ts";
import { notesOf } from "../history/operation.ts";
import type { Operation } from "../history/operation.ts";
import { ServerTime } from "../history/server-time.ts";
import { StageTime } from "../history/stage-time.ts";
import { StandStill } from "../history/stand-still.ts";
import { meets } from "../history/window.ts";
import type { LockFindings } from "../scenarios/lock.ts";
import { enough, Rule } from "./verdict.ts";
import type { Verdict } from "./verdict.ts";

const scenario = "lock";
/** Longest hold of the locks under test, however often they are renewed. */
export const holdMaxMs = 1_500;
/** How late a loop that runs may hear of the end of its lease: the machine is shared. */
const lateMaxMs = 400;

function tokenOf(operation: Operation): number {
  return Number(operation.answer["token"]);
}

/** What every kind of lock owes: tokens of one name that are its holders' alone, and rise. */
export function tokensRise(grants: readonly Operation[], of: string = scenario): Verdict[] {
  const unique = new Rule(of, "L1 tokens of one lock are unique");
  const rising = new Rule(of, "L1 tokens of one lock increase in real time");
  for (const [name, ofLock] of Map.groupBy(grants, ({ resource }) => resource)) {
    const owners = new Map<number, string>();
    for (const grant of ofLock) {
      const owner = owners.get(tokenOf(grant));
      unique.check(owner === undefined, () => `${name}: token ${tokenOf(grant)} given to ${owner} and to ${grant.id}`);
      owners.set(tokenOf(grant), grant.id);
    }
    const answered = ofLock.toSorted((one, other) => one.answeredAtMs - other.answeredAtMs);
    let [next, highest] = [0, 0];
    for (const grant of ofLock.toSorted((one, other) => one.askedAtMs - other.askedAtMs)) {
      for (let before = answered[next]; before !== undefined && before.answeredAtMs < grant.askedAtMs;) {
        highest = Math.max(highest, tokenOf(before));
        next += 1;
        before = answered[next];
      }
      const known = highest;
      rising.check(tokenOf(grant) > known, () => `${name}: token ${tokenOf(grant)} asked for after ${known} was given`);
    }
  }
  return [unique.verdict, rising.verdict];
}

/** On the stage the server's clock is known: whatever a lock remembers of earlier tokens, the next is no older than the question for it. */
function tokensAreTimes(round: RoundRecord, grants: readonly Operation[]): Verdict[] {
  if (notesOf(round.entries, scenario, "clock").length === 0) return [];
  const rule = new Rule(scenario, "K5 a token is no lower than the time when it was asked for");
  const time = new ServerTime(round, scenario);
  for (const grant of grants) {
    const behindMs = time.at(grant.askedAtMs) - time.errorMs - tokenOf(grant) / 1_000;
    rule.check(behindMs <= 0, () => `${grant.resource}: token ${tokenOf(grant)} is ${behindMs.toFixed(0)} ms older`);
  }
  return [rule.verdict];
}

/** What a guarded resource owes, whatever becomes of the lock. */
export function resourceRefuses(round: RoundRecord, { logs, counts }: LockFindings, of: string = scenario): Verdict[] {
  const falling = new Rule(of, "L5 what the resource took has tokens that never fall");
  const once = new Rule(of, "K1 each accepted increment is applied once, and nothing else is");
  const refused = new Rule(of, "L5 a write that was refused is not there");
  const counter = new Rule(of, "L3 the guarded counter equals the accepted increments");
  const appends = round.operations.filter(({ call, scenario: name }) => name === of && call === "append");
  for (const [name, log] of Object.entries(logs)) {
    const entries = log.map((line) => line.split(" ") as [token: string, operation: string]);
    let highest = 0;
    for (const [token, operation] of entries) {
      const before = highest;
      falling.check(Number(token) >= before, () => `${name}: ${operation} with token ${token} after ${before}`);
      highest = Math.max(highest, Number(token));
    }
    const applied = entries.map(([, operation]) => operation);
    const asked = new Set(appends.filter(({ resource }) => resource === name).map(({ id }) => id));
    const seen = new Set<string>();
    for (const operation of applied) {
      once.check(!seen.has(operation), () => `${name}: ${operation} applied twice`);
      once.check(asked.has(operation), () => `${name}: ${operation} applied, and nobody asked`);
      seen.add(operation);
    }
    for (const { id, outcome, answer, resource } of appends) {
      if (resource !== name) continue;
      if (outcome === "ok") once.check(seen.has(id), () => `${name}: ${id} was accepted and is not there`);
      // Refused as stale; other refusals may be followed by a repeat under the same id.
      if (outcome === "refused" && answer["error"] === "StaleTokenError")
        refused.check(!seen.has(id), () => `${name}: ${id} was refused as stale and is there`);
    }
    counter.check(
      counts[name] === seen.size,
      () => `${name}: the counter says ${counts[name]}, the log has ${seen.size}`,
    );
  }
  return [falling.verdict, once.verdict, refused.verdict, counter.verdict];
}

/** A guard that refuses a write must have heard of a later holder: it is no guard that refuses the only one. */
function nobodyIsRefusedForNothing(round: RoundRecord, { logs }: LockFindings): Verdict[] {
  // A clock that was stepped may give tokens that are older than a guard remembers.
  if (round.conditions.stepsClock) return [];
  const rule = new Rule(scenario, "L1 L5 a write is refused as stale only after a later token was asked for");
  const calls = round.operations.filter((each) => each.scenario === scenario);
  const acquires = Map.groupBy(
    calls.filter(({ call, outcome }) => call === "acquire" && outcome !== "refused"),
    ({ resource }) => resource,
  );
  for (const { call, resource, process, outcome, answer, asked, answeredAtMs } of calls) {
    if (call !== "append" || outcome !== "refused" || answer["error"] !== "StaleTokenError") continue;
    const token = Number(asked["token"]);
    const later = (acquires.get(resource) ?? []).some(
      (acquire) =>
        acquire.askedAtMs < answeredAtMs && (acquire.outcome === "unknown" || Number(acquire.answer["token"]) > token),
    );
    const written = (logs[resource] ?? []).some((line) => Number(line.split(" ")[0]) > token);
    rule.check(later || written, () => `${resource}: ${process} was refused with ${token}, and nobody came after it`);
  }
  return [rule.verdict];
}

/** On the stage it is known when nothing went wrong: then every call has an answer. */
function nothingIsUnknownWithoutFaults(round: RoundRecord): Verdict[] {
  if (round.faults.length > 0 || !new StageTime(round, scenario).isStaged) return [];
  const rule = new Rule(scenario, "L1 without faults every call has an answer");
  for (const { scenario: name, call, resource, process, outcome, answer } of round.operations) {
    if (name !== scenario) continue;
    rule.check(outcome !== "unknown", () => `${resource}: ${call} of ${process}: ${String(answer["error"])}`);
  }
  return [rule.verdict];
}

/**
 * What others do to a lock takes nothing from him who holds it. A release that is delivered twice on one connection hears of the second
 * delivery, which finds the lock handed on; no connection does that, and what a client sends again it knows of.
 */
function nothingIsTaken(round: RoundRecord): Verdict[] {
  if (round.conditions.forgets || round.conditions.stepsClock) return [];
  const repeats = round.faults.filter(({ nemesis }) => nemesis === "repeat-request");
  const rule = new Rule(scenario, "L5 whoever gives back in time still had the lock");
  for (const operation of round.operations) {
    const { scenario: name, call, resource, process, outcome, answer, asked } = operation;
    if (name !== scenario || call !== "release" || outcome !== "ok" || answer["inTime"] !== true) continue;
    if (repeats.some((fault) => meets(fault, operation))) continue;
    const said = String(answer["kind"]);
    rule.check(said === "released", () => `${resource}: ${process} gave back ${String(asked["token"])}: ${said}`);
  }
  return [rule.verdict];
}

/** Who believes in his lease by his own clock is right, as long as Redis forgets nothing and its clock is not stepped. */
function holdersAreTold(round: RoundRecord, grants: readonly Operation[]): Verdict[] {
  const believed = new Rule(scenario, "L4 nobody believes in a lease after somebody else was granted the next");
  const told = new Rule(
    scenario,
    `L4 a holder whose loop runs is told within ${lateMaxMs} ms of its successor's grant`,
  );
  if (round.conditions.forgets || round.conditions.stepsClock) return [];
  const stood = new StandStill(round.entries);
  const byLock = Map.groupBy(grants, ({ resource }) => resource);
  const successorOf = (name: string, token: number): Operation | undefined =>
    (byLock.get(name) ?? [])
      .filter((grant) => tokenOf(grant) > token)
      .toSorted((one, other) => one.answeredAtMs - other.answeredAtMs)[0];
  for (const { resource, values, process } of notesOf(round.entries, scenario, "believed")) {
    const [token, atMs] = [Number(values["token"]), Number(values["atMs"])];
    const next = successorOf(resource, token);
    believed.check(
      next === undefined || next.answeredAtMs >= atMs,
      () =>
        `${resource}: ${process} believed in ${token} ${(atMs - (next?.answeredAtMs ?? 0)).toFixed(1)} ms after ${next?.process} had ${next === undefined ? "" : tokenOf(next)}`,
    );
  }
  for (const { resource, values, process, atMs } of notesOf(round.entries, scenario, "told")) {
    const next = successorOf(resource, Number(values["token"]));
    if (next === undefined || stood.touches(process, next.answeredAtMs, atMs, lateMaxMs)) continue;
    told.check(
      atMs <= next.answeredAtMs + lateMaxMs,
      () =>
        `${resource}: ${process} was told ${(atMs - next.answeredAtMs).toFixed(0)} ms after its successor was granted`,
    );
  }
  return [believed.verdict, told.verdict];
}

/** A holder that hangs is told in the end, by its own clock, and whoever waits gets the lock. */
export function hangingEnds(round: RoundRecord, of: string = scenario): Verdict {
  const rule = new Rule(of, `L4 nobody holds a lock for longer than ${holdMaxMs} ms, however often it is renewed`);
  const stood = new StandStill(round.entries);
  for (const { resource, values, process, atMs } of notesOf(round.entries, of, "hung")) {
    const forMs = Number(values["forMs"]);
    if (stood.touches(process, atMs - forMs, atMs, lateMaxMs)) continue;
    rule.check(
      forMs <= holdMaxMs + lateMaxMs,
      () => `${resource}: ${process} kept ${String(values["token"])} for ${forMs.toFixed(0)} ms`,
    );
  }
  return rule.verdict;
}

/** How many grants began while an earlier holder had neither released nor been told: expected under pauses. */
export function overlapsIn(round: RoundRecord): number {
  const ended = new Map<string, number>();
  for (const { resource, values, atMs } of notesOf(round.entries, scenario, "told"))
    ended.set(`${resource} ${String(values["token"])}`, atMs);
  const grants = round.operations.filter(
    (each) => each.scenario === scenario && each.call === "acquire" && each.outcome === "ok",
  );
  let overlaps = 0;
  for (const [name, ofLock] of Map.groupBy(grants, ({ resource }) => resource)) {
    const order = ofLock.toSorted((one, other) => tokenOf(one) - tokenOf(other));
    for (const [index, grant] of order.entries()) {
      const next = order[index + 1];
      const endMs = ended.get(`${name} ${tokenOf(grant)}`) ?? Number.POSITIVE_INFINITY;
      if (next !== undefined && endMs > next.answeredAtMs) overlaps += 1;
    }
  }
  return overlaps;
}

/** Checks the locks of a round. */
export function checkLock(round: RoundRecord): Verdict[] {
  const findings = round.findings[scenario] as LockFindings | undefined;
  const calls = round.operations.filter((each) => each.scenario === scenario);
  const grants = calls.filter(({ call, outcome }) => call === "acquire" && outcome === "ok");
  const accepted = calls.filter(({ call, outcome }) => call === "append" && outcome === "ok");
  const after = grants.filter(({ answeredAtMs }) => answeredAtMs > round.calmAtMs);
  return [
    enough(scenario, {
      "locks granted": [grants.length, 40],
      "writes accepted": [accepted.length, 40],
      "locks granted after the healing": [after.length, 4],
      "holders that hung": [notesOf(round.entries, scenario, "hung").length, 1],
    }),
    ...tokensRise(grants),
    ...tokensAreTimes(round, grants),
    ...resourceRefuses(round, findings ?? { logs: {}, counts: {} }),
    ...nobodyIsRefusedForNothing(round, findings ?? { logs: {}, counts: {} }),
    ...nothingIsUnknownWithoutFaults(round),
    ...nothingIsTaken(round),
    ...holdersAreTold(round, grants),
    hangingEnds(round),
  ];
}
