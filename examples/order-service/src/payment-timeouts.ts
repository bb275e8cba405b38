/**
 * The one seam between the service and its timeouts: what TIMEOUTS=memory and TIMEOUTS=durable both do.
 */
import type { FencedHold } from "@holdfast/postgres";
import type { Database } from "./transaction.ts";

/** Calls the service back when an order's time to pay is over. */
export interface PaymentTimeouts {
  /** Arranges one timeout of the order, `afterMs` from now, with the transaction that places it. */
  schedule(tx: Database, orderId: string, afterMs: number): Promise<void>;
  /** Takes it back, with the transaction that pays the order. If it comes all the same, the compare-and-set refuses it. */
  cancel(tx: Database, orderId: string): Promise<void>;
  /** That transaction was committed: what this process still keeps of the timeout can go. */
  forget(orderId: string): void;
  start(): Promise<void>;
  /** Starts nothing new, finishes what runs, and resolves within `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

/**
 * What a timeout does: times the order out if it is still pending. Safe to repeat. Throws when the database cannot be reached.
 *
 * @param firing whose writes are to be refused once another one has begun; null with timeouts in memory.
 */
export type OnTimeout = (orderId: string, firing: FencedHold | null) => Promise<void>;

/** What the service says about itself: an object of facts, then a sentence. */
export interface Log {
  info(facts: object, sentence: string): void;
  warn(facts: object, sentence: string): void;
  error(facts: object, sentence: string): void;
}
