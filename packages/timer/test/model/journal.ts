/** What happened in one run of the model test, in the order of this process, and what T1 to T6 and T9 say about it. */
import type { CancelResult, Firing, ScheduleResult } from "../../src/index.ts";

/** One thing that happened. */
export type Entry =
  | { readonly type: "set"; readonly id: string; readonly result: ScheduleResult; readonly askedUs: number }
  | { readonly type: "superseded"; readonly id: string }
  | { readonly type: "buried"; readonly id: string; readonly generation: number; readonly attempts: number }
  | {
      readonly type: "cancelled";
      readonly id: string;
      readonly kind: CancelResult["kind"];
      readonly answeredUs: number;
    }
  | {
      readonly type: "started";
      readonly id: string;
      readonly generation: number;
      readonly token: number;
      readonly attempt: number;
      readonly latenessMs: number;
      readonly dueAtMs: number;
    };

/** The journal of a run. */
export class Journal {
  readonly entries: Entry[] = [];

  set(id: string, result: ScheduleResult, askedUs: number): void {
    this.entries.push({ type: "set", id, result, askedUs });
  }

  superseded(id: string): void {
    this.entries.push({ type: "superseded", id });
  }

  /** Found among the dead letters. */
  buried(id: string, generation: number, attempts: number): void {
    this.entries.push({ type: "buried", id, generation, attempts });
  }

  cancelled(id: string, kind: CancelResult["kind"]): void {
    this.entries.push({ type: "cancelled", id, kind, answeredUs: Date.now() * 1_000 + 1_000 });
  }

  started(firing: Firing<unknown>): void {
    const { id, generation, token, attempt, latenessMs, dueAtMs } = firing;
    this.entries.push({ type: "started", id, generation, token, attempt, latenessMs, dueAtMs });
  }
}

/** An id as the model sees it. */
interface Id {
  /** Generations that must still fire. */
  readonly owed: Set<number>;
  /** Generations that must not start any more: replaced before they began. */
  readonly revoked: Set<number>;
  /** No claim later than this may deliver a generation that was known then. */
  cancelledUs: number;
  /** Highest generation when it was cancelled, in whatever way. */
  cancelledGeneration: number;
  cancelKind: CancelResult["kind"] | undefined;
  generation: number;
  token: number;
  startedGeneration: number;
  readonly known: Set<number>;
  readonly started: Set<number>;
  /** Generations that were set while another was running. */
  readonly following: Set<number>;
}

/** Violations of the invariants in a journal; empty when there is none. */
export function violations(entries: readonly Entry[], attemptsMax: number): string[] {
  const found: string[] = [];
  const ids = new Map<string, Id>();
  const all = new Set(
    entries.flatMap((entry) => (entry.type === "set" ? [`${entry.id} ${entry.result.generation}`] : [])),
  );
  const of = (name: string): Id => {
    let id = ids.get(name);
    if (id === undefined) {
      id = {
        owed: new Set(),
        revoked: new Set(),
        cancelledUs: Infinity,
        cancelledGeneration: 0,
        cancelKind: undefined,
        generation: 0,
        token: 0,
        startedGeneration: 0,
        known: new Set(),
        started: new Set(),
        following: new Set(),
      };
      ids.set(name, id);
    }
    return id;
  };
  for (const entry of entries) {
    const id = of(entry.id);
    if (entry.type === "set") {
      const { kind, generation } = entry.result;
      if (kind === "kept") {
        if (!id.known.has(generation)) found.push(`T9 ${entry.id}: kept ${generation}, which nobody scheduled`);
        if (generation <= id.cancelledGeneration) found.push(`T5 ${entry.id}: kept ${generation}, which was cancelled`);
        continue;
      }
      if (generation <= id.generation) found.push(`T4 ${entry.id}: generation ${generation} after ${id.generation}`);
      if (kind === "scheduled" && id.owed.size > 0) {
        found.push(`T2 ${entry.id}: scheduled anew, although ${[...id.owed].join()} has not fired`);
      }
      if (kind === "replaced") {
        for (const one of id.known) {
          id.revoked.add(one);
          id.owed.delete(one);
        }
      }
      // The running generation stays owed; an older one that was to follow it may have been replaced.
      if (kind === "firing") {
        for (const one of id.following) id.owed.delete(one);
        id.following.add(generation);
      }
      id.generation = generation;
      id.known.add(generation);
      // Its firing may have been quicker than the answer.
      if (!id.started.has(generation)) id.owed.add(generation);
    } else if (entry.type === "cancelled") {
      id.owed.clear();
      id.cancelledGeneration = id.generation;
      id.cancelledUs = entry.answeredUs;
      id.cancelKind = entry.kind;
    } else if (entry.type === "buried") {
      // Its starts were on record, and each process stood still for longer than the lease before the handler could run.
      if (entry.attempts < attemptsMax) found.push(`T6 ${entry.id}: buried after ${entry.attempts} attempts`);
      id.owed.delete(entry.generation);
    } else if (entry.type === "started") {
      const name = `${entry.id} generation ${entry.generation} token ${entry.token} attempt ${entry.attempt}`;
      if (entry.latenessMs < 0) found.push(`T1 ${name}: early by ${-entry.latenessMs} ms`);
      if (!all.has(`${entry.id} ${entry.generation}`)) found.push(`T9 ${name}: nobody scheduled that`);
      if (entry.token <= id.token) found.push(`T3 ${name}: started after token ${id.token}`);
      if (entry.generation < id.startedGeneration)
        found.push(`T4 ${name}: started after generation ${id.startedGeneration}`);
      if (id.revoked.has(entry.generation)) found.push(`T9 ${name}: had been replaced before it began`);
      if (entry.generation <= id.cancelledGeneration) {
        if (id.cancelKind !== "firing") found.push(`T5 ${name}: started after ${String(id.cancelKind)}`);
        else if (entry.token > id.cancelledUs) found.push(`T5 ${name}: claimed after cancel had answered firing`);
      }
      if (entry.attempt > attemptsMax) found.push(`T6 ${name}: more than ${attemptsMax} attempts`);
      id.token = Math.max(id.token, entry.token);
      id.startedGeneration = Math.max(id.startedGeneration, entry.generation);
      id.started.add(entry.generation);
      id.owed.delete(entry.generation);
    }
  }
  for (const [name, { owed }] of ids)
    for (const generation of owed) found.push(`T2 ${name}: generation ${generation} never fired`);
  return found;
}
