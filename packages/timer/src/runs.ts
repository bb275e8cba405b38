/** Neighbours in a list that share a value, which is sent once for all of them. */

/**
 * Cuts a list where the shared value changes.
 * @returns the value and its items, in the list's order
 */
export function runsOf<Item>(
  items: readonly Item[],
  sharedOf: (item: Item) => string,
): (readonly [shared: string, items: readonly Item[]])[] {
  const runs: (readonly [string, readonly Item[]])[] = [];
  for (let from = 0, to = 0; from < items.length; from = to) {
    const shared = sharedOf(items[from] as Item);
    while (to < items.length && sharedOf(items[to] as Item) === shared) to += 1;
    runs.push([shared, items.slice(from, to)]);
  }
  return runs;
}
