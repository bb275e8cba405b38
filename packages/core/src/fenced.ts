/** What a resource needs to know to refuse a stale writer. */

/** A right to act on a resource, numbered so that a later grant has a higher number. */
export interface Fenced {
  /** Namespaced by primitive: `lock:invoice:42`. Tokens of different resources are never compared. */
  readonly resource: string;
  /** Grows with every grant; a whole number below 2^53. */
  readonly token: number;
}
