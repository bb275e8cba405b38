/** The turns of one batch: of what has one id, each waits for the one before it. */
import { nextStartMs } from "@holdfast/core";
import type { ResolvedTimerOptions } from "./options.ts";

type TurnOptions = Pick<ResolvedTimerOptions<unknown>, "clock" | "durability">;

/** Items cut so that no id is twice in a part. */
function partsOf<Item extends { readonly id: string }>(items: readonly Item[]): Item[][] {
  const ids = new Set<string>();
  let part: Item[] = [];
  const parts = [part];
  for (const item of items) {
    if (ids.has(item.id)) {
      ids.clear();
      part = [];
      parts.push(part);
    }
    ids.add(item.id);
    part.push(item);
  }
  return parts;
}

/**
 * Sends items so that no script sees an id twice, each part after the one before it. What has failed fails what would have come after it,
 * which is not sent; what went before has its answers (K1). What no replica has confirmed is done, or refused, and the next part may follow.
 * @param send gets a part, and of a later one when its time began: that of all parts is the time of one call, or the last callers would wait
 *   for as often as there are parts
 */
export async function inOrderOnce<Item extends { readonly id: string }>(
  items: readonly Item[],
  options: TurnOptions,
  send: (part: readonly Item[], startMs: number | undefined) => Promise<readonly (string | Error)[]>,
): Promise<readonly (string | Error)[]> {
  const parts = partsOf(items);
  if (parts.length === 1) return send(items, undefined);
  const answers: (string | Error)[] = [];
  let failure: Error | undefined;
  let startMs = options.clock.monotonicMs();
  for (const part of parts) {
    if (failure !== undefined) {
      for (const _ of part) answers.push(failure);
      continue;
    }
    try {
      answers.push(...(await send(part, startMs)));
    } catch (error) {
      for (const _ of part) answers.push(error as Error);
      failure = error as Error;
    }
    startMs = nextStartMs(startMs, options);
  }
  return answers;
}
