/** Which scope's code was entered last, for the watch of the event loop: one variable, written at each entry. */

interface Entered {
  readonly path: string;
}

let entered: Entered | undefined;

/** Notes that the code of a scope or fork begins to run. */
export function noteEntry(owner: Entered): void {
  entered = owner;
}

/** The path of the last entry since `clearEntry`. */
export function lastEntry(): string | undefined {
  return entered?.path;
}

/** Forgets the entry: another callback begins. */
export function clearEntry(): void {
  entered = undefined;
}
