/** What this package needs of a database driver: `pg` has all of it, and where a statement is enough, anything with `query` will do. */

/** Runs one statement: a client or a pool of `pg`, a transaction of this package, or anything alike. */
export interface Queryable {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

/** What a statement came to. */
export interface StatementResult {
  rows: unknown[];
  /** The command tag's first word: `COMMIT` is answered with `ROLLBACK` when the transaction had failed before. */
  command: string;
}

/** A connection that was taken from a pool. */
export interface PoolClientLike {
  query(text: string, values?: unknown[]): Promise<StatementResult>;
  /** @param destroy true to close the connection instead of keeping it */
  release(destroy?: boolean): void;
  on(event: "error", listener: (error: Error) => void): unknown;
  off(event: "error", listener: (error: Error) => void): unknown;
}

/** A pool of connections; never ended or reconfigured by this package. */
export interface PoolLike extends Queryable {
  connect(): Promise<PoolClientLike>;
}
