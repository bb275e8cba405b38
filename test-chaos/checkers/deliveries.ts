/** What the rules of timers look at. */
import type { Note } from "../history/operation.ts";

/** What was delivered, in all and by timer. */
export interface Deliveries {
  readonly delivered: readonly Note[];
  readonly byId: ReadonlyMap<string, readonly Note[]>;
}

/** A field of a note that is a number. */
export function number(note: Note, field: string): number {
  return Number(note.values[field]);
}
