/** What a bulkhead tells its observers, on `onEvent` and on the diagnostics channel `holdfast:bulkhead`. */
import type { BreakerState } from "./breaker.ts";
import type { Outcome } from "./outcome.ts";

/** One event of a bulkhead. */
export type BulkheadEvent =
  | {
      readonly type: "call";
      readonly bulkhead: string;
      readonly outcome: Outcome;
      /** Milliseconds in the queue. */
      readonly waitMs: number;
      /** Milliseconds from the dispatch, 0 when there was none. */
      readonly runMs: number;
    }
  | { readonly type: "breaker"; readonly bulkhead: string; readonly state: BreakerState; readonly because: string }
  | { readonly type: "limit"; readonly bulkhead: string; readonly limit: number; readonly because: string }
  /** Work that went on after its caller had given up has settled; `leaked` when its permit had been taken from it before. */
  | { readonly type: "zombie-ended"; readonly bulkhead: string; readonly runMs: number; readonly leaked: boolean }
  | { readonly type: "leaked"; readonly bulkhead: string; readonly runMs: number }
  | { readonly type: "retry"; readonly bulkhead: string; readonly attempt: number; readonly delayMs: number }
  | { readonly type: "classify-failed"; readonly bulkhead: string; readonly error: unknown }
  | {
      readonly type: "redis";
      readonly bulkhead: string;
      readonly state: "reached" | "unreachable";
      readonly error?: unknown;
    };

/** The channel of node:diagnostics_channel. */
export const bulkheadChannel = "holdfast:bulkhead";
