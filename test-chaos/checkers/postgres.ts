/** What a database has to say about a history: fences, keys that commit with their effect, and the outbox. */
import { notesOf } from "../history/operation.ts";
import type { Operation } from "../history/operation.ts";
import type { RoundRecord } from "../history/record.ts";
import type { PostgresFindings } from "../scenarios/postgres.ts";
import { enough, Rule } from "./verdict.ts";
import type { Verdict } from "./verdict.ts";

const scenario = "postgres";

function fences(calls: readonly Operation[], { logs, counts }: PostgresFindings): Verdict[] {
  const falling = new Rule(scenario, "P1 what was committed has tokens that never fall");
  const updates = new Rule(scenario, "P1 no update is lost: the counter equals the writes");
  const answers = new Rule(scenario, "P1 a write that was confirmed is there, one that was refused is not");
  for (const [name, log] of Object.entries(logs)) {
    let highest = 0;
    for (const { token, operation } of log) {
      const before = highest;
      falling.check(token >= before, () => `${name}: ${operation} with token ${token} after ${before}`);
      highest = Math.max(highest, token);
    }
    updates.check(
      counts[name] === log.length,
      () => `${name}: the counter says ${counts[name]}, ${log.length} were written`,
    );
    const there = new Set(log.map(({ operation }) => operation));
    for (const { call, resource, id, outcome } of calls) {
      if (call !== "write" || resource !== name || outcome === "unknown") continue;
      answers.check(there.has(id) === (outcome === "ok"), () => `${name}: ${id} was answered ${outcome}`);
    }
  }
  return [falling.verdict, updates.verdict, answers.verdict];
}

function keys(calls: readonly Operation[], { effects }: PostgresFindings): Verdict[] {
  const once = new Rule(scenario, "P3 a key has one effect at most");
  const equal = new Rule(scenario, "P3 the answer is what was committed");
  const byKey = Map.groupBy(effects, ({ key }) => key);
  for (const [key, ofKey] of byKey) once.check(ofKey.length === 1, () => `${key}: ${ofKey.length} effects`);
  for (const { call, resource, outcome, answer, process } of calls) {
    if (call !== "pay" || outcome !== "ok") continue;
    const stored = byKey.get(resource)?.[0]?.reminder;
    equal.check(
      answer["value"] === stored,
      () => `${resource}: ${process} heard ${String(answer["value"])}, ${stored} is stored`,
    );
  }
  return [once.verdict, equal.verdict];
}

function reminders(round: RoundRecord, { effects, outboxRows }: PostgresFindings): Verdict[] {
  const told = new Rule(scenario, "P4 what was committed is told to the timer");
  const fired = new Rule(scenario, "P4 what was committed fires");
  const phantom = new Rule(scenario, "P4 what was rolled back never fires");
  const wanted = new Set(effects.map(({ reminder }) => reminder));
  const seen = new Set(notesOf(round.entries, scenario, "fired").map(({ resource }) => resource));
  told.check(outboxRows === 0, () => `${outboxRows} rows are still in the outbox`);
  for (const reminder of seen)
    phantom.check(wanted.has(reminder), () => `${reminder} fired, and its transaction did not commit`);
  // A timer that Redis forgot is the caller's to reconcile.
  if (!round.conditions.forgets)
    for (const reminder of wanted) fired.check(seen.has(reminder), () => `${reminder} was committed and never fired`);
  return [told.verdict, fired.verdict, phantom.verdict];
}

/** Checks the database of a round. */
export function checkPostgres(round: RoundRecord): Verdict[] {
  const none: PostgresFindings = { logs: {}, counts: {}, effects: [], outboxRows: -1 };
  const findings = (round.findings[scenario] as PostgresFindings | undefined) ?? none;
  const calls = round.operations.filter((each) => each.scenario === scenario);
  const after = calls.filter(({ outcome, askedAtMs }) => outcome === "ok" && askedAtMs > round.calmAtMs);
  return [
    enough(scenario, {
      "writes under a lock": [Object.values(findings.logs).flat().length, 20],
      "effects under a key": [findings.effects.length, 20],
      "reminders fired": [notesOf(round.entries, scenario, "fired").length, 15],
      "calls answered after the healing": [after.length, 5],
    }),
    ...fences(calls, findings),
    ...keys(calls, findings),
    ...reminders(round, findings),
  ];
}
