/**
 * The numbered guarantees of every package. Each id stands in the title of a test of its package; a tidy test holds that.
 */

function ids(letter: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${letter}${index + 1}`);
}

/** Ids by package folder. */
export const invariants: Readonly<Record<string, readonly string[]>> = {
  core: ids("K", 8),
  lock: ids("L", 8),
  timer: ids("T", 11),
  scheduler: ids("C", 5),
  idempotency: ids("I", 9),
  inventory: ids("V", 9),
  bulkhead: ids("B", 8),
  scope: ids("S", 5),
  postgres: ids("P", 5),
};
