/** What can go wrong with stock beyond what all primitives share. Expected outcomes are values, not errors. */
import { HoldfastError } from "@holdfast/core";

/** The id was used before for something else. Nothing was done. */
export class DifferentRequestError extends HoldfastError {
  override readonly name = "DifferentRequestError";
  readonly code = "INVENTORY_DIFFERENT_REQUEST";
  readonly effect = "none";
  readonly id: string;
  /** What differs first. */
  readonly field:
    | "operation"
    | "lines"
    | "orderId"
    | "holdMs"
    | "allowPartial"
    | "reason"
    | "reservationId"
    | "snapshot";

  constructor(resource: string, id: string, field: DifferentRequestError["field"], detail: string) {
    super(
      `${resource}: nothing was done, since the id "${id}" was used before with another ${field} (${detail}); one id, one request`,
    );
    this.id = id;
    this.field = field;
  }
}

/** The id is older than `rememberMs`: what it did is not remembered, so it is not run again (V8). */
export class IdForgottenError extends HoldfastError {
  override readonly name = "IdForgottenError";
  readonly code = "INVENTORY_ID_FORGOTTEN";
  readonly effect = "none";
  readonly id: string;
  readonly rememberMs: number;

  constructor(resource: string, id: string, rememberMs: number) {
    super(
      `${resource}: nothing was done, since the id "${id}" is older than rememberMs (${rememberMs}) and may have been carried out; look in the ledger, then use a new id`,
    );
    this.id = id;
    this.rememberMs = rememberMs;
  }
}

/** `outcome` or `release` has read the id as absent before. Nothing was done, and nothing will be under this id. */
export class IdSealedError extends HoldfastError {
  override readonly name = "IdSealedError";
  readonly code = "INVENTORY_ID_SEALED";
  readonly effect = "none";
  readonly id: string;

  constructor(resource: string, id: string) {
    super(
      `${resource}: nothing was done, since the id "${id}" was read as absent before, which holds for good; use a new id`,
    );
    this.id = id;
  }
}

/** Less is reserved of a sku than was to be confirmed. Nothing was done. */
export class ExceedsReservationError extends HoldfastError {
  override readonly name = "ExceedsReservationError";
  readonly code = "INVENTORY_EXCEEDS_RESERVATION";
  readonly effect = "none";
  readonly id: string;
  readonly sku: string;
  readonly wanted: number;
  readonly held: number;

  constructor(resource: string, id: string, sku: string, wanted: number, held: number) {
    super(
      `${resource}: nothing was done, since the reservation "${id}" holds ${held} of "${sku}", ${wanted} were to be confirmed`,
    );
    this.id = id;
    this.sku = sku;
    this.wanted = wanted;
    this.held = held;
  }
}

/**
 * There would be more than 2^53 - 1 units of a sku. Nothing was done. Of a spread sku each of n buckets takes in an nth of that at most:
 * what it took in and did not sell, also when another bucket has it now.
 */
export class StockOverflowError extends HoldfastError {
  override readonly name = "StockOverflowError";
  readonly code = "INVENTORY_STOCK_OVERFLOW";
  readonly effect = "none";
  readonly sku: string;

  constructor(resource: string, sku: string) {
    super(
      `${resource}: nothing was done, since there would be more than 2^53 - 1 units of "${sku}", or more than its share in the bucket that decides`,
    );
    this.sku = sku;
  }
}

/** A counter in Redis is no whole number from 0 to 2^53 - 1, or less than what holds reserve, or the record of a due hold is none. Nothing was done. */
export class InconsistentStockError extends HoldfastError {
  override readonly name = "InconsistentStockError";
  readonly code = "INVENTORY_INCONSISTENT_STOCK";
  readonly effect = "none";
  /** The field of the stock hash, or `record` and the id of the hold. */
  readonly field: string;

  constructor(resource: string, field: string) {
    super(
      `${resource}: nothing was done, since "${field}" is not what this package wrote; find out who else writes to the key, then repair the field`,
    );
    this.field = field;
  }
}

/** The inventory is kept in another number of buckets. Nothing was done. */
export class BucketsMismatchError extends HoldfastError {
  override readonly name = "BucketsMismatchError";
  readonly code = "INVENTORY_BUCKETS_MISMATCH";
  readonly effect = "none";
  readonly buckets: number;
  readonly bucketsStored: number;

  constructor(resource: string, buckets: number, bucketsStored: number) {
    super(
      `${resource}: nothing was done, since the stock is kept in ${bucketsStored} buckets and this client was told ${buckets}; give every client the same option buckets`,
    );
    this.buckets = buckets;
    this.bucketsStored = bucketsStored;
  }
}

/** What a seed would set in one bucket is not all there is: another one has some, too. Nothing was done. */
export class SpreadStockError extends HoldfastError {
  override readonly name = "SpreadStockError";
  readonly code = "INVENTORY_SPREAD_STOCK";
  readonly effect = "none";
  readonly sku: string;
  /** A bucket that has some, or had when it was sent on its way. */
  readonly bucket: number;

  constructor(resource: string, sku: string, bucket: number) {
    super(
      `${resource}: nothing was done, since bucket ${bucket} has units of "${sku}", too, and a count of it would come on top of them; seed bucket by bucket (options bucket and ifCursor), or adjust`,
    );
    this.sku = sku;
    this.bucket = bucket;
  }
}

/** The log has another movement where the cursor points: a failover, or a restored backup, took movements back. */
export class ForkedLogError extends HoldfastError {
  override readonly name = "ForkedLogError";
  readonly code = "INVENTORY_FORKED_LOG";
  readonly effect = "none";
  readonly sequence: number;
  readonly stamp: string;
  /** What the log has there, or null when it ends before. */
  readonly found: string | null;

  constructor(resource: string, sequence: number, stamp: string, found: string | null) {
    const instead = found === null ? "ends before it" : "has another one under its number";
    super(
      `${resource}: the log forked: movement ${sequence} was read before, and now the log ${instead}; acknowledged movements were taken back. Compare with the ledger (reconcile), seed what differs, and go on from cursor()`,
    );
    this.sequence = sequence;
    this.stamp = stamp;
    this.found = found;
  }
}

/** Movements after the cursor are not there any more: they were cut off too early, or the data was lost. */
export class MovementGapError extends HoldfastError {
  override readonly name = "MovementGapError";
  readonly code = "INVENTORY_MOVEMENT_GAP";
  readonly effect = "none";
  /** The movement that was to come first. */
  readonly expectedSequence: number;
  /** The first one there is, or null. */
  readonly foundSequence: number | null;

  constructor(resource: string, expectedSequence: number, foundSequence: number | null, why: string) {
    super(
      `${resource}: movements are missing: expected ${expectedSequence}, found ${foundSequence ?? "none"} (${why}). Compare with the ledger (reconcile), seed what differs, and go on from cursor()`,
    );
    this.expectedSequence = expectedSequence;
    this.foundSequence = foundSequence;
  }
}

/** A row of a stock file that cannot be read. Rows before it may have been applied. */
export class StockFileError extends HoldfastError {
  override readonly name = "StockFileError";
  readonly code = "INVENTORY_STOCK_FILE";
  readonly effect = "possible";
  /** From 1. */
  readonly line: number;

  constructor(line: number, reason: string, options?: ErrorOptions) {
    super(`line ${line}: ${reason}; repair it and import the file again under the same operationId`, options);
    this.line = line;
  }
}
