/** An inventory as the ledger needs it; `Inventory` of @holdfast/inventory is one. */

/** Where a reader of a log stands. */
export interface MovementCursor {
  readonly sequence: number;
  /** Tells one history of the log from another that has the same sequences. */
  readonly stamp: string;
}

/** What a movement changes of one sku. */
export interface MovementLine {
  readonly sku: string;
  /** Difference, whole. */
  readonly onHand: number;
  /** Difference, whole. */
  readonly reserved: number;
}

/** One entry of an inventory's log. */
export interface Movement extends MovementCursor {
  /** `reserve`, `confirm`, `restock`, … */
  readonly kind: string;
  /** The reservation or the operation that made it. */
  readonly reference: string;
  readonly lines: readonly MovementLine[];
}

/** An inventory's log, in order and without gaps. */
export interface MovementSource {
  readonly name: string;
  /**
   * The movements after a cursor, up to the last one there is.
   * @throws when the log was forked or lost what comes after the cursor: then the ledger stops with this error
   */
  movements(from: { readonly after?: MovementCursor | undefined }): AsyncIterable<Movement>;
}

/** What an inventory says of one sku. */
export interface StockLevel {
  readonly onHand: number;
  readonly reserved: number;
}

/** An inventory whose levels can be compared with the ledger's. */
export interface StockSource extends MovementSource {
  level(sku: string): Promise<StockLevel>;
}
