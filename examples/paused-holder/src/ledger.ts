/**
 * Owns the ledger: the accounts and their entries in PostgreSQL. An entry keeps the balance it led to, so that one which was computed from
 * an outdated balance can be found for ever.
 */
import { OPENING_CENTS, type Posting } from "./course.ts";

/** A pool, a client or a transaction. */
export interface Database {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: unknown[] }>;
}

/** What the ledger says of itself. */
export interface LedgerAudit {
  readonly entries: number;
  /** Entries that were computed from a balance which was not that of the entry before. */
  readonly lostUpdates: number;
  /** Accounts whose balance is not what they opened with and all their entries. */
  readonly accountsWrong: number;
  /** By how much, all of them together. */
  readonly wrongByCents: number;
}

const SCHEMA = `
  CREATE TABLE accounts (id text PRIMARY KEY, balance_cents integer NOT NULL);
  CREATE TABLE entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL REFERENCES accounts,
    amount_cents integer NOT NULL,
    balance_cents integer NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
  )`;

const AUDIT = `
  WITH chain AS (
    SELECT account, amount_cents, balance_cents,
           lag(balance_cents, 1, $1::integer) OVER (PARTITION BY account ORDER BY id) AS before_cents
    FROM entries
  ), sums AS (
    SELECT a.id, abs(a.balance_cents - $1::integer - coalesce(sum(e.amount_cents), 0)) AS wrong_by
    FROM accounts a LEFT JOIN entries e ON e.account = a.id
    GROUP BY a.id
  )
  SELECT (SELECT count(*)::int FROM entries) AS "entries",
         (SELECT count(*)::int FROM chain WHERE balance_cents <> before_cents + amount_cents) AS "lostUpdates",
         (SELECT count(*)::int FROM sums WHERE wrong_by > 0) AS "accountsWrong",
         (SELECT coalesce(sum(wrong_by), 0)::int FROM sums) AS "wrongByCents"`;

/** Creates the tables, and opens the accounts. */
export async function openLedger(database: Database, accounts: readonly string[]): Promise<void> {
  await database.query(SCHEMA);
  await database.query("INSERT INTO accounts SELECT unnest($1::text[]), $2", [accounts, OPENING_CENTS]);
}

/** The balance of an account, in cents. */
export async function balanceOf(database: Database, account: string): Promise<number> {
  const { rows } = await database.query("SELECT balance_cents FROM accounts WHERE id = $1", [account]);
  const row = rows[0] as { balance_cents: number } | undefined;
  if (row === undefined) throw new Error(`There is no account ${account}.`);
  return row.balance_cents;
}

/** Adds an entry, and sets the balance that was computed for it. Within a transaction. */
export async function enter(
  database: Database,
  { account, amountCents }: Posting,
  balanceCents: number,
): Promise<void> {
  await database.query("INSERT INTO entries (account, amount_cents, balance_cents) VALUES ($1, $2, $3)", [
    account,
    amountCents,
    balanceCents,
  ]);
  await database.query("UPDATE accounts SET balance_cents = $2 WHERE id = $1", [account, balanceCents]);
}

/** Checks the ledger against itself. */
export async function auditLedger(database: Database): Promise<LedgerAudit> {
  const { rows } = await database.query(AUDIT, [OPENING_CENTS]);
  return rows[0] as LedgerAudit;
}
