/**
 * A durable timer that hears of what was committed and of nothing else: schedules and cancels are rows of the outbox, written in the
 * caller's transaction, and a relay tells the timer. A process that dies between its COMMIT and the relay loses nothing: any replica's relay
 * goes on with the row.
 */
import { outbox, type OutboxRelay, type PostgresEvent } from "@holdfast/postgres";
import { DurableTimer, type Firing, type TimerWorker } from "@holdfast/timer";
import type { Redis } from "ioredis";
import type { Pool } from "pg";
import type { Log } from "./payment-timeouts.ts";
import type { Database } from "./transaction.ts";

/** How the timer is kept. */
export interface CommittedTimerOptions {
  readonly prefix: string;
  readonly commandTimeoutMs: number;
  readonly leaseMs: number;
  readonly pollMs: number;
  /** From this age of its oldest row on the outbox counts as stuck. */
  readonly outboxLagMaxMs: number;
}

const CONCURRENCY_MAX = 16;

/** 500 attempts, a quarter to half a minute apart once the first have failed, ride out a database that is away for three hours. */
const ATTEMPTS_MAX = 500;
const BACKOFF = { baseMs: 100, delayMaxMs: 30_000 };

/** One timer, with its worker and its relay. */
export class CommittedTimer<Payload> {
  readonly timer: DurableTimer<Payload>;
  private readonly pool: Pool;
  private readonly worker: TimerWorker<Payload>;
  private readonly relay: OutboxRelay<Payload>;
  private readonly outboxLagMaxMs: number;
  private running = false;

  constructor(
    redis: Redis,
    pool: Pool,
    name: string,
    log: Log,
    { prefix, commandTimeoutMs, leaseMs, pollMs, outboxLagMaxMs }: CommittedTimerOptions,
    handle: (firing: Firing<Payload>) => Promise<void>,
  ) {
    this.pool = pool;
    this.outboxLagMaxMs = outboxLagMaxMs;
    this.timer = new DurableTimer<Payload>(redis, name, { prefix, commandTimeoutMs });
    this.worker = this.timer.worker(
      { concurrencyMax: CONCURRENCY_MAX, leaseMs, pollMs, attemptsMax: ATTEMPTS_MAX, backoff: BACKOFF },
      handle,
    );
    this.relay = outbox.relay(pool, this.timer, { onEvent: (event) => report(event, log) });
  }

  /** With the transaction. */
  schedule(tx: Database, id: string, afterMs: number, payload: Payload): Promise<void> {
    return outbox.schedule(tx, this.timer, { id, afterMs, payload });
  }

  /** With the transaction. */
  cancel(tx: Database, id: string): Promise<void> {
    return outbox.cancel(tx, this.timer, id);
  }

  /** @throws Error when what was committed does not reach the timer. */
  async check(): Promise<void> {
    if (!this.running) throw new Error("the relay is not running");
    const { oldestMs } = await outbox.status(this.pool, this.timer);
    if (oldestMs > this.outboxLagMaxMs) throw new Error(`a row has been waiting in the outbox for ${oldestMs} ms`);
  }

  async start(): Promise<void> {
    await this.worker.start();
    await this.relay.start();
    this.running = true;
  }

  async stop(graceMs: number): Promise<void> {
    this.running = false;
    await Promise.all([
      this.worker.stop({ graceMs: Math.floor(graceMs) }),
      this.relay.stop({ graceMs: Math.floor(graceMs) }),
    ]);
    await this.timer.close();
  }
}

function report(event: PostgresEvent, log: Log): void {
  if (event.type === "trouble") log.warn({ err: event.error, timer: event.timer }, "the outbox is not relayed");
  if (event.type === "dead") log.error({ err: event.error, id: event.id }, "a row of the outbox was given up");
}
