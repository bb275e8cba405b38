/**
 * The outbox: what a transaction wants of a timer is written in that transaction, and told to the timer when it has been committed. Rows of
 * one id stand in the order of their commits (P4); telling is the relay's.
 */
import { integer, optionsObject } from "@holdfast/core";
import { columnText } from "./column-text.ts";
import { deadRows } from "./dead-rows.ts";
import type { DeadRows } from "./dead-rows.ts";
import { OutboxRelay } from "./outbox-relay.ts";
import { resolveRelayOptions } from "./outbox-options.ts";
import type { RelayOptions } from "./outbox-options.ts";
import type { PoolLike, Queryable } from "./pool.ts";
import type { OutboxTimer } from "./relayed-row.ts";
import { ask } from "./statement.ts";

/** A timer to schedule. */
export interface OutboxSchedule<Payload> {
  /** 1 to 256 bytes, without NUL. */
  readonly id: string;
  /** From the moment of this call, in milliseconds. Replaces the deadline of a timer that is pending. */
  readonly afterMs: number;
  readonly payload?: Payload | undefined;
}

/** What an outbox holds for one timer. */
export interface OutboxStatus {
  /** Rows that are still to be relayed. */
  readonly pending: number;
  /** Rows that the timer will never take; see `outbox.dead`. */
  readonly dead: number;
  /** Age of the oldest pending row in milliseconds; 0 when there is none. */
  readonly oldestMs: number;
}

const afterMaxMs = 100 * 366 * 86_400_000;

/** Whether there is a transaction around it is not to be seen from here. */
const advice =
  "run its transaction again, of which nothing was committed; without a transaction look first whether the timer has it, since a repeat is one more row and one more generation";

async function write(tx: Queryable, operation: string, values: readonly unknown[]): Promise<void> {
  await ask(
    tx,
    { operation, standing: "write", advice },
    "SELECT holdfast.outbox_write($1, $2, $3, $4::bigint, $5)",
    values,
  );
}

/** A timer of which only the name is known here, as in a service without Redis; payloads are not checked by type then. */
export interface NamedTimer {
  readonly name: string;
  readonly schedule?: undefined;
}

/**
 * Schedules a timer if and when the transaction commits.
 * @param tx the open transaction; outside of one the row is committed by itself
 * @param timer its name is written; nothing is sent from here
 * @throws TypeError, RangeError for bad input; PostgresRefusedError; 40001 and 40P01 as PostgreSQL has put them; PostgresUnavailableError, or
 *   OutcomeUnknownError when the connection was lost: run the transaction again; outside of one a repeat is not safe
 */
async function schedule<Payload>(
  tx: Queryable,
  timer: OutboxTimer<Payload>,
  request: OutboxSchedule<NoInfer<Payload>>,
): Promise<void>;
async function schedule(tx: Queryable, timer: NamedTimer, request: OutboxSchedule<unknown>): Promise<void>;
async function schedule(
  tx: Queryable,
  timer: { readonly name: string },
  request: OutboxSchedule<unknown>,
): Promise<void> {
  optionsObject("request", request);
  const payload = request.payload === undefined ? null : JSON.stringify(request.payload);
  if (payload === undefined) throw new TypeError(`payload must be JSON, got a ${typeof request.payload}`);
  await write(tx, `outbox.schedule ${request.id}`, [
    columnText("timer.name", timer.name),
    columnText("id", request.id),
    "schedule",
    integer("afterMs", request.afterMs, { min: 0, max: afterMaxMs }),
    payload,
  ]);
}

/**
 * Takes a timer back if and when the transaction commits.
 * @throws TypeError, RangeError for bad input; PostgresRefusedError; 40001 and 40P01 as PostgreSQL has put them; PostgresUnavailableError, or
 *   OutcomeUnknownError when the connection was lost: run the transaction again; outside of one a repeat is not safe
 */
async function cancel(tx: Queryable, timer: { readonly name: string }, id: string): Promise<void> {
  await write(tx, `outbox.cancel ${id}`, [
    columnText("timer.name", timer.name),
    columnText("id", id),
    "cancel",
    null,
    null,
  ]);
}

/**
 * Makes a relay, which tells the timer what was committed. Several may run, in one process or many.
 * @throws TypeError, RangeError
 */
function relay<Payload>(pool: PoolLike, timer: OutboxTimer<Payload>, options: RelayOptions = {}): OutboxRelay<Payload> {
  columnText("timer.name", timer.name);
  return new OutboxRelay(pool, timer, resolveRelayOptions(options));
}

/** What waits for the relays of a timer. @throws PostgresUnavailableError, PostgresRefusedError */
async function status(pool: Queryable, timer: { readonly name: string }): Promise<OutboxStatus> {
  const name = columnText("timer.name", timer.name);
  const [row] = await ask<{ pending: string; dead: string; oldest_ms: string }>(
    pool,
    { operation: `outbox.status ${name}`, standing: "read" },
    "SELECT pending::text, dead::text, oldest_ms::text FROM holdfast.outbox_status($1)",
    [name],
  );
  return { pending: Number(row?.pending), dead: Number(row?.dead), oldestMs: Number(row?.oldest_ms) };
}

/** Writing to the outbox, and relaying it. */
export interface Outbox {
  readonly schedule: typeof schedule;
  readonly cancel: typeof cancel;
  readonly relay: typeof relay;
  readonly status: typeof status;
  readonly dead: DeadRows;
}

/** `outbox.schedule(tx, timer, { id, afterMs, payload })`, `outbox.cancel(tx, timer, id)`, `outbox.relay(pool, timer)`. */
export const outbox: Outbox = { schedule, cancel, relay, status, dead: deadRows };
