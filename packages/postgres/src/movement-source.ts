/** An inventory as the ledger needs it; `Inventory` of @holdfast/inventory is one. */

/** A place in a log. */
export interface MovementCursor {
  readonly sequence: number;
  /** Tells one history of the log from another that has the same sequences. */
  readonly stamp: string;
}

/** What a movement changes of one sku. */
export interface MovementChange {
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
  /** Of the operation, or of the reservation. */
  readonly id: string;
  /** When, on the inventory's clock, in epoch milliseconds. */
  readonly atMs: number;
  readonly changes: readonly MovementChange[];
}

/** A reader that the inventory knows: what it has behind it may be cut off the log. */
export interface MovementReader {
  commit(cursor: MovementCursor): Promise<unknown>;
}

/** An inventory's logs, one for each bucket, each in order and without gaps. */
export interface MovementSource {
  readonly name: string;
  readonly bucketCount: number;
  /**
   * The movements after a cursor, up to the last one there is.
   * @throws when the log was forked or lost what comes after the cursor: then the ledger stops with this error
   */
  movements(from: {
    readonly after?: MovementCursor | undefined;
    readonly bucket?: number | undefined;
  }): AsyncIterable<Movement>;
  consumer(name: string, of: { readonly bucket?: number | undefined }): MovementReader;
}

/** What an inventory says of one sku. */
export interface StockLevel {
  readonly onHand: number;
  readonly reserved: number;
}

/** An inventory whose levels can be compared with the ledger's. */
export interface StockSource extends MovementSource {
  levels(skus: readonly string[]): Promise<ReadonlyMap<string, StockLevel>>;
}
