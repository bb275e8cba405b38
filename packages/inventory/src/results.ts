/** What calls answer: closed unions, for a `switch`. */
import type { Line } from "./lines.ts";
import type { Cursor } from "./movement.ts";

/** A sku of which there was less than wanted. */
export interface Shortage {
  readonly sku: string;
  readonly wanted: number;
  readonly available: number;
}

/** Not everything was there, so nothing was taken; this id will not be answered otherwise any more (V2). */
export interface Insufficient {
  readonly kind: "insufficient";
  readonly shortages: readonly Shortage[];
}

/** Stock is short, and holds that are due are still being returned: try again. Nothing is decided. */
export interface Busy {
  readonly kind: "busy";
}

/** What became of a decrement. `lines` are what was taken. */
export type DecrementResult = { readonly kind: "decremented"; readonly lines: readonly Line[] } | Insufficient | Busy;

/** A reservation as it stands now. `lines` are what was reserved. */
export interface Reserved {
  readonly kind: "reserved";
  readonly state: "held" | "confirmed" | "released" | "expired";
  /** Epoch milliseconds on the server's clock. */
  readonly expiresAtMs: number;
  readonly lines: readonly Line[];
}

/** What became of a reserve: the first decision, and the state now. */
export type ReserveResult = Reserved | Insufficient | Busy;

/** What became of a confirm. `lines` are what was confirmed. */
export type ConfirmResult =
  | { readonly kind: "confirmed" | "already-confirmed"; readonly lines: readonly Line[] }
  | { readonly kind: "already-released" | "expired" | "absent" }
  | Insufficient
  | Busy;

/** What became of a release. `lines` are what is available again. */
export type ReleaseResult =
  | { readonly kind: "released" | "already-released"; readonly lines: readonly Line[] }
  | { readonly kind: "already-confirmed" | "expired" | "absent" };

/** What became of an extension. */
export type ExtendResult =
  | { readonly kind: "extended"; readonly expiresAtMs: number }
  | { readonly kind: "already-confirmed" | "already-released" | "expired" | "absent" };

/** What became of a restock. */
export interface RestockResult {
  readonly kind: "restocked";
  readonly lines: readonly Line[];
}

/** What became of an adjustment. */
export type AdjustResult = { readonly kind: "adjusted"; readonly lines: readonly Line[] } | Insufficient | Busy;

/** What became of an id. `absent`: nothing was done under it, and nothing will be. `forgotten`: older than what is remembered. */
export type OutcomeResult =
  | Reserved
  | Insufficient
  | { readonly kind: "decremented" | "restocked" | "adjusted"; readonly lines: readonly Line[] }
  | { readonly kind: "extended"; readonly reservationId: string; readonly expiresAtMs: number }
  | { readonly kind: "seeded" | "absent" | "forgotten" };

/** Stock of a sku. `available` is what can be taken: `onHand` less `reserved`. */
export interface Level {
  readonly onHand: number;
  readonly reserved: number;
  readonly available: number;
}

/** What became of a seed. */
export type SeedResult =
  | { readonly kind: "seeded"; readonly cursor: Cursor }
  /** Something moved since `ifCursor`; nothing was done, of more than 1,000 skus in the step that found it. Count again from `cursor`. */
  | { readonly kind: "moved"; readonly cursor: Cursor }
  /** Less on hand than live holds reserve; nothing was done, of more than 1,000 skus in the step that found it. */
  | { readonly kind: "below-reserved"; readonly sku: string; readonly reserved: number };

/** What a sweep did. */
export interface SweepResult {
  /** Holds returned to stock. */
  readonly expired: number;
  /** Whether holds that are due are left: sweep again. */
  readonly more: boolean;
  /**
   * No hold ends before this time, in epoch milliseconds on the server's clock: sweep again then. It may be that of a hold which was
   * confirmed or released since. Null when none is held.
   */
  readonly nextExpiryAtMs: number | null;
}
