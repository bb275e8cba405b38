/**
 * What can go wrong with a transaction beyond its own statements. The refusal of a stale token is `StaleTokenError` of @holdfast/lock, and a
 * key's are those of @holdfast/idempotency, so that a handler catches one class whichever resource refused.
 */
import { HoldfastError } from "@holdfast/core";

/** PostgreSQL could not be reached, or went away before it had committed: nothing was done. */
export class PostgresUnavailableError extends HoldfastError {
  override readonly name = "PostgresUnavailableError";
  readonly code = "POSTGRES_UNAVAILABLE";
  readonly effect = "none";
  /** `unreachable`: no connection. `connection-lost`: it broke before the end. `deadline`: the ambient deadline passed while waiting. */
  readonly reason: "unreachable" | "connection-lost" | "deadline";

  constructor(operation: string, reason: PostgresUnavailableError["reason"], options?: ErrorOptions) {
    const why = {
      unreachable: "there was no connection to be had",
      "connection-lost": "the connection was lost before it was done",
      deadline: "the deadline passed while waiting for a connection, or for the fence or the claim of the key",
    }[reason];
    super(`${operation}: nothing was committed, since ${why}; try again`, options);
    this.reason = reason;
  }
}

/**
 * PostgreSQL refused a statement of this package: a right that is missing, a schema that is not there. Its own error is in `cause`.
 * Nothing was committed.
 */
export class PostgresRefusedError extends HoldfastError {
  override readonly name = "PostgresRefusedError";
  readonly code = "POSTGRES_REFUSED";
  readonly effect = "none";
  /** The SQLSTATE: `42501`, `42P01`, … */
  readonly state: string;

  constructor(operation: string, state: string, options?: ErrorOptions) {
    const advice =
      {
        "42501": "grant the role what `grantSql` says",
        "3F000": "call `migrate` first",
        "42P01": "call `migrate` first",
        "42883": "call `migrate` first",
        "25006": "this server or transaction is read-only; ask the primary",
      }[state] ?? "see its error in `cause`";
    super(`${operation}: nothing was done, PostgreSQL refused with ${state}: ${advice}`, options);
    this.state = state;
  }
}

/** The process was silent in an open transaction for longer than `idleMs`, and PostgreSQL ended it so that a successor could go on (P2). */
export class TransactionIdleError extends HoldfastError {
  override readonly name = "TransactionIdleError";
  readonly code = "TRANSACTION_IDLE";
  readonly effect = "none";

  constructor(operation: string, options?: ErrorOptions) {
    super(
      `${operation}: nothing was committed, since no statement came for longer than idleMs (or the server's own limit) and PostgreSQL ended the transaction; do slow work before it, or raise idleMs`,
      options,
    );
  }
}

/** The body caught the error of a statement and went on, so PostgreSQL answered COMMIT with ROLLBACK. The error is in `cause`. */
export class TransactionAbortedError extends HoldfastError {
  override readonly name = "TransactionAbortedError";
  readonly code = "TRANSACTION_ABORTED";
  readonly effect = "none";

  constructor(operation: string, options?: ErrorOptions) {
    super(
      `${operation}: nothing was committed, since a statement had failed and its error was caught; let errors pass, or use a savepoint around what may fail`,
      options,
    );
  }
}

/** Every attempt met another transaction: a serialization failure or a deadlock, the last one in `cause`. */
export class TransactionConflictError extends HoldfastError {
  override readonly name = "TransactionConflictError";
  readonly code = "TRANSACTION_CONFLICT";
  readonly effect = "none";
  /** How often it was tried. */
  readonly attempts: number;

  constructor(operation: string, attempts: number, options?: ErrorOptions) {
    super(
      `${operation}: nothing was committed, since all ${attempts} attempts met another transaction; try again, or touch fewer rows`,
      options,
    );
    this.attempts = attempts;
  }
}

/** The inventory's log does not go on where the ledger stands. Nothing was applied (P5). */
export class LedgerStoppedError extends HoldfastError {
  override readonly name = "LedgerStoppedError";
  readonly code = "LEDGER_STOPPED";
  readonly effect = "none";
  readonly inventory: string;
  /** The sequence that should have come. */
  readonly sequenceWanted: number;
  /** The one that came. */
  readonly sequenceFound: number;

  constructor(inventory: string, sequenceWanted: number, sequenceFound: number, options?: ErrorOptions) {
    super(
      `ledger of ${inventory}: stopped, since movement ${sequenceWanted} should have come and ${sequenceFound} came; find out what was lost before you go on`,
      options,
    );
    this.inventory = inventory;
    this.sequenceWanted = sequenceWanted;
    this.sequenceFound = sequenceFound;
  }
}
