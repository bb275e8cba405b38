/** What was thrown: anything may be, also what has no text or no properties, and whoever tells of it must not fail for that. */

/** Reads a property of anything that may have been thrown; undefined where there is none. */
export function propertyOf(thrown: unknown, name: string): unknown {
  return typeof thrown === "object" && thrown !== null ? (thrown as Record<string, unknown>)[name] : undefined;
}

/** The HTTP statuses of an answer, of an error that is one, or of what holds one as `response`: clients say `status` or `statusCode`. */
export function httpStatusesOf(value: unknown): number[] {
  const holders = [value, propertyOf(value, "response")];
  const said = holders.flatMap((holder) => [propertyOf(holder, "status"), propertyOf(holder, "statusCode")]);
  return said.filter((status) => typeof status === "number");
}

/** Whether an error says itself that what failed with it had no effect. */
export function saysNoEffect(thrown: unknown): boolean {
  return propertyOf(thrown, "effect") === "none";
}

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
