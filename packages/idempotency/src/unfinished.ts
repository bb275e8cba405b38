/**
 * The list of unfinished keys. The index shares a key's slot and changes in the same step as its record, so it is exact, but for keys whose
 * record Redis has dropped: those are noticed here and taken out.
 */
import { decodeMember, shardCount } from "./keys.ts";
import type { IndexPlace, KeyLayout } from "./keys.ts";
import { keyStateOf } from "./key-state.ts";
import type { KeyState } from "./key-state.ts";
import type { IndexEntry } from "./scripts.ts";
import type { AttemptStore } from "./store.ts";

const pageMax = 100;
/** Shards that are asked at the same time, two questions each: two full pipelines. */
const shardsAtOnce = 16;

/** All entries of one index, page by page; entries of the page before that share its last start are left out. */
async function* entriesOf(store: AttemptStore, index: string, olderThanMs: number): AsyncGenerator<IndexEntry> {
  let fromUs = 0;
  let seen = new Set<string>();
  for (;;) {
    const countMax = pageMax + seen.size;
    const page = await store.list(index, fromUs, olderThanMs, countMax);
    for (const entry of page) if (entry.startedUs !== fromUs || !seen.has(entry.member)) yield entry;
    const last = page.at(-1);
    if (last === undefined || page.length < countMax) return;
    const same = page.filter(({ startedUs }) => startedUs === last.startedUs).map(({ member }) => member);
    seen = last.startedUs === fromUs ? new Set([...seen, ...same]) : new Set(same);
    fromUs = last.startedUs;
  }
}

async function firstPages(store: AttemptStore, indexes: readonly string[], olderThanMs: number): Promise<string[]> {
  const pages = await Promise.all(indexes.map((index) => store.list(index, 0, olderThanMs, 1)));
  return indexes.filter((_, position) => (pages[position]?.length ?? 0) > 0);
}

async function stateOf(
  store: AttemptStore,
  layout: KeyLayout,
  place: IndexPlace,
  member: string,
): Promise<KeyState | null> {
  const at = layout.place(decodeMember(member));
  const record = await store.inspect(at);
  if (record === null) {
    await store.prune(at, place);
    return null;
  }
  return keyStateOf(at, record);
}

/** @param olderThanMs only attempts that started at least this long ago */
export async function* unfinishedKeys(
  store: AttemptStore,
  layout: KeyLayout,
  olderThanMs: number,
): AsyncGenerator<KeyState, void, undefined> {
  for (let first = 0; first < shardCount; first += shardsAtOnce) {
    const places = Array.from({ length: shardsAtOnce }, (_, offset) => layout.index(first + offset));
    const used = await firstPages(
      store,
      places.flatMap(({ recovering, held }) => [recovering, held]),
      olderThanMs,
    );
    for (const place of places) {
      const seen = new Set<string>();
      for (const index of [place.recovering, place.held].filter((index) => used.includes(index))) {
        for await (const { member } of entriesOf(store, index, olderThanMs)) {
          if (seen.has(member)) continue;
          seen.add(member);
          const state = await stateOf(store, layout, place, member);
          if (state !== null && ["running", "lapsed", "unknown"].includes(state.kind)) yield state;
        }
      }
    }
  }
}
