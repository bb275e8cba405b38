/** Forgetting in time: fences behind a floor, keys after their retention. Bounded, so that one call holds no lock for long. */
import { integerOr, optionsObject } from "@holdfast/core";
import type { Queryable } from "./pool.ts";
import { ask } from "./statement.ts";

/** How much to forget. */
export interface PruneOptions {
  /**
   * Fences are kept for at least so long after their token's grant, in milliseconds, 60,000 to 3,162,240,000,000. Tokens that are older are
   * refused from then on, so it has to be longer than any lock is held (`holdMaxMs`). Default 604,800,000, a week.
   */
  readonly fenceRetentionMs?: number | undefined;
  /** At most so many rows of each kind, 1 to 100,000. Default 1,000. */
  readonly rowsMax?: number | undefined;
}

/** What was forgotten; call again as long as one of them is `rowsMax`. */
export interface PruneReport {
  readonly fences: number;
  readonly keys: number;
}

const weekMs = 604_800_000;

/**
 * Removes what is too old to matter: on a pool, since in an open transaction whoever needs one of the rows would wait for its end. Only for
 * tokens of this toolkit, which are times: a counter of your own would fall behind the floor.
 * @throws TypeError, RangeError; PostgresUnavailableError, PostgresRefusedError, TransactionConflictError; OutcomeUnknownError: do it again
 */
export async function prune(pool: Queryable, options: PruneOptions = {}): Promise<PruneReport> {
  optionsObject("options", options);
  const rowsMax = integerOr(1_000, "rowsMax", options.rowsMax, { min: 1, max: 100_000 });
  const retentionMs = integerOr(weekMs, "fenceRetentionMs", options.fenceRetentionMs, {
    min: 60_000,
    max: 3_162_240_000_000,
  });
  const [report] = await ask<PruneReport>(
    pool,
    { operation: "prune", standing: "write" },
    "SELECT holdfast.prune_fences($1::bigint, $2::integer) AS fences, holdfast.prune_keys($2::integer) AS keys",
    [retentionMs, rowsMax],
  );
  return report ?? { fences: 0, keys: 0 };
}
