/** What a timer tells observers, on `onEvent` and on the channel `holdfast:timer`. */
import type { LeaseEnd } from "@holdfast/core";

/** One thing that happened; `timer` is the name of the instance. */
export type TimerEvent =
  | { readonly type: "claimed"; readonly timer: string; readonly shard: number; readonly count: number }
  | {
      readonly type: "fired";
      readonly timer: string;
      readonly id: string;
      readonly generation: number;
      readonly attempt: number;
      /** Server time at the claim minus the deadline, in milliseconds. */
      readonly latenessMs: number;
      readonly durationMs: number;
    }
  | {
      readonly type: "failed";
      readonly timer: string;
      readonly id: string;
      readonly generation: number;
      readonly attempt: number;
      readonly latenessMs: number;
      readonly error: unknown;
      /** What becomes of the timer. */
      readonly next: "retry" | "dead";
      /** Milliseconds until the next attempt; 0 when there is none. */
      readonly delayMs: number;
    }
  | {
      readonly type: "dead";
      readonly timer: string;
      readonly id: string;
      readonly attempts: number;
      readonly why: string;
    }
  | {
      readonly type: "lost";
      readonly timer: string;
      readonly id: string;
      readonly token: number;
      readonly reason: LeaseEnd;
    }
  | { readonly type: "stale"; readonly timer: string; readonly id: string; readonly token: number }
  | { readonly type: "lapsed"; readonly timer: string; readonly shard: number; readonly count: number }
  | { readonly type: "released"; readonly timer: string; readonly id: string }
  | {
      readonly type: "trouble";
      readonly timer: string;
      readonly shard: number;
      readonly during: "claim" | "settle" | "extend" | "reap";
      readonly error: unknown;
      readonly failures: number;
      readonly retryInMs: number;
    }
  | { readonly type: "recovered"; readonly timer: string; readonly shard: number; readonly failures: number }
  | { readonly type: "founded"; readonly timer: string; readonly shard: number };

/** The channel of node:diagnostics_channel. */
export const timerChannel = "holdfast:timer";
