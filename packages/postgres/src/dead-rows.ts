/** Rows of the outbox that their timer refused for good: looked at, told again once the cause is gone, or dropped. For operators. */
import { integerOr, optionsObject, text } from "@holdfast/core";
import { columnText } from "./column-text.ts";
import type { Queryable } from "./pool.ts";
import { ask } from "./statement.ts";

/** One row that was set aside. */
export interface DeadRow {
  /** Names the row. */
  readonly sequence: string;
  /** The timer's id. */
  readonly id: string;
  readonly action: "schedule" | "cancel";
  readonly payload: unknown;
  /** What the timer said. */
  readonly error: string;
  readonly attempts: number;
  /** On PostgreSQL's clock. */
  readonly writtenAt: Date;
  readonly deadAt: Date;
}

/** Which rows to list. */
export interface DeadRowsOptions {
  /** Go on behind this row. */
  readonly after?: string | undefined;
  /** 1 to 1,000. Default 100. */
  readonly rowsMax?: number | undefined;
}

interface Named {
  readonly name: string;
}

interface RawRow {
  readonly sequence: string;
  readonly id: string;
  readonly action: "schedule" | "cancel";
  readonly payload: string | null;
  readonly error: string | null;
  readonly attempts: number;
  readonly written_ms: string;
  readonly dead_ms: string;
}

/** Epoch milliseconds as text, which means the same to every driver, however its pool parses times. */
const columns = `sequence, id, action, payload, error, attempts,
  (extract(epoch FROM written_at) * 1000)::text AS written_ms, (extract(epoch FROM dead_at) * 1000)::text AS dead_ms`;

function sequenceText(sequence: string): string {
  if (!/^\d{1,19}$/u.test(text("sequence", sequence))) {
    throw new TypeError(`sequence must be that of a row in the list, got ${sequence}`);
  }
  return sequence;
}

/**
 * Lists rows in the order in which they were written.
 * @throws TypeError, RangeError; PostgresUnavailableError, PostgresRefusedError
 */
async function list(pool: Queryable, timer: Named, options: DeadRowsOptions = {}): Promise<readonly DeadRow[]> {
  optionsObject("options", options);
  const name = columnText("timer.name", timer.name);
  const rows = await ask<RawRow>(
    pool,
    { operation: `outbox.dead.list ${name}`, standing: "read" },
    `SELECT ${columns} FROM holdfast.outbox_dead($1, $2::bigint, $3::integer)`,
    [name, sequenceText(options.after ?? "0"), integerOr(100, "rowsMax", options.rowsMax, { min: 1, max: 1_000 })],
  );
  return rows.map(({ written_ms: writtenMs, dead_ms: deadMs, payload, error, ...row }) => ({
    ...row,
    payload: payload === null ? undefined : (JSON.parse(payload) as unknown),
    error: error ?? "",
    writtenAt: new Date(Number(writtenMs)),
    deadAt: new Date(Number(deadMs)),
  }));
}

/**
 * Gives a row back to the relays, before all later rows of its id. It is told as if it were new: look first whether the timer's id has been
 * scheduled or cancelled since.
 * @returns whether it was a dead row of this timer
 * @throws TypeError; PostgresUnavailableError, PostgresRefusedError; OutcomeUnknownError: to repeat it is safe
 */
async function redrive(pool: Queryable, timer: Named, sequence: string): Promise<boolean> {
  return change(pool, "redrive", "SELECT holdfast.outbox_redrive($1, $2::bigint) AS done", timer, sequence);
}

/**
 * Removes a row for ever.
 * @returns whether it was a dead row of this timer
 * @throws TypeError; PostgresUnavailableError, PostgresRefusedError; OutcomeUnknownError: to repeat it is safe
 */
async function drop(pool: Queryable, timer: Named, sequence: string): Promise<boolean> {
  return change(pool, "drop", "SELECT holdfast.outbox_drop($1, $2::bigint) AS done", timer, sequence);
}

async function change(pool: Queryable, call: string, sql: string, timer: Named, sequence: string): Promise<boolean> {
  const name = columnText("timer.name", timer.name);
  const operation = `outbox.dead.${call} ${name}`;
  const [row] = await ask<{ done: boolean }>(pool, { operation, standing: "write" }, sql, [
    name,
    sequenceText(sequence),
  ]);
  return row?.done === true;
}

/** What an operator does with dead rows. */
export interface DeadRows {
  readonly list: typeof list;
  readonly redrive: typeof redrive;
  readonly drop: typeof drop;
}

/** `outbox.dead`. */
export const deadRows: DeadRows = { list, redrive, drop };
