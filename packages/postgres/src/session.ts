/**
 * One connection for one transaction: taken, watched while it is out, given back or thrown away. The only place that decides what a lost
 * connection means: before COMMIT was sent nothing was committed, after it nobody knows.
 */
import { PostgresUnavailableError, TransactionAbortedError, TransactionIdleError } from "./errors.ts";
import type { Isolation, ResolvedTransactionOptions } from "./options.ts";
import { isEndless, patienceOf, waitAtMost, waitFor, WaitOverError } from "./patience.ts";
import type { Patience } from "./patience.ts";
import type { PoolClientLike, PoolLike, Queryable, StatementResult } from "./pool.ts";
import { endsConnection, isConflict, isFailedTransaction, isIdleTimeout, leavesCommitOpen } from "./sql-state.ts";
import { explainFailure } from "./statement.ts";
import { Transaction } from "./transaction.ts";

/** COMMIT was sent and its answer was lost. Inside this package only; callers get an OutcomeUnknownError, or what is found by reading. */
export class CommitLostError extends Error {
  /** PostgreSQL's number of the transaction, where its first statement told it. */
  readonly transactionId: string | undefined;

  constructor(operation: string, transactionId: string | undefined, options: ErrorOptions) {
    super(`${operation}: COMMIT got no answer`, options);
    this.transactionId = transactionId;
  }
}

const begins: Readonly<Record<Isolation, string>> = {
  "read-committed": "BEGIN ISOLATION LEVEL READ COMMITTED",
  "repeatable-read": "BEGIN ISOLATION LEVEL REPEATABLE READ",
  serializable: "BEGIN ISOLATION LEVEL SERIALIZABLE",
};

/** A rollback that takes longer is left to the server, which rolls back when the connection is closed. */
const rollbackTimeoutMs = 2_000;

/** The rows of the last of several statements in one message, which are answered with a list. */
function lastRows(answers: unknown): readonly unknown[] {
  const last = (Array.isArray(answers) ? answers.at(-1) : answers) as { rows?: readonly unknown[] } | undefined;
  return last?.rows ?? [];
}

function transactionIdOf([row]: readonly unknown[]): string | undefined {
  const xid = (row as { xid?: unknown } | undefined)?.xid;
  return typeof xid === "string" ? xid : undefined;
}

/**
 * Asks outside of a transaction, on a connection that goes to nobody else when it gives no answer: within `commitTimeoutMs`, before the
 * ambient deadline and until the signal aborts.
 * @throws PostgresUnavailableError, the signal's reason, what `question` throws
 */
export async function askInTime<Value>(
  pool: PoolLike,
  options: ResolvedTransactionOptions,
  question: (waiting: Queryable) => Promise<Value>,
): Promise<Value> {
  const session = await Session.open(pool, options, options.commitTimeoutMs);
  try {
    return await question(session.waiting);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw error;
  } finally {
    session.close();
  }
}

/** A connection with an open transaction. */
export class Session {
  readonly tx: Transaction;
  readonly #client: PoolClientLike;
  readonly #options: ResolvedTransactionOptions;
  readonly #onError = (error: Error): void => {
    this.#lost ??= error;
  };
  /** Why the connection is gone or must not be used again. */
  #lost: unknown;
  /** The error of the last statement that failed. */
  #failure: unknown;
  #rows: readonly unknown[] = [];

  private constructor(client: PoolClientLike, options: ResolvedTransactionOptions) {
    this.#client = client;
    this.#options = options;
    // Without a listener the end of an idle connection is an uncaught exception: pools listen only while they have it.
    client.on("error", this.#onError);
    this.tx = new Transaction(client, (text, values) => this.#run(text, values));
  }

  /**
   * Takes a connection.
   * @param answerMs the longest wait; the signal and the ambient deadline end it, too
   * @throws PostgresUnavailableError, or the signal's reason
   */
  static async open(pool: PoolLike, options: ResolvedTransactionOptions, answerMs: number): Promise<Session> {
    const { operation, clock, signal } = options;
    signal?.throwIfAborted();
    const patience = patienceOf(clock, signal, answerMs);
    const connecting = pool.connect();
    try {
      return new Session(await waitFor(connecting, patience), options);
    } catch (error) {
      // One that comes too late goes back unused.
      connecting.then(
        (client) => client.release(),
        () => undefined,
      );
      signal?.throwIfAborted();
      const reason = error instanceof WaitOverError && patience.ambient ? "deadline" : "unreachable";
      throw new PostgresUnavailableError(operation, reason, { cause: error });
    }
  }

  /** What the statement answered that went with BEGIN. */
  get rows(): readonly unknown[] {
    return this.#rows;
  }

  /** For statements of this package's own between the body and COMMIT: an answer is waited for as long as that of COMMIT. */
  get own(): Queryable {
    return { query: (text, values) => this.#beforeCommit(text, values) };
  }

  /** For one that may have to wait for others: the signal and the ambient deadline end its wait, too, and nothing was committed. */
  get waiting(): Queryable {
    return { query: (text, values) => this.#behindOthers(this.#run(text, values), this.#options.commitTimeoutMs) };
  }

  /**
   * Begins the transaction.
   * @param first a statement without parameters that goes with BEGIN, so that it costs no round trip of its own, and nobody waits longer
   *   for it; it may answer the transaction's number as `xid`
   * @param answerMs as for `open`
   * @throws what the statement throws; PostgresUnavailableError at the ambient deadline, the signal's reason
   */
  async begin(first: string | undefined, answerMs: number): Promise<void> {
    const { isolation } = this.#options;
    const begin = isolation === undefined ? "BEGIN" : begins[isolation];
    try {
      const begun = this.#run(first === undefined ? begin : `${begin}; ${first}`);
      this.#rows = lastRows(await this.#behindOthers(begun, answerMs));
    } catch (error) {
      this.#options.signal?.throwIfAborted();
      throw explainFailure(error, { operation: this.#options.operation, standing: "in-transaction" });
    }
  }

  /**
   * Commits.
   * @throws CommitLostError when the answer was lost; TransactionAbortedError when the transaction had failed before; what PostgreSQL
   *   answers, as a violation of a deferred constraint: then nothing was committed
   */
  async commit(): Promise<void> {
    const { operation, clock, commitTimeoutMs } = this.#options;
    this.tx.end();
    if (this.#lost !== undefined) throw this.#gone(this.#lost);
    let command: string;
    try {
      ({ command } = await waitAtMost(this.#client.query("COMMIT"), clock, commitTimeoutMs));
    } catch (error) {
      // An idle session is ended before it reads a command: COMMIT was not seen.
      if (isIdleTimeout(error) || isIdleTimeout(this.#lost)) throw this.#gone(error);
      if (!leavesCommitOpen(error)) throw error;
      this.#lost ??= error;
      throw new CommitLostError(operation, transactionIdOf(this.#rows), { cause: error });
    }
    if (command !== "COMMIT") throw this.#aborted();
  }

  /** What the error was that the body has caught, or that it has to run again. */
  #aborted(): unknown {
    if (isConflict(this.#failure)) return this.#failure;
    return new TransactionAbortedError(this.#options.operation, { cause: this.#failure });
  }

  /** Rolls back, for as long as that makes sense. Never throws: what went wrong before is what counts. */
  async rollback(): Promise<void> {
    this.tx.end();
    if (this.#lost !== undefined) return;
    try {
      await waitAtMost(this.#client.query("ROLLBACK"), this.#options.clock, rollbackTimeoutMs);
    } catch (error) {
      this.#lost ??= error;
    }
  }

  /** Gives the connection back, or closes it when something is wrong with it. */
  close(): void {
    const broken = this.#lost !== undefined;
    this.#client.release(broken);
    // A connection that is being closed may still report its end, which nobody waits for.
    if (!broken) this.#client.off("error", this.#onError);
  }

  async #beforeCommit(text: string, values?: readonly unknown[]): Promise<StatementResult> {
    const { clock, commitTimeoutMs: timeoutMs } = this.#options;
    try {
      return await this.#waited(this.#run(text, values), { clock, timeoutMs }, "connection-lost");
    } catch (error) {
      // The body has caught an error, which fails this statement as it would have failed COMMIT.
      throw isFailedTransaction(error) ? this.#aborted() : error;
    }
  }

  /** Waits for a statement that may have to wait for others; the signal and the ambient deadline end that, too. */
  #behindOthers(statement: Promise<StatementResult>, answerMs: number): Promise<StatementResult> {
    const patience = patienceOf(this.#options.clock, this.#options.signal, answerMs);
    return this.#waited(statement, patience, patience.ambient ? "deadline" : "connection-lost");
  }

  /** Waits for a statement that may have to wait for others, such as the fence, or gets no answer at all. */
  #waited(
    statement: Promise<StatementResult>,
    patience: Patience,
    reason: "deadline" | "connection-lost",
  ): Promise<StatementResult> {
    if (isEndless(patience)) return statement;
    return waitFor(statement, patience).catch((error: unknown) => {
      if (error instanceof WaitOverError) {
        this.#lost ??= error;
        throw new PostgresUnavailableError(this.#options.operation, reason, { cause: error });
      }
      // The statement goes on waiting in the server, so the connection is of no use any more.
      if (patience.signal?.aborted === true) this.#lost ??= patience.signal.reason;
      throw error;
    });
  }

  async #run(text: string, values?: readonly unknown[]): Promise<StatementResult> {
    try {
      // A driver may write to the array; ours stays as it is.
      return await (values === undefined ? this.#client.query(text) : this.#client.query(text, [...values]));
    } catch (error) {
      // What is asked of a failed transaction fails, too, and says nothing of why.
      if (this.#failure === undefined || !isFailedTransaction(error)) this.#failure = error;
      if (endsConnection(error)) this.#lost ??= error;
      throw this.#lost === undefined ? error : this.#gone(error);
    }
  }

  /** What it means that the connection is gone before COMMIT was sent. */
  #gone(error: unknown): Error {
    const { operation } = this.#options;
    const cause = isIdleTimeout(error) ? error : this.#lost;
    if (isIdleTimeout(cause)) return new TransactionIdleError(operation, { cause });
    return new PostgresUnavailableError(operation, "connection-lost", { cause });
  }
}
