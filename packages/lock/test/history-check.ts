/** Says whether the history of a run is one that the guarantees allow. Reads what happened; starts nothing. */
import type { HistoryEntry } from "@holdfast/testkit";
import type { HistoryEvent } from "./history-event.ts";

/** What was written down. */
export type Entry = HistoryEntry<HistoryEvent>;

/** What the processes of one run wrote down, and what the guarded resource holds afterwards. */
export interface RunHistory {
  readonly entries: readonly Entry[];
  /** By lock, what the resource took, in order: token and operation id. */
  readonly logs: ReadonlyMap<string, readonly string[]>;
  /** By lock, the counter that each increment raised. */
  readonly counts: ReadonlyMap<string, number>;
}

/** The entries of some kinds. */
export function entriesOf<Kind extends HistoryEvent["kind"]>(
  { entries }: Pick<RunHistory, "entries">,
  ...kinds: Kind[]
): Extract<Entry, { kind: Kind }>[] {
  const wanted: readonly string[] = kinds;
  return entries.filter(({ kind }) => wanted.includes(kind)) as Extract<Entry, { kind: Kind }>[];
}

function byName<Item extends { readonly name: string }>(items: readonly Item[]): Map<string, Item[]> {
  return Map.groupBy(items, ({ name }) => name);
}

/** Writes that began and have no end: their process was killed. */
export function cutOff(run: RunHistory): Extract<Entry, { kind: "writing" }>[] {
  const ended = new Set(entriesOf(run, "accepted", "refused", "unknown").map(({ operationId }) => operationId));
  return entriesOf(run, "writing").filter(({ operationId }) => !ended.has(operationId));
}

/** Locks on which a fault met a holder: a write was refused, cut off, or its answer lost for good. */
export function locksHit(run: RunHistory): Set<string> {
  return new Set([...cutOff(run), ...entriesOf(run, "refused", "unknown")].map(({ name }) => name));
}

/** L1: tokens are unique, and a grant that was asked for after another was answered has the higher one. */
export function tokenViolations(run: RunHistory): string[] {
  const found: string[] = [];
  for (const [name, grants] of byName(entriesOf(run, "granted"))) {
    if (new Set(grants.map(({ token }) => token)).size < grants.length)
      found.push(`${name}: a token was granted twice`);
    const asked = grants.toSorted((one, other) => one.askedAtMs - other.askedAtMs);
    const answered = grants.toSorted((one, other) => one.atMs - other.atMs);
    let highest = 0;
    let next = 0;
    for (const grant of asked) {
      for (; next < answered.length && (answered[next]?.atMs ?? 0) < grant.askedAtMs; next += 1) {
        highest = Math.max(highest, answered[next]?.token ?? 0);
      }
      if (grant.token <= highest) found.push(`${name}: ${grant.token} after ${highest}`);
    }
  }
  return found;
}

/** L5: what the resource took has tokens that never go down, and nothing that it refused is in it. */
export function staleWrites(run: RunHistory): string[] {
  const found: string[] = [];
  const refused = new Set(entriesOf(run, "refused").map(({ operationId }) => operationId));
  for (const [name, log] of run.logs) {
    let highest = 0;
    for (const entry of log) {
      const [token, operationId = ""] = entry.split(" ");
      if (Number(token) < highest) found.push(`${name}: ${entry} after ${highest}`);
      if (refused.has(operationId)) found.push(`${name}: ${entry} was refused`);
      highest = Math.max(highest, Number(token));
    }
  }
  return found;
}

/** L3: the counter equals the increments that were taken, each once; those that were answered are among them, and the others had begun. */
export function counterViolations(run: RunHistory): string[] {
  const found: string[] = [];
  const accepted = byName(entriesOf(run, "accepted"));
  const writing = byName(entriesOf(run, "writing"));
  for (const [name, log] of run.logs) {
    const applied = log.map((entry) => entry.split(" ")[1] ?? "");
    const once = new Set(applied);
    if (once.size < applied.length) found.push(`${name}: an increment was applied twice`);
    if (run.counts.get(name) !== applied.length) {
      found.push(`${name}: the counter is ${run.counts.get(name)} after ${applied.length} increments`);
    }
    const known = new Set((accepted.get(name) ?? []).map(({ operationId }) => operationId));
    for (const id of known) if (!once.has(id)) found.push(`${name}: ${id} was accepted and is lost`);
    const begun = new Set((writing.get(name) ?? []).map(({ operationId }) => operationId));
    for (const id of once) if (!begun.has(id)) found.push(`${name}: ${id} was applied and nobody wrote it`);
  }
  return found;
}
