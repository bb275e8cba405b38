/** What the actors of the random suite do, in this process and in others: one order, one transaction, one report. */
import { setTimeout as delay } from "node:timers/promises";
import { HoldfastError, OutcomeUnknownError } from "@holdfast/core";
import type { Pool } from "pg";
import {
  idempotentTransaction,
  InProgressError,
  type Isolation,
  outbox,
  type PostgresEvent,
  StaleTokenError,
  type Transaction,
  withFence,
} from "../../src/index.ts";

/** Longest silence in a transaction, in milliseconds: what a pause costs the successor. */
export const idleMs = 250;

/** Longest wait for the answer to COMMIT, and for what became of it. */
export const commitTimeoutMs = 1_000;
export const resolveMs = 800;

interface Common {
  /** Names the order in every journal. */
  readonly id: string;
  readonly isolation: Isolation;
  /** How long the body works. */
  readonly holdMs: number;
}

/** One transaction to run. */
export type Order =
  | (Common & { readonly kind: "fence"; readonly resource: string; readonly token: number })
  | (Common & { readonly kind: "key"; readonly key: string })
  | (Common & { readonly kind: "outbox"; readonly timer: string; readonly timerId: string; readonly cancels: boolean });

/** What became of an order, as its caller hears it. */
export interface Report {
  readonly order: Order;
  /** `nothing`: an error with `effect: "none"`. `lost`: the process was killed before it could say. */
  readonly outcome: "committed" | "replayed" | "stale" | "busy" | "nothing" | "unknown" | "lost";
  /** Of a key: which order's body made the answer. */
  readonly answer?: string | undefined;
  readonly operationId?: string | undefined;
  readonly highest?: number | undefined;
  readonly error?: string | undefined;
  /** What was found out by reading, after a COMMIT without answer. */
  readonly resolved?: "committed" | "rolled-back" | undefined;
  readonly tookMs: number;
}

/** Something to do in the moment before COMMIT goes out. */
export type BeforeCommit = (tx: Transaction) => void;

async function attempt(
  pool: Pool,
  order: Order,
  beforeCommit: BeforeCommit,
  onEvent: (event: PostgresEvent) => void,
): Promise<Pick<Report, "outcome" | "answer">> {
  const { id, isolation, holdMs } = order;
  const options = { isolation, idleMs, attemptsMax: 50, commitTimeoutMs, resolveMs, onEvent };
  if (order.kind === "key") {
    const key = { name: "charge", tenant: "acme", key: order.key, fingerprint: { key: order.key } };
    const { value, replayed } = await idempotentTransaction(pool, { ...key, ...options }, async (tx) => {
      await tx.query("INSERT INTO effects (key, id) VALUES ($1, $2)", [order.key, id]);
      await delay(holdMs);
      beforeCommit(tx);
      return id;
    });
    return { outcome: replayed ? "replayed" : "committed", answer: value };
  }
  const hold = order.kind === "fence" ? order : { resource: `lock:${id}`, token: 1 };
  await withFence(pool, hold, options, async (tx) => {
    if (order.kind === "fence") {
      await tx.query("INSERT INTO entries (id, resource, token) VALUES ($1, $2, $3)", [id, hold.resource, hold.token]);
    } else {
      const { timerId, cancels } = order;
      const timer = { name: order.timer };
      if (cancels) await outbox.cancel(tx, timer, timerId);
      else await outbox.schedule(tx, timer, { id: timerId, afterMs: 3_600_000, payload: { order: id } });
      // Written under the outbox' lock of the id, so that their order is that of the commits.
      await tx.query("INSERT INTO wishes (id, timer_id, cancels) VALUES ($1, $2, $3)", [id, timerId, cancels]);
    }
    await delay(holdMs);
    beforeCommit(tx);
  });
  return { outcome: "committed" };
}

/** Runs an order. Any error that this package does not promise fails the suite. */
export async function perform(pool: Pool, order: Order, beforeCommit: BeforeCommit = () => undefined): Promise<Report> {
  const startMs = performance.now();
  let resolved: Report["resolved"];
  const onEvent = (event: PostgresEvent): void => {
    if (event.type === "commit-resolved") resolved = event.committed ? "committed" : "rolled-back";
  };
  const report = await attempt(pool, order, beforeCommit, onEvent).catch((error: unknown): Partial<Report> => {
    if (error instanceof StaleTokenError) return { outcome: "stale", highest: error.highest };
    if (error instanceof InProgressError) return { outcome: "busy" };
    if (error instanceof OutcomeUnknownError) return { outcome: "unknown", operationId: error.operationId };
    if (error instanceof HoldfastError && error.effect === "none") return { outcome: "nothing", error: error.name };
    throw error;
  });
  return { outcome: "lost", ...report, order, resolved, tookMs: performance.now() - startMs };
}
