/** Timers and their numbers as a caller sees them. */
import { decodeRecord } from "./record.ts";
import type { FoundTimer, ShardStats } from "./scripts.ts";

/** A timer that is pending or firing. */
export interface StoredTimer<Payload> {
  readonly id: string;
  /** `firing`: a worker has it, or had it and vanished. */
  readonly state: "pending" | "firing";
  readonly payload: Payload;
  /** When it is due, or was when it began to fire; epoch milliseconds on the server's clock. */
  readonly dueAtMs: number;
  readonly generation: number;
  /** Attempts that have begun and are on record. */
  readonly attempts: number;
  /** Scheduled while it fires: what follows. */
  readonly next: { readonly dueAtMs: number; readonly generation: number } | null;
}

/** Numbers of one timer. */
export interface TimerStats {
  /** Not leased: due or to come. */
  readonly pending: number;
  /** Could be claimed now; leases that have just ended are among them. */
  readonly due: number;
  readonly leased: number;
  readonly dead: number;
  /** Deadline of the oldest that is due or leased past its lease, in epoch milliseconds on the server's clock; null when none is due. */
  readonly oldestDueAtMs: number | null;
  /** Server time minus `oldestDueAtMs`; 0 when none is due. */
  readonly lagMs: number;
}

/** Decodes what get found. */
export function storedTimer<Payload>(
  id: string,
  found: FoundTimer,
  decode: (payloadText: string) => Payload,
): StoredTimer<Payload> {
  const record = decodeRecord(found.record);
  const scoreUs = Number(found.score);
  const firing = scoreUs % 1_000 !== 0;
  const next = found.following === null ? null : decodeRecord(found.following.slice(found.following.indexOf(" ") + 1));
  return {
    id,
    state: firing ? "firing" : "pending",
    payload: decode(record?.payloadText ?? ""),
    dueAtMs: firing ? (record?.dueAtMs ?? 0) : scoreUs / 1_000,
    generation: record?.generation ?? 0,
    attempts: found.note === null ? 0 : Number(found.note.slice(0, 4)),
    next: next === null ? null : { dueAtMs: next.dueAtMs, generation: next.generation },
  };
}

/** Adds up the numbers of all shards. */
export function totalStats(shards: readonly ShardStats[]): TimerStats {
  let [pending, due, leased, dead] = [0, 0, 0, 0];
  let oldestDueAtMs: number | null = null;
  let lagMs = 0;
  for (const shard of shards) {
    pending += shard.total - shard.leased;
    due += shard.due;
    leased += shard.leased;
    dead += shard.dead;
    if (shard.due === 0 || shard.firstUs === undefined) continue;
    const firstMs = Math.floor(shard.firstUs / 1_000);
    oldestDueAtMs = Math.min(oldestDueAtMs ?? Infinity, firstMs);
    lagMs = Math.max(lagMs, shard.nowUs / 1_000 - firstMs);
  }
  return { pending, due, leased, dead, oldestDueAtMs, lagMs };
}
