/**
 * TIMEOUTS=memory: setTimeout, with everything that can be done from inside one process. A database that fails is asked again until it
 * answers; SIGTERM waits for the timeouts that come due within the grace period and for those that run; what is left is logged. What no
 * code in here can do is outlive the process, and a payment timeout is longer than a grace period.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Log, OnTimeout, PaymentTimeouts } from "./payment-timeouts.ts";
import type { Database } from "./transaction.ts";

const RETRY_BASE_MS = 100;
const RETRY_MAX_MS = 5_000;

interface Armed {
  readonly dueMs: number;
  readonly handle: NodeJS.Timeout;
}

/** Timeouts that live and die with this process. */
export class MemoryTimeouts implements PaymentTimeouts {
  private readonly onTimeout: OnTimeout;
  private readonly log: Log;
  private readonly armed = new Map<string, Armed>();
  private readonly running = new Map<string, Promise<void>>();
  private readonly abandoned = new AbortController();

  constructor(onTimeout: OnTimeout, log: Log) {
    this.onTimeout = onTimeout;
    this.log = log;
  }

  async start(): Promise<void> {
    // Nothing to restore: what an earlier process held in its memory is not known here.
  }

  /** Should the transaction fail, there is no order to time out, which does no harm. */
  async schedule(_tx: Database, orderId: string, afterMs: number): Promise<void> {
    const handle = setTimeout(() => this.fire(orderId), afterMs);
    this.armed.set(orderId, { dueMs: performance.now() + afterMs, handle });
  }

  async cancel(): Promise<void> {
    // Not before the transaction is committed: the order would stay pending if it fails.
  }

  forget(orderId: string): void {
    clearTimeout(this.armed.get(orderId)?.handle);
    this.armed.delete(orderId);
  }

  async stop(graceMs: number): Promise<void> {
    const endMs = performance.now() + graceMs;
    for (;;) {
      const remainingMs = endMs - performance.now();
      const next = Math.min(...[...this.armed.values()].map(({ dueMs }) => dueMs));
      if (next < endMs) await this.pause(Math.max(1, next - performance.now()));
      else if (this.running.size > 0 && remainingMs > 0)
        await Promise.race([Promise.all(this.running.values()), this.pause(remainingMs)]);
      else break;
    }
    this.abandoned.abort();
    const lost = [...this.armed.keys(), ...this.running.keys()];
    for (const { handle } of this.armed.values()) clearTimeout(handle);
    this.armed.clear();
    if (lost.length > 0)
      this.log.error(
        { count: lost.length, orderIds: lost },
        "payment timeouts lost: their time comes after the grace period",
      );
  }

  private fire(orderId: string): void {
    this.armed.delete(orderId);
    const run = this.runUntilDone(orderId).finally(() => this.running.delete(orderId));
    this.running.set(orderId, run);
  }

  private async runUntilDone(orderId: string): Promise<void> {
    for (let attempt = 0; !this.abandoned.signal.aborted; attempt += 1) {
      try {
        await this.onTimeout(orderId, null);
        return;
      } catch (error) {
        const delayMs = Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** attempt);
        this.log.warn({ orderId, err: error, delayMs }, "payment timeout failed, trying again");
        await this.pause(delayMs);
      }
    }
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.abandoned.signal }).catch(() => undefined);
  }
}
