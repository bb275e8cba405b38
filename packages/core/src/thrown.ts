/** What was thrown, as text. Anything may be thrown, also what has no text, and whoever tells of it must not fail for that. */

/** Name and message of an error, or the value as text. Never throws. */
export function wordsOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  } catch {
    return `a thrown ${typeof thrown} that has no text`;
  }
}

/** Tells of what an observer has thrown, as a warning of the process. Never throws. */
export function warn(thrown: unknown): void {
  let hasText = false;
  try {
    hasText = thrown instanceof Error && typeof thrown.message === "string" && typeof thrown.name === "string";
  } catch {
    // Then its words say so.
  }
  process.emitWarning(hasText ? (thrown as Error) : wordsOf(thrown));
}
