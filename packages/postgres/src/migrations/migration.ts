/** One step of the schema. Steps are never changed once they are released; a later one changes what an earlier one made. */
export interface Migration {
  /** Counts from 1 without gaps. */
  readonly version: number;
  readonly name: string;
  /** Statements, run in one transaction. */
  readonly sql: string;
}

/**
 * A statement of a function's body: limits how long its caller's transaction may be silent (P2), unless the session's own limit is lower.
 * In the function itself, so that it takes no statement of its own, and local, so that it ends with the transaction.
 */
export function limitIdle(milliseconds: string): string {
  return `DECLARE
    limited text := current_setting('idle_in_transaction_session_timeout');
  BEGIN
    IF limited = '0' OR limited::interval > ${milliseconds} * interval '1 millisecond' THEN
      -- Assigned rather than performed: that would be a query.
      limited := set_config('idle_in_transaction_session_timeout', ${milliseconds}::text, true);
    END IF;
  END;`;
}
