/** What callers hand over to calls that are not orders. */
import type { Line } from "./lines.ts";
import type { Cursor } from "./movement.ts";

/** Which reservation to confirm, and how much of it. */
export interface ConfirmRequest {
  readonly reservationId: string;
  /** The part to confirm; the rest is released and the reservation is over. Default all of it. */
  readonly lines?: readonly Line[] | undefined;
  /** When it has expired, take its units again if they are there. Default false. */
  readonly retakeIfExpired?: boolean | undefined;
  /** Names the call: a repeat answers `confirmed` again instead of `already-confirmed`. */
  readonly operationId?: string | undefined;
}

/** Which reservation to give back. */
export interface ReleaseRequest {
  readonly reservationId: string;
  /** Names the call: a repeat answers `released` again instead of `already-released`. */
  readonly operationId?: string | undefined;
}

/** Which hold to lengthen. */
export interface ExtendRequest {
  readonly reservationId: string;
  /** Milliseconds from now, 50 to 86,400,000; an end that is later already stays. */
  readonly holdMs: number;
  readonly operationId: string;
}

/** Where and how to read the log. */
export interface MovementsOptions {
  /** Begin after this movement. Default before the first. */
  readonly after?: Cursor | undefined;
  /** Bucket of a spread inventory. Default 0. */
  readonly bucket?: number | undefined;
  /** Wait for more at the end instead of ending there. Default false. */
  readonly follow?: boolean | undefined;
  /** Milliseconds between two looks when following, 10 to 60,000. Default 250. */
  readonly pollMs?: number | undefined;
  /** Most movements of one page, 1 to 10,000. Default 500. */
  readonly pageMax?: number | undefined;
  /** Ends the reading; what was read stays read. */
  readonly signal?: AbortSignal | undefined;
}

/** On what condition to seed. */
export interface SeedOptions {
  /** Where the log stood when the snapshot was taken. */
  readonly ifCursor: Cursor;
  /** Names the call. Default a new id. */
  readonly operationId?: string | undefined;
  /**
   * Bucket of a spread inventory: what is on hand there, and the cursor is that of its log. Default 0, and then it is a count of the skus as
   * a whole, which is refused when other buckets have some of them.
   */
  readonly bucket?: number | undefined;
}
