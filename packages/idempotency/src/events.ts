/** What happened to keys, for logs and metrics: `onEvent`, and the channel `holdfast:idempotency` of node:diagnostics_channel. */
import type { Effect, NotReplicatedError } from "@holdfast/core";

/** Something that happened to a key. */
export type IdempotencyEvent =
  | {
      /** An attempt began. */
      readonly type: "started";
      readonly resource: string;
      readonly token: number;
      /** 1 for the first attempt. */
      readonly number: number;
      readonly recovered: boolean;
    }
  | { readonly type: "replayed"; readonly resource: string; readonly outcome: "completed" | "failed" }
  | { readonly type: "busy"; readonly resource: string; readonly remainingMs: number }
  | { readonly type: "mismatched"; readonly resource: string }
  | {
      /** An outcome was stored. */
      readonly type: "stored";
      readonly resource: string;
      readonly token: number;
      readonly outcome: "completed" | "failed";
      readonly resultBytes: number;
    }
  | {
      /** An outcome was stored, but not by as many replicas as `durability` wants: a failover may take it back. */
      readonly type: "not-replicated";
      readonly resource: string;
      readonly token: number;
      readonly error: NotReplicatedError;
    }
  | { readonly type: "released"; readonly resource: string; readonly token: number; readonly effect: Effect }
  | {
      /** A caller heard that the outcome is unknown. */
      readonly type: "unknown";
      readonly resource: string;
      readonly token: number;
      readonly cause: unknown;
    }
  | {
      /** An attempt that was overtaken tried to change the key, in vain (I2). */
      readonly type: "stale-refused";
      readonly resource: string;
      readonly token: number;
      readonly currentToken: number;
      readonly operation: "complete" | "fail" | "release" | "hold";
    }
  | { readonly type: "renewal-failed"; readonly resource: string; readonly token: number; readonly error: unknown }
  | {
      /** The store could not be reached and `whenUnreachable` is `"open"`: the handler ran without protection. */
      readonly type: "unguarded";
      readonly resource: string;
      readonly error: unknown;
    }
  | {
      /** The attempt's end could not be told to Redis; its lease ends it. */
      readonly type: "release-failed";
      readonly resource: string;
      readonly token: number;
      readonly error: unknown;
    };

/** The channel of node:diagnostics_channel on which the events are published. */
export const eventChannel = "holdfast:idempotency";
