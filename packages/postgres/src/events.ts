/** What this package tells observers, on `onEvent` and on the channel `holdfast:postgres` of node:diagnostics_channel. */
import { EventSink } from "@holdfast/core";

/** One thing that happened. */
export type PostgresEvent =
  | { readonly type: "migrated"; readonly from: number; readonly to: number }
  /** The whole transaction is run again. */
  | { readonly type: "retried"; readonly operation: string; readonly attempt: number; readonly error: unknown }
  /** A stale writer was refused. */
  | { readonly type: "stale"; readonly resource: string; readonly token: number; readonly highest: number }
  /** COMMIT got no answer. */
  | { readonly type: "commit-lost"; readonly operation: string; readonly error: unknown }
  /** What became of a COMMIT without answer, found by reading. */
  | { readonly type: "commit-resolved"; readonly operation: string; readonly committed: boolean }
  | { readonly type: "replayed"; readonly resource: string }
  | {
      readonly type: "relayed";
      readonly timer: string;
      readonly id: string;
      readonly action: "schedule" | "cancel";
      readonly operationId: string;
      /** From the write to the timer, in milliseconds on PostgreSQL's clock. */
      readonly lagMs: number;
    }
  /** One row is tried again later; its successors for the same id wait. */
  | {
      readonly type: "postponed";
      readonly timer: string;
      readonly id: string;
      readonly attempts: number;
      readonly retryInMs: number;
      readonly error: unknown;
    }
  /** The timer will never take this row; it stays in the outbox, marked, and its successors go on. */
  | { readonly type: "dead"; readonly timer: string; readonly id: string; readonly error: unknown }
  /** A pass of the relay failed as a whole. */
  | {
      readonly type: "trouble";
      readonly timer: string;
      readonly failures: number;
      readonly retryInMs: number;
      readonly error: unknown;
    }
  | { readonly type: "recovered"; readonly timer: string; readonly failures: number }
  | {
      readonly type: "applied";
      readonly inventory: string;
      readonly bucket: number;
      readonly movements: number;
      readonly sequence: number;
    };

/** The channel of node:diagnostics_channel. */
export const postgresChannel = "holdfast:postgres";

const sharedSink = new EventSink<PostgresEvent>(postgresChannel);

/** The sink for a call; the shared one when it has no handler of its own. */
export function sinkFor(onEvent: ((event: PostgresEvent) => void) | undefined): EventSink<PostgresEvent> {
  return onEvent === undefined ? sharedSink : new EventSink(postgresChannel, onEvent);
}
