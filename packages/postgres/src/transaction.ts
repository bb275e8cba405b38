/** A transaction as its body sees it: statements, until its end and no further. */
import type { PoolClientLike, Queryable } from "./pool.ts";

/** What a statement came to. */
export interface Rows<Row> {
  readonly rows: Row[];
  /** Rows that were touched, as the driver tells. */
  readonly rowCount?: number | null;
  readonly command: string;
}

/**
 * `ROLLBACK TO SAVEPOINT` is the body's right, everything that ends or begins a transaction is not, nor behind a comment. What stands behind
 * another statement of one text is not looked for: that would take reading SQL.
 */
const control =
  /^(?:begin|start transaction|commit|end|abort|prepare transaction|rollback(?! (?:(?:work|transaction) )?to\b))\b/u;

/** What most statements begin with ends nothing, and need not be read any further. */
const harmless = /^\s*(?:select|insert|update|delete|with|merge)\b/iu;

const blank = /(?:[\s;]|--[^\n\r]*)*/uy;
const word = /[a-z]+\b/iuy;

/** As many as it takes to tell `rollback transaction to` from `rollback transaction`. */
const wordsMax = 3;

/** Behind the comment in stars that begins here. PostgreSQL nests them. */
function commentEnd(text: string, start: number): number {
  let depth = 0;
  for (const { 0: mark, index } of text.slice(start).matchAll(/\/\*|\*\//gu)) {
    depth += mark === "/*" ? 1 : -1;
    if (depth === 0) return start + index + mark.length;
  }
  return text.length;
}

/** The words that a text of SQL begins with, without the comments before and between them. */
function firstWords(text: string): string {
  const words: string[] = [];
  for (let at = 0; words.length < wordsMax;) {
    blank.lastIndex = at;
    blank.test(text);
    at = blank.lastIndex;
    if (text.startsWith("/*", at)) {
      at = commentEnd(text, at);
      continue;
    }
    word.lastIndex = at;
    if (!word.test(text)) break;
    words.push(text.slice(at, word.lastIndex));
    at = word.lastIndex;
  }
  return words.join(" ").toLowerCase();
}

/** The open transaction that a body works in. */
export class Transaction implements Queryable {
  readonly #client: PoolClientLike;
  readonly #run: (text: string, values?: readonly unknown[]) => Promise<unknown>;
  #ended = false;

  /**
   * Made by `withFence` and its like.
   * @param run sends a statement and gives its errors their meaning
   */
  constructor(client: PoolClientLike, run: (text: string, values?: readonly unknown[]) => Promise<unknown>) {
    this.#client = client;
    this.#run = run;
  }

  /**
   * The connection, for query builders and mappers. What is done with it after the body has ended lies outside the transaction, and
   * nothing notices.
   * @throws TypeError after the end of the body
   */
  get client(): PoolClientLike {
    this.#refuseEnded();
    return this.#client;
  }

  /**
   * Runs a statement. A statement that was not awaited still belongs to the transaction; one that comes after its end is refused.
   * @throws what PostgreSQL answers; PostgresUnavailableError, TransactionIdleError when the connection is gone; TypeError after the end
   *   and for statements that would end the transaction
   */
  async query<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Rows<Row>> {
    this.#refuseEnded();
    if (!harmless.test(text) && control.test(firstWords(text))) {
      throw new TypeError(
        `the transaction is begun and ended for its body; throw to roll it back, got ${JSON.stringify(text.slice(0, 64))}`,
      );
    }
    return (await this.#run(text, values)) as Rows<Row>;
  }

  /** Refuses statements from now on. */
  end(): void {
    this.#ended = true;
  }

  #refuseEnded(): void {
    if (this.#ended) throw new TypeError("the transaction has ended; await every statement within its body");
  }
}
