/** What a scope tells its observers, on `onEvent` and on the diagnostics channel `holdfast:scope`. */
import { EventSink } from "@holdfast/core";
import type { ScopeReport } from "./report.ts";

/** One event of a scope. */
export type ScopeEvent =
  | {
      readonly type: "ended";
      readonly scope: string;
      readonly outcome: "success" | "failed" | "timed-out" | "cancelled";
      readonly durationMs: number;
      readonly report: ScopeReport;
    }
  | {
      /** The scope has returned and this work is still running. */
      readonly type: "zombie";
      readonly scope: string;
      readonly fork: string;
      readonly runningMs: number;
      readonly because: "timed-out" | "cancelled";
    }
  | {
      readonly type: "zombie-ended";
      readonly scope: string;
      readonly fork: string;
      readonly runMs: number;
      readonly result: "value" | "error";
    }
  | {
      readonly type: "loop-blocked";
      readonly blockedMs: number;
      /** The scope that was running, when it is known. */
      readonly scope: string | undefined;
    };

/** The channel of node:diagnostics_channel. */
export const scopeChannel = "holdfast:scope";

const sharedSink = new EventSink<ScopeEvent>(scopeChannel);

/** The sink for an instance; the shared one when it has no handler of its own. */
export function sinkFor(onEvent: ((event: ScopeEvent) => void) | undefined): EventSink<ScopeEvent> {
  return onEvent === undefined ? sharedSink : new EventSink(scopeChannel, onEvent);
}
