/** Owns how the two ends of a call are put together: what was asked, what was answered, and what was never answered. */
import type { ChaosEntry, Noted, Outcome, Values } from "./event.ts";
import type { HistoryEntry } from "@holdfast/testkit";

/** One call from its beginning to its end. */
export interface Operation {
  readonly scenario: string;
  readonly call: string;
  readonly resource: string;
  /** The operation id: the same for a call and its repeats. */
  readonly id: string;
  readonly process: string;
  readonly askedAtMs: number;
  /** Infinity when nobody lived to see it. */
  readonly answeredAtMs: number;
  readonly outcome: Outcome;
  readonly asked: Values;
  readonly answer: Values;
}

/** All calls, in the order in which they were asked. */
export function operationsOf(entries: readonly ChaosEntry[]): Operation[] {
  const answers = new Map<string, ChaosEntry>();
  for (const entry of entries) {
    if (entry.kind === "ok" || entry.kind === "refused" || entry.kind === "unknown")
      answers.set(`${entry.process} ${entry.turn}`, entry);
  }
  return entries.flatMap((entry): Operation[] => {
    if (entry.kind !== "asked") return [];
    const answer = answers.get(`${entry.process} ${entry.turn}`);
    const ended = answer !== undefined && "turn" in answer && answer.kind !== "asked" ? answer : undefined;
    return [
      {
        scenario: entry.scenario,
        call: entry.call,
        resource: entry.resource,
        id: entry.operation,
        process: entry.process,
        askedAtMs: entry.atMs,
        answeredAtMs: ended?.atMs ?? Number.POSITIVE_INFINITY,
        outcome: ended?.kind ?? "unknown",
        asked: entry.values,
        answer: ended?.values ?? {},
      },
    ];
  });
}

/** A note with its time and its process. */
export type Note = HistoryEntry<Noted>;

/** The notes of a scenario. */
export function notesOf(entries: readonly ChaosEntry[], scenario: string, what: string): Note[] {
  return entries.filter(
    (entry): entry is Note => entry.kind === "noted" && entry.scenario === scenario && entry.what === what,
  );
}
