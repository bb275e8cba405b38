/** Which scope's code was entered last, for the watch of the event loop: one variable, written at each entry while anybody watches. */

interface Entered {
  readonly path: string;
}

let entered: Entered | undefined;
let watches = 0;

/** Has entries noted. Returns what ends that. */
export function watchEntries(): () => void {
  watches += 1;
  return () => {
    watches -= 1;
    // A scope that has ended is not kept for it.
    if (watches === 0) entered = undefined;
  };
}

/** Notes that the code of a scope or fork begins to run. */
export function noteEntry(owner: Entered): void {
  if (watches > 0) entered = owner;
}

/** The path of the last entry since `clearEntry`. */
export function lastEntry(): string | undefined {
  return entered?.path;
}

/** Forgets the entry: another callback begins. */
export function clearEntry(): void {
  entered = undefined;
}
