/** A garbage collection that takes long: a heap of small objects that all live, and collections of all of it, one after the other. */

interface Link {
  readonly before: Link | undefined;
  readonly label: string;
}

const linksMax = 1_500_000;

/** Keeps the process in the collector for so long, in milliseconds. Needs `--expose-gc`. */
export function collectFor(ms: number): void {
  const untilMs = performance.now() + ms;
  let chain: Link | undefined;
  for (let count = 0; count < linksMax && performance.now() < untilMs; count += 1)
    chain = { before: chain, label: `link ${count}` };
  while (performance.now() < untilMs) globalThis.gc?.();
  // Read once more, so that nothing of it was garbage before.
  if (chain?.label === "") throw new Error("there is no such link");
}
