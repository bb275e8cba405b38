/**
 * The relay: claims rows, tells the timer, removes them, all in one transaction, so that a relay that dies leaves them to the next one. What
 * was told and not removed is told again under the same operation id, which the timer answers without doing it again.
 *
 * Two relays never have rows of one id at a time, unless PostgreSQL has given up on the connection of one. That one must not speak any more:
 * it asks the timer within `freshMs` of the claim or not at all, and what it had asked before carries the bounds of K1.
 *
 * The timer remembers an operation for a while only. What this relay told and could not remove it remembers itself, and removes without
 * telling it again, however long PostgreSQL was away. Another relay cannot know; the README says so.
 *
 * A connection may answer nothing and never end. What is asked of PostgreSQL is given up after `claimMs`, when the claim is worth nothing any
 * more, and the next pass takes another connection.
 */
import { backoffMs, elapsedMs, integer, now, sleep, withAmbientDeadline, withoutAmbientDeadline } from "@holdfast/core";
import { PostgresUnavailableError } from "./errors.ts";
import { resolveTransactionOptions } from "./options.ts";
import type { ResolvedTransactionOptions } from "./options.ts";
import type { ResolvedRelayOptions } from "./outbox-options.ts";
import { waitFor, WaitOverError } from "./patience.ts";
import type { PoolLike } from "./pool.ts";
import { relayRow } from "./relayed-row.ts";
import type { OutboxRow, OutboxTimer, Relayed, Unrelayed } from "./relayed-row.ts";
import { runTransaction } from "./run-transaction.ts";
import { ask } from "./statement.ts";
import type { Statement } from "./statement.ts";
import type { Transaction } from "./transaction.ts";

/** What a stop came to. */
export interface RelayStopReport {
  /** Whether the pass that was under way came to its end. If not, its rows are relayed again by whoever comes next. */
  readonly finished: boolean;
}

/** The longest time from asking for rows to telling the timer. Far below the minute for which a timer remembers operations. */
const freshMs = 2_000;

/**
 * What is given up at the end of a grace is over in a moment. A COMMIT that gets no answer is not; it ends by itself, nothing begins after it,
 * and what it leaves is told again under its operation ids.
 */
const givingUpMs = 250;

/** So many rows are remembered that were told and, for all that is known, not removed: ten passes of the largest size. */
const toldMax = 10_000;

class StaleClaimError extends Error {}

/** A pass failed because of Redis; the rows it did relay are gone from the outbox. */
class RelayTroubleError extends Error {}

interface RawRow extends Omit<OutboxRow, "remainingMs" | "lagMs"> {
  readonly remaining_ms: string | null;
  readonly lag_ms: string;
}

/** Tells a timer what the outbox holds for it. */
export class OutboxRelay<Payload> implements AsyncDisposable {
  readonly #pool: PoolLike;
  readonly #timer: OutboxTimer<Payload>;
  readonly #options: ResolvedRelayOptions;
  readonly #transaction: ResolvedTransactionOptions;
  readonly #statement: Statement;
  /** Ends the waiting between passes. */
  readonly #stopping = new AbortController();
  /** Ends a pass that outlasts the grace. */
  readonly #abandoned = new AbortController();
  /** Operations that the timer has done and whose rows may still be there, the oldest first. */
  readonly #told = new Set<string>();
  #running: Promise<void> | undefined;
  #failures = 0;

  /** Made by `outbox.relay`. */
  constructor(pool: PoolLike, timer: OutboxTimer<Payload>, options: ResolvedRelayOptions) {
    this.#pool = pool;
    this.#timer = timer;
    this.#options = options;
    const { clock, random } = options;
    this.#transaction = {
      ...resolveTransactionOptions(`outbox relay ${timer.name}`, {
        isolation: "read-committed",
        clock,
        random,
        commitTimeoutMs: options.claimMs,
        signal: this.#abandoned.signal,
      }),
      events: options.events,
    };
    this.#statement = { operation: this.#transaction.operation, standing: "in-transaction" };
  }

  /** Starts relaying; safe to repeat. @throws TypeError after stop */
  async start(): Promise<void> {
    if (this.#stopping.signal.aborted)
      throw new TypeError("a relay that was stopped does not start again; make a new one");
    this.#running ??= withoutAmbientDeadline(() => this.#run());
  }

  /**
   * Stops: the pass that is under way has the grace to end, whoever does not answer.
   * @param options `graceMs` milliseconds, 0 to 86,400,000
   */
  async stop(options: { readonly graceMs: number } = { graceMs: 10_000 }): Promise<RelayStopReport> {
    const graceMs = integer("graceMs", options.graceMs, { min: 0, max: 86_400_000 });
    this.#stopping.abort();
    const { clock } = this.#options;
    const over = Promise.withResolvers<void>();
    let timer = clock.setTimer(() => {
      this.#abandoned.abort(new Error("the relay was stopped"));
      timer = clock.setTimer(() => over.resolve(), givingUpMs);
    }, graceMs);
    await Promise.race([this.#running, over.promise]);
    clock.clearTimer(timer);
    return { finished: !this.#abandoned.signal.aborted };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const { clock, pollMs } = this.#options;
    while (!signal.aborted) {
      const waitMs = await this.#pass().then(
        (full) => (full ? 0 : pollMs),
        (error: unknown) => this.#trouble(error),
      );
      // The only reason to reject is the stop.
      await sleep(clock, waitMs, signal).catch(() => undefined);
    }
  }

  /** Milliseconds until the next pass. */
  #trouble(error: unknown): number {
    const { backoff, random, events } = this.#options;
    this.#failures += 1;
    const retryInMs = backoffMs(backoff, this.#failures, random);
    const { name: timer } = this.#timer;
    events.emit(() => ({
      type: "trouble",
      timer,
      failures: this.#failures,
      retryInMs,
      error: error instanceof RelayTroubleError ? error.cause : error,
    }));
    return retryInMs;
  }

  /** @returns whether there may be more */
  async #pass(): Promise<boolean> {
    const { clock, claimMs, rowsMax, events } = this.#options;
    const { name: timer } = this.#timer;
    const run = (): Promise<readonly Relayed[]> =>
      runTransaction(this.#pool, this.#transaction, { body: (tx) => this.#relay(tx) });
    const answers = await withAmbientDeadline(claimMs, run, clock);
    for (const answer of answers) if (answer.kind === "relayed") this.#removed(answer.row);
    const inTrouble = answers.find((answer): answer is Unrelayed => answer.kind === "later");
    if (inTrouble !== undefined) throw new RelayTroubleError("the timer could not be told", { cause: inTrouble.error });
    const failures = this.#failures;
    if (failures > 0) events.emit(() => ({ type: "recovered", timer, failures }));
    this.#failures = 0;
    // Successors of what was relayed may stand behind it.
    return answers.length === rowsMax || answers.some(({ kind }) => kind === "relayed");
  }

  async #relay(tx: Transaction): Promise<readonly Relayed[]> {
    const { clock, rowsMax, claimMs } = this.#options;
    const asked = now(clock);
    const claimed = await this.#asked<RawRow>(
      tx,
      "SELECT sequence, id, action, remaining_ms, payload, operation, attempts, lag_ms FROM holdfast.outbox_claim($1, $2::integer, $3::integer)",
      [this.#timer.name, rowsMax, claimMs],
    );
    // After a pause somebody else may have these rows. From here on to the last request nothing waits.
    if (elapsedMs(clock, asked) > freshMs) throw new StaleClaimError("the claim is no longer fresh");
    const sending = withoutAmbientDeadline(() =>
      claimed.map(({ remaining_ms: remainingMs, lag_ms: lagMs, ...row }) =>
        this.#once({ ...row, remainingMs: Number(remainingMs), lagMs: Number(lagMs) }),
      ),
    );
    if (sending.length === 0) return [];
    const answers = await waitFor(Promise.all(sending), { clock, signal: this.#abandoned.signal, timeoutMs: Infinity });
    const relayed = answers.filter(({ kind }) => kind === "relayed").map(({ row }) => row.sequence);
    await this.#asked(tx, "SELECT holdfast.outbox_relayed($1::bigint[])", [relayed]);
    for (const answer of answers) {
      if (answer.kind === "postponed" || answer.kind === "dead") await this.#refused(tx, answer);
    }
    return answers;
  }

  /** Tells the timer, unless this relay has done so before. */
  async #once(row: OutboxRow): Promise<Relayed> {
    if (this.#told.has(row.operation)) return { kind: "relayed", row };
    const answer = await relayRow(this.#timer, row);
    if (answer.kind === "relayed") {
      const [oldest] = this.#told;
      if (oldest !== undefined && this.#told.size === toldMax) this.#told.delete(oldest);
      this.#told.add(row.operation);
    }
    return answer;
  }

  /** Asks, but neither beyond the claim nor beyond the grace of a stop. */
  async #asked<Row>(tx: Transaction, text: string, values: readonly unknown[]): Promise<Row[]> {
    const { clock, claimMs: timeoutMs } = this.#options;
    const { operation } = this.#statement;
    try {
      return await waitFor(ask<Row>(tx, this.#statement, text, values), {
        clock,
        signal: this.#abandoned.signal,
        timeoutMs,
      });
    } catch (error) {
      if (!(error instanceof WaitOverError)) throw error;
      throw new PostgresUnavailableError(operation, "connection-lost", { cause: error });
    }
  }

  async #refused(tx: Transaction, answer: Unrelayed): Promise<void> {
    const { row, error } = answer;
    const { backoff, random, events } = this.#options;
    const attempts = row.attempts + 1;
    const retryInMs = answer.kind === "dead" ? null : backoffMs(backoff, attempts, random);
    const why = String(error).replaceAll("\0", "").slice(0, 1_000);
    await this.#asked(tx, "SELECT holdfast.outbox_failed($1::bigint, $2, $3::bigint)", [row.sequence, why, retryInMs]);
    const { name: timer } = this.#timer;
    const { id } = row;
    if (retryInMs === null) events.emit(() => ({ type: "dead", timer, id, error }));
    else events.emit(() => ({ type: "postponed", timer, id, attempts, retryInMs, error }));
  }

  #removed({ id, action, operation: operationId, lagMs }: OutboxRow): void {
    this.#told.delete(operationId);
    const { name: timer } = this.#timer;
    this.#options.events.emit(() => ({ type: "relayed", timer, id, action, operationId, lagMs }));
  }
}
