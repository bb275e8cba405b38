/** One row of the outbox on its way: what it tells the timer, and what the timer's answer means for it. */
import { HoldfastError } from "@holdfast/core";

/** A timer as the relay needs it; `DurableTimer` of @holdfast/timer is one. */
export interface OutboxTimer<Payload> {
  readonly name: string;
  /** A repeat under the same operation id, within the time that the timer remembers it, must change nothing. */
  schedule(request: {
    readonly id: string;
    readonly afterMs: number;
    readonly payload: Payload;
    readonly ifExists: "replace";
    readonly operationId: string;
  }): Promise<unknown>;
  cancel(id: string, options: { readonly operationId: string }): Promise<unknown>;
}

/** A claimed row. */
export interface OutboxRow {
  readonly sequence: string;
  readonly id: string;
  readonly action: "schedule" | "cancel";
  /** What was left at the claim, on PostgreSQL's clock, in milliseconds. */
  readonly remainingMs: number;
  readonly payload: string | null;
  readonly operation: string;
  readonly attempts: number;
  readonly lagMs: number;
}

/**
 * What became of a row. `relayed`: the timer has it. `later`: nothing is known to be wrong with it, Redis is. `postponed`: the timer refused
 * it for now. `dead`: it will refuse it for ever.
 */
export type Relayed = { readonly kind: "relayed"; readonly row: OutboxRow } | Unrelayed;

/** A row that the timer does not have yet. */
export interface Unrelayed {
  readonly kind: "later" | "postponed" | "dead";
  readonly row: OutboxRow;
  readonly error: unknown;
}

/** Redis, or the way to it, is in trouble: every row would fare alike. */
const passing = new Set([
  "REDIS_UNAVAILABLE",
  "OUTCOME_UNKNOWN",
  "TOO_LATE",
  "NOT_REPLICATED",
  "TIMER_SHARDS_MOVING",
  "TIMER_SHARDS_MISMATCH",
  "UNSAFE_SERVER",
  "NEWER_FORMAT",
  "CLOSED",
]);

function judge(error: unknown): "later" | "postponed" | "dead" {
  if (error instanceof HoldfastError && passing.has(error.code)) return "later";
  // Misuse and refused payloads do not get better with time.
  const hopeless = error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError;
  return hopeless || (error instanceof HoldfastError && error.code === "TIMER_PAYLOAD") ? "dead" : "postponed";
}

/** Tells the timer. The request is made before this returns its promise; never rejects. */
export async function relayRow<Payload>(timer: OutboxTimer<Payload>, row: OutboxRow): Promise<Relayed> {
  const { id, action, operation: operationId, remainingMs: afterMs } = row;
  try {
    if (action === "cancel") await timer.cancel(id, { operationId });
    else {
      const payload = (row.payload === null ? undefined : JSON.parse(row.payload)) as Payload;
      await timer.schedule({ id, afterMs, payload, ifExists: "replace", operationId });
    }
    return { kind: "relayed", row };
  } catch (error) {
    return { kind: judge(error), row, error };
  }
}
