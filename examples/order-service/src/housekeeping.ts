/**
 * Forgets what is too old to matter: each request and each timeout leaves a fence in PostgreSQL, which has to outlive whoever could come late,
 * and no more.
 */
import { prune } from "@holdfast/postgres";
import type { Pool } from "pg";

const ROWS_MAX = 1_000;

/** Removes all of it, bit by bit, so that nobody waits for it. */
export async function keepHouse(pool: Pool, signal: AbortSignal): Promise<void> {
  for (;;) {
    const { fences, keys } = await prune(pool, { rowsMax: ROWS_MAX });
    if (fences < ROWS_MAX && keys < ROWS_MAX) return;
    signal.throwIfAborted();
  }
}
