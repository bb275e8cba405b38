/**
 * PostgreSQL's part in coordination: the resource refuses the stale writer, the key commits with the write, the timer hears of what was
 * committed.
 *
 * ```ts
 * await migrate(pool);
 * await lock.withLock("invoice:42", (hold) =>
 *   withFence(pool, hold, async (tx) => {
 *     await tx.query("UPDATE invoices SET state = 'sent' WHERE id = $1", [42]);
 *     await outbox.schedule(tx, reminders, { id: "invoice-42", afterMs: 86_400_000 });
 *   }),
 * );
 * ```
 */
export { commitOutcome, type CommitOutcome } from "./commit-outcome.ts";
export type { DeadRow, DeadRows, DeadRowsOptions } from "./dead-rows.ts";
export {
  LedgerStoppedError,
  PostgresRefusedError,
  PostgresUnavailableError,
  TransactionAbortedError,
  TransactionConflictError,
  TransactionIdleError,
} from "./errors.ts";
export { postgresChannel, type PostgresEvent } from "./events.ts";
export { fence, withFence, type FencedHold, type TransactionBody } from "./fence.ts";
export { grantSql, type Use } from "./grants.ts";
export type { TransactionKey } from "./idempotency-claim.ts";
export {
  idempotentTransaction,
  type IdempotentBody,
  type IdempotentResult,
  type IdempotentTransactionOptions,
  type TransactionAttempt,
} from "./idempotent-transaction.ts";
export {
  applyMovements,
  ledgerCursor,
  resetLedger,
  type LedgerOptions,
  type LedgerReport,
  type ResetOptions,
} from "./ledger.ts";
export { migrate, migrationSql, type MigrateOptions, type MigrationReport } from "./migrate.ts";
export type {
  Movement,
  MovementChange,
  MovementCursor,
  MovementReader,
  MovementSource,
  StockLevel,
  StockSource,
} from "./movement-source.ts";
export type { FenceOptions, Isolation, PostgresOptions, TransactionOptions } from "./options.ts";
export { outbox, type NamedTimer, type Outbox, type OutboxSchedule, type OutboxStatus } from "./outbox.ts";
export type { RelayOptions } from "./outbox-options.ts";
export { OutboxRelay, type RelayStopReport } from "./outbox-relay.ts";
export type { PoolClientLike, PoolLike, Queryable, StatementResult } from "./pool.ts";
export { prune, type PruneOptions, type PruneReport } from "./prune.ts";
export { reconcile, type Drift, type ReconcileOptions, type ReconcileReport } from "./reconcile.ts";
export type { OutboxTimer } from "./relayed-row.ts";
export { Transaction, type Rows } from "./transaction.ts";
export { HoldfastError, OutcomeUnknownError } from "@holdfast/core";
export { FingerprintMismatchError, InProgressError } from "@holdfast/idempotency";
export { StaleTokenError } from "@holdfast/lock/guard";
