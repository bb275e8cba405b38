/**
 * The schema and its versions. `migrate` and `migrationSql` run the same text: every step looks at the version it finds, under a lock that
 * is held until the end, so that any number of replicas may run it at once, and again.
 */
import { NewerFormatError, optionsObject, OutcomeUnknownError } from "@holdfast/core";
import { PostgresUnavailableError } from "./errors.ts";
import { resolveTransactionOptions } from "./options.ts";
import type { PostgresOptions, ResolvedTransactionOptions } from "./options.ts";
import { fences } from "./migrations/fences.ts";
import { idempotencyKeys } from "./migrations/idempotency-keys.ts";
import { lateQuestions } from "./migrations/late-questions.ts";
import { ledger } from "./migrations/ledger.ts";
import type { Migration } from "./migrations/migration.ts";
import { outboxTable } from "./migrations/outbox.ts";
import type { PoolLike, Queryable } from "./pool.ts";
import { runTransaction } from "./run-transaction.ts";
import type { Opened } from "./run-transaction.ts";
import { askInTime, CommitLostError } from "./session.ts";
import { sqlErrorOf } from "./sql-state.ts";
import { ask, idleLimitSql } from "./statement.ts";

/** All steps in order. */
export const migrations: readonly Migration[] = [fences, idempotencyKeys, outboxTable, ledger, lateQuestions];

const versionQuery = "SELECT coalesce(max(version), 0) AS version FROM holdfast.migrations";

/** Options of `migrate`. */
export interface MigrateOptions extends PostgresOptions {
  /** Ends the waiting; what was not committed by then is not there. The ambient deadline does so, too. */
  readonly signal?: AbortSignal | undefined;
  /** Longest wait in milliseconds for one answer: the version, all steps together, COMMIT. 10 to 600,000, default 30,000. */
  readonly commitTimeoutMs?: number | undefined;
}

/** What `migrate` did: equal versions mean nothing. */
export interface MigrationReport {
  readonly from: number;
  readonly to: number;
}

function guarded({ version, name, sql }: Migration): string {
  return `DO $migration$ BEGIN
IF (SELECT coalesce(max(version), 0) FROM holdfast.migrations) < ${version} THEN
${sql.trim()}
INSERT INTO holdfast.migrations (version, name) VALUES (${version}, '${name}');
END IF;
END $migration$;`;
}

/** Everything but BEGIN and COMMIT. READ COMMITTED matters: what is read after the lock must be what is there after the lock. */
function statements(steps: readonly Migration[]): string {
  return [
    "SELECT pg_advisory_xact_lock(hashtextextended('holdfast.migrations', 0));",
    "CREATE SCHEMA IF NOT EXISTS holdfast;",
    `CREATE TABLE IF NOT EXISTS holdfast.migrations (
  version integer PRIMARY KEY,
  name text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);`,
    ...steps.map(guarded),
    "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA holdfast FROM PUBLIC;",
  ].join("\n");
}

/** The schema as SQL, for teams in which somebody else runs it. May be run again, also over an older version. */
export function migrationSql(): string {
  return `BEGIN ISOLATION LEVEL READ COMMITTED;\n${statements(migrations)}\nCOMMIT;\n`;
}

async function versionOf(pool: PoolLike, settings: ResolvedTransactionOptions): Promise<number> {
  try {
    const statement = { operation: "migrate", standing: "read" } as const;
    const [row] = await askInTime(pool, settings, (waiting) =>
      ask<{ version: number }>(waiting, statement, versionQuery),
    );
    return row?.version ?? 0;
  } catch (error) {
    // Neither the schema nor the table is there.
    const state = sqlErrorOf(error)?.state;
    if (state === "3F000" || state === "42P01") return 0;
    throw error;
  }
}

function runSteps(_tx: Queryable, _attempt: number, { waiting }: Opened): Promise<unknown> {
  return ask(waiting, { operation: "migrate", standing: "in-transaction" }, statements(migrations));
}

function stepsLost({ cause }: CommitLostError): OutcomeUnknownError {
  return new OutcomeUnknownError("migrate", "none", {
    cause,
    why: "COMMIT got no answer",
    advice: "migrate again: it goes on from the version that it finds",
  });
}

/**
 * Brings the schema "holdfast" to this version. Where it is there already, it only reads, and needs no right to create anything.
 * @throws NewerFormatError when a newer version of this package was here; PostgresRefusedError, as without the right to create;
 *   PostgresUnavailableError, the signal's reason; OutcomeUnknownError when COMMIT got no answer: to migrate again is safe
 */
export async function migrate(pool: PoolLike, options: MigrateOptions = {}): Promise<MigrationReport> {
  optionsObject("options", options);
  const settings = resolveTransactionOptions("migrate", { ...options, isolation: "read-committed" });
  const { events, idleMs, commitTimeoutMs, resolveMs } = settings;
  const newest = migrations.length;
  const from = await versionOf(pool, settings);
  if (from > newest) throw new NewerFormatError("schema holdfast", from, newest);
  if (from < newest) {
    const work = { first: () => idleLimitSql(idleMs), answerMs: commitTimeoutMs, body: runSteps };
    await runTransaction(pool, settings, work).catch(async (error: unknown) => {
      if (error instanceof PostgresUnavailableError) settings.signal?.throwIfAborted();
      if (!(error instanceof CommitLostError)) throw error;
      // The connection that is asked may answer as little as the one before.
      const found = await versionOf(pool, { ...settings, commitTimeoutMs: resolveMs }).catch(() => from);
      if (found < newest) throw stepsLost(error);
    });
    events.emit(() => ({ type: "migrated", from, to: newest }));
  }
  return { from, to: newest };
}
