/** How scheduleMany is cut into scripts, one after the other: the first are on their way while the rest is still looked at. */
import type { ScheduleItem } from "./schedule-request.ts";

/** Timers in one script: few enough for others to be served in between. */
export const bulkMax = 250;

/** Items for one script, no id twice. */
export interface Chunk {
  readonly items: readonly ScheduleItem[];
  /** Where each stands in the list of the caller. */
  readonly indexes: readonly number[];
  /** An id of it stood in an earlier chunk, and must not overtake it. */
  readonly repeats: boolean;
}

/**
 * Cuts the items of one shard.
 * @param indexes those of the shard's items
 * @param isNamed whether the caller has named the operation of an item; of the others, the second and later for one id are told apart
 */
export function* chunksOf(
  items: readonly ScheduleItem[],
  indexes: readonly number[],
  isNamed: (index: number) => boolean,
): Generator<Chunk> {
  const ids = new Set<string>();
  const repeatsById = new Map<string, number>();
  let chunk = { items: [] as ScheduleItem[], indexes: [] as number[], repeats: false };
  for (const index of indexes) {
    let item = items[index] as ScheduleItem;
    const { id } = item;
    const known = ids.size;
    const isNew = ids.add(id).size > known;
    if (chunk.items.length === bulkMax || (!isNew && chunk.items.some((one) => one.id === id))) {
      yield chunk;
      chunk = { items: [], indexes: [], repeats: false };
    }
    if (!isNew) {
      chunk.repeats = true;
      const repeat = (repeatsById.get(id) ?? 0) + 1;
      repeatsById.set(id, repeat);
      if (!isNamed(index)) item = { ...item, operationId: `${item.operationId}.${repeat}` };
    }
    chunk.items.push(item);
    chunk.indexes.push(index);
  }
  if (chunk.items.length > 0) yield chunk;
}
