/** What a lock tells observers: `onEvent` of the instance and the channel `holdfast:lock` of node:diagnostics_channel. */
import type { LeaseEnd } from "@holdfast/core";

/** The channel's name. */
export const lockChannel = "holdfast:lock";

/** One thing that happened to a lock. */
export type LockEvent =
  | {
      readonly type: "acquired";
      readonly resource: string;
      readonly token: number;
      readonly owner: string;
      /** From the call to the grant, in milliseconds. */
      readonly waitedMs: number;
      /** Whether the last holder's release granted it. */
      readonly handedOver: boolean;
    }
  | {
      readonly type: "not-acquired";
      readonly resource: string;
      readonly owner: string;
      readonly waitedMs: number;
      readonly reason: "busy" | "timeout" | "cancelled" | "closed" | "failed";
      readonly error?: unknown;
    }
  | {
      readonly type: "released";
      readonly resource: string;
      readonly token: number;
      readonly owner: string;
      readonly outcome: "released" | "lost";
    }
  /** The holder was told; `released` is not among the reasons. */
  | { readonly type: "lost"; readonly resource: string; readonly token: number; readonly reason: LeaseEnd }
  /** It is tried again until the local deadline. */
  | { readonly type: "renewal-failed"; readonly resource: string; readonly token: number; readonly error: unknown }
  /** It is tried again until the lease has ended by itself. */
  | { readonly type: "release-failed"; readonly resource: string; readonly owner: string; readonly error: unknown }
  | { readonly type: "force-released"; readonly resource: string; readonly token: number };
