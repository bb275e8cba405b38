/** Types only: tsc checks this file, nothing runs it. */
import type { Hold } from "@holdfast/lock";
import type { Inventory } from "@holdfast/inventory";
import type { DurableTimer, Firing } from "@holdfast/timer";
import type { Client, Pool, PoolClient } from "pg";
import {
  applyMovements,
  commitOutcome,
  fence,
  type FencedHold,
  idempotentTransaction,
  migrate,
  outbox,
  type PoolLike,
  prune,
  type Queryable,
  reconcile,
  type TransactionOptions,
  withFence,
} from "../src/index.ts";

interface Payment {
  readonly order: string;
}

declare const pool: Pool;
declare const client: Client;
declare const pooled: PoolClient;
declare const bare: { query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }> };
/** As an application's own wrapper around a driver is typed. */
declare const wrapped: {
  query<Row>(text: string, values?: readonly unknown[]): Promise<{ rows: Row[]; took: number }>;
};
declare const hold: Hold;
declare const firing: Firing<Payment>;
declare const timer: DurableTimer<Payment>;
declare const stock: Inventory;

// A pool of pg is a pool, and each of these can run a statement.
const asPool: PoolLike = pool;
const queryables: readonly Queryable[] = [pool, client, pooled, bare, wrapped, asPool];

// Whatever is fenced is a hold.
const holds: readonly FencedHold[] = [hold, firing, { resource: "lock:a", token: 1 }];

// Undefined is as good as absent.
const options: TransactionOptions = { isolation: undefined, idleMs: undefined, signal: undefined, onEvent: undefined };

/** What is right. */
export async function right(): Promise<void> {
  await migrate(pool, { clock: undefined });
  const paid: number = await withFence(pool, holds, options, async (tx) => {
    await fence(tx, hold, { idleMs: undefined });
    const { rows } = await tx.query<{ amount: number }>("SELECT 1 AS amount");
    await outbox.schedule(tx, timer, { id: "a", afterMs: 1, payload: { order: "a" } });
    await outbox.schedule(tx, timer, { id: "a", afterMs: 1, payload: undefined });
    return rows[0]?.amount ?? 0;
  });
  const text: string = await withFence(pool, hold, async () => "text");
  for (const queryable of queryables) {
    await fence(queryable, hold);
    await outbox.cancel(queryable, timer, "a");
    await prune(queryable, { rowsMax: undefined });
    const { kind }: { kind: "committed" | "rolled-back" | "in-progress" | "forgotten" } = await commitOutcome(
      queryable,
      "1",
    );
    void kind;
  }
  const key = { name: "charge", tenant: "acme", key: "k", fingerprint: { paid, text }, retentionMs: undefined };
  const { value, replayed }: { value: { id: string }; replayed: boolean } = await idempotentTransaction(
    pool,
    key,
    async (tx, attempt) => {
      await tx.query("SELECT 1");
      return { id: attempt.downstreamKey };
    },
  );
  void [value, replayed];
  await using relay = outbox.relay(pool, timer, { pollMs: undefined });
  await relay.start();
  await applyMovements(pool, stock, { batchMax: undefined });
  await reconcile(pool, stock);
}

/** What is wrong. */
export async function wrong(): Promise<void> {
  // @ts-expect-error a bare queryable cannot hold a transaction together
  await withFence(bare, hold, async () => undefined);
  // @ts-expect-error a hold has a token
  await withFence(pool, { resource: "lock:a" }, async () => undefined);
  // @ts-expect-error no such isolation
  await withFence(pool, hold, { isolation: "read committed" }, async () => undefined);
  // @ts-expect-error a tenant is required
  await idempotentTransaction(pool, { name: "n", key: "k", fingerprint: 1 }, async () => 1);
  // @ts-expect-error and so is the payload
  await idempotentTransaction(pool, { name: "n", tenant: "t", key: "k" }, async () => 1);
  await withFence(pool, hold, async (tx) => {
    // @ts-expect-error the payload is the timer's
    await outbox.schedule(tx, timer, { id: "a", afterMs: 1, payload: { order: 1 } });
    // @ts-expect-error a delay, no date
    await outbox.schedule(tx, timer, { id: "a", at: new Date() });
  });
}
