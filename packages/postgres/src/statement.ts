/**
 * One statement of this package's own, and the meaning of its failure: what a lost connection means depends on where the statement stands.
 * Statements of a caller's body are not sent from here; their errors stay as PostgreSQL has put them.
 */
import { HoldfastError, OutcomeUnknownError } from "@holdfast/core";
import { PostgresRefusedError, PostgresUnavailableError, TransactionConflictError } from "./errors.ts";
import type { Queryable } from "./pool.ts";
import { endsConnection, isConflict, neverConnected, sqlErrorOf } from "./sql-state.ts";

/** What is asked, for messages, and where it stands. */
export interface Statement {
  /** For messages: `outbox.status payment-timeout`. */
  readonly operation: string;
  /**
   * `read`: changes nothing. `write`: may be committed by itself. `in-transaction`: is committed, or not, with what the caller does next.
   */
  readonly standing: "read" | "write" | "in-transaction";
  /** What to do when the answer to a `write` was lost. Default: to repeat it. */
  readonly advice?: string | undefined;
}

/** The class of an error that a statement of this package met; any error without a class of ours stays as it is. */
export function explainFailure(
  error: unknown,
  { operation, standing, advice = "do it again: to repeat it is safe" }: Statement,
): unknown {
  // Misuse, and what has its meaning already.
  if (error instanceof HoldfastError || error instanceof TypeError || error instanceof RangeError) return error;
  const found = sqlErrorOf(error);
  if (neverConnected(error)) return new PostgresUnavailableError(operation, "unreachable", { cause: error });
  if (found === undefined || endsConnection(error)) {
    if (standing !== "write") return new PostgresUnavailableError(operation, "connection-lost", { cause: error });
    const why = error instanceof Error ? error.message : String(error);
    return new OutcomeUnknownError(operation, "none", { cause: error, why, advice });
  }
  if (isConflict(error)) {
    // Whoever runs the transaction looks at the state, and runs it again as a whole.
    return standing === "in-transaction" ? error : new TransactionConflictError(operation, 1, { cause: error });
  }
  return new PostgresRefusedError(operation, found.state, { cause: error });
}

/**
 * Sends a statement.
 * @throws PostgresUnavailableError, PostgresRefusedError, TransactionConflictError: it did nothing; OutcomeUnknownError for a write whose
 *   answer was lost; within a transaction 40001 and 40P01 as PostgreSQL has put them
 */
export async function ask<Row>(
  to: Queryable,
  statement: Statement,
  text: string,
  values?: readonly unknown[],
): Promise<Row[]> {
  try {
    // A driver may write to the array; ours stays as it is.
    const { rows } = await (values === undefined ? to.query(text) : to.query(text, [...values]));
    return rows as Row[];
  } catch (error) {
    throw explainFailure(error, statement);
  }
}

/**
 * A statement that goes with BEGIN where no function of ours limits the silence of its transaction: whoever is frozen in it keeps others
 * waiting for no longer (P2). A lower limit of the session stays in force.
 */
export function idleLimitSql(idleMs: number): string {
  const setting = "'idle_in_transaction_session_timeout'";
  return `SELECT set_config(${setting}, '${idleMs}', true) WHERE current_setting(${setting}) = '0' OR current_setting(${setting})::interval > ${idleMs} * interval '1 millisecond'`;
}

/** Texts of nothing but what means itself between the quotes: ASCII without quotes and backslashes. */
const plain = /^[\w :.@/-]*$/u;

/** Text as SQL that means the same whatever the session's settings; nothing in it can end the quotes. */
export function literal(value: string): string {
  if (plain.test(value)) return `E'${value}'`;
  const escaped = value.toWellFormed().replace(/[^\w :.@/-]/gu, (character) => {
    return `\\U${(character.codePointAt(0) as number).toString(16).padStart(8, "0")}`;
  });
  return `E'${escaped}'`;
}
