/**
 * The schema and its versions. `migrate` and `migrationSql` run the same text: every step looks at the version it finds, under a lock that
 * is held until the end, so that any number of replicas may run it at once, and again.
 */
import { ambientRemainingMs, NewerFormatError, OutcomeUnknownError } from "@holdfast/core";
import { resolvePostgresOptions, resolveTransactionOptions } from "./options.ts";
import type { PostgresOptions } from "./options.ts";
import { fences } from "./migrations/fences.ts";
import { idempotencyKeys } from "./migrations/idempotency-keys.ts";
import { lateQuestions } from "./migrations/late-questions.ts";
import { ledger } from "./migrations/ledger.ts";
import type { Migration } from "./migrations/migration.ts";
import { outboxTable } from "./migrations/outbox.ts";
import { waitFor } from "./patience.ts";
import type { PoolLike, Queryable } from "./pool.ts";
import { runTransaction } from "./run-transaction.ts";
import { CommitLostError } from "./session.ts";
import { sqlErrorOf } from "./sql-state.ts";
import { ask, idleLimitSql } from "./statement.ts";

/** All steps in order. */
export const migrations: readonly Migration[] = [fences, idempotencyKeys, outboxTable, ledger, lateQuestions];

const versionQuery = "SELECT coalesce(max(version), 0) AS version FROM holdfast.migrations";

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

async function versionOf(pool: PoolLike): Promise<number> {
  try {
    const [row] = await ask<{ version: number }>(pool, { operation: "migrate", standing: "read" }, versionQuery);
    return row?.version ?? 0;
  } catch (error) {
    // Neither the schema nor the table is there.
    const state = sqlErrorOf(error)?.state;
    if (state === "3F000" || state === "42P01") return 0;
    throw error;
  }
}

function runSteps(tx: Queryable): Promise<unknown> {
  return ask(tx, { operation: "migrate", standing: "in-transaction" }, statements(migrations));
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
 *   PostgresUnavailableError; OutcomeUnknownError when COMMIT got no answer: to migrate again is safe
 */
export async function migrate(pool: PoolLike, options: PostgresOptions = {}): Promise<MigrationReport> {
  const { events } = resolvePostgresOptions(options);
  const newest = migrations.length;
  const from = await versionOf(pool);
  if (from > newest) throw new NewerFormatError("schema holdfast", from, newest);
  if (from < newest) {
    const settings = resolveTransactionOptions("migrate", { ...options, isolation: "read-committed" });
    const first = (): string => idleLimitSql(settings.idleMs);
    await runTransaction(pool, settings, { first, body: runSteps }).catch(async (error: unknown) => {
      if (!(error instanceof CommitLostError)) throw error;
      // The connection that is asked may answer as little as the one before.
      const { clock, resolveMs } = settings;
      const patience = { clock, timeoutMs: Math.min(resolveMs, ambientRemainingMs()) };
      if ((await waitFor(versionOf(pool), patience).catch(() => from)) < newest) throw stepsLost(error);
    });
    events.emit(() => ({ type: "migrated", from, to: newest }));
  }
  return { from, to: newest };
}
