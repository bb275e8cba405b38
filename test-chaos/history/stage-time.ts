/** Owns the time of a schedule: that of the machine, and what the schedule let pass. Without a schedule it is that of the machine. */
import { notesOf } from "./operation.ts";
import type { Note } from "./operation.ts";
import type { RoundRecord } from "./record.ts";

/**
 * What leaves every actor free to act at once: a reply that was lost is asked for again, a repeat says nothing new, a poll finds what no
 * hint told, and what is due is delivered without memory, too.
 */
const gentle: ReadonlySet<string> = new Set(["lose", "twice", "hush", "full", "room"]);

/** The time on the stage of one history. */
export class StageTime {
  /** Whether it is the history of a schedule in which nobody stood still, ended or waited for the network. */
  readonly isGentle: boolean;
  /** Whether it is the history of a schedule at all. */
  readonly isStaged: boolean;
  private readonly advances: readonly Note[];

  constructor(round: RoundRecord, scenario: string) {
    this.advances = notesOf(round.entries, scenario, "advanced");
    this.isStaged = this.advances.length > 0;
    this.isGentle = this.isStaged && round.faults.every(({ nemesis }) => gentle.has(nemesis));
  }

  /** A time of the machine as one of the stage. */
  at(atMs: number): number {
    return this.advances.reduce(
      (sum, advance) => (advance.atMs <= atMs ? sum + Number(advance.values["ms"]) : sum),
      atMs,
    );
  }

  /** How often time was advanced before this, from a time of the stage on. */
  advancesSince(fromMs: number, note: Note): number {
    return this.advances.filter(({ atMs }) => atMs <= note.atMs && this.at(atMs) > fromMs).length;
  }
}
