/**
 * Key names of a timer, and which shard an id belongs to. Everything of one shard shares a hash tag, hence one Cluster slot; the shards
 * of one timer lie in different slots.
 */
import { keySpace } from "@holdfast/core";

/** The keys of one shard, by the names that the scripts give them. */
export interface ShardKeys {
  /** ZSET: timer id → deadline, or end of lease, in microseconds. */
  readonly due: string;
  /** HASH: timer id → record. */
  readonly data: string;
  /** HASH: timer id → note, for the few that crashed, were retried, extended or cancelled while leased. */
  readonly notes: string;
  /** HASH: timer id → the generation that follows the running one. */
  readonly later: string;
  /** HASH: layout, floor of tokens, counters. */
  readonly state: string;
  /** HASH: what has just ended. */
  readonly memoryA: string;
  /** HASH: the same, in turn. */
  readonly memoryB: string;
  /** ZSET: timer id → time of its burial in microseconds. */
  readonly dead: string;
  /** HASH: timer id → attempts, error, record. */
  readonly deadData: string;
  /** Channel of hints for sleeping workers. */
  readonly wake: string;
}

/** The keys of a shard. Shard 0 has the same keys whatever the number of shards: what is agreed on stands there. */
export function shardKeys(prefix: string, name: string, shard: number): ShardKeys {
  // A slash cannot be typed into the primitive by a caller, so no two timers share a tag.
  const space = keySpace(prefix, shard === 0 ? "timer" : `timer/${shard}`, name);
  return {
    due: space.key("due"),
    data: space.key("data"),
    notes: space.key("notes"),
    later: space.key("later"),
    state: space.key("state"),
    memoryA: space.key("memory:a"),
    memoryB: space.key("memory:b"),
    dead: space.key("dead"),
    deadData: space.key("dead:data"),
    wake: space.key("wake"),
  };
}

const fnvOffset = 2_166_136_261;
const fnvPrime = 16_777_619;

/** The shard of an id: FNV-1a over its bytes, the same in every process and version. */
export function shardOf(id: string, shards: number): number {
  if (shards === 1) return 0;
  let hash = fnvOffset;
  for (const byte of Buffer.from(id)) hash = Math.imul(hash ^ byte, fnvPrime);
  return (hash >>> 0) % shards;
}

/** The name under which guards know a timer: `timer:payment-timeout:order-1`. A colon in the timer's name is escaped, as no two timers may share it. */
export function resourceOf(name: string, id: string): string {
  return `timer:${name.replace(/[%:]/gu, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)}:${id}`;
}
