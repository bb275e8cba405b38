/**
 * The one seam between the service and its timeouts: what TIMEOUTS=memory and TIMEOUTS=durable both do.
 */

/** Calls the service back when an order's time to pay is over. */
export interface PaymentTimeouts {
  /** Arranges one timeout of the order, `afterMs` from now. */
  schedule(orderId: string, afterMs: number): Promise<void>;
  /** The order was paid: its timeout is not needed. If it comes all the same, the compare-and-set refuses it. */
  cancel(orderId: string): Promise<void>;
  start(): Promise<void>;
  /** Starts nothing new, finishes what runs, and resolves within `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

/** What a timeout does: times the order out if it is still pending. Safe to repeat. Throws when the database cannot be reached. */
export type OnTimeout = (orderId: string) => Promise<void>;

/** What the service says about itself: an object of facts, then a sentence. */
export interface Log {
  info(facts: object, sentence: string): void;
  warn(facts: object, sentence: string): void;
  error(facts: object, sentence: string): void;
}
