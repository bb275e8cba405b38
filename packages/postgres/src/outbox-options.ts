/** Options of a relay. */
import { integerOr, resolveBackoff } from "@holdfast/core";
import type { Backoff, BackoffOptions } from "@holdfast/core";
import { resolvePostgresOptions } from "./options.ts";
import type { PostgresOptions, ResolvedPostgresOptions } from "./options.ts";

/** Options of a relay. */
export interface RelayOptions extends PostgresOptions {
  /** How often it looks for rows when there were none, in milliseconds, 10 to 60,000. Default 250. */
  readonly pollMs?: number | undefined;
  /** Rows in one transaction, 1 to 1,000. Default 100. */
  readonly rowsMax?: number | undefined;
  /** For how long rows may be claimed without a word before PostgreSQL gives them to another relay, in milliseconds. Default 30,000. */
  readonly claimMs?: number | undefined;
  /** Waits after failures of the whole and of single rows. Default from 100 ms to 10 s. */
  readonly backoff?: BackoffOptions | undefined;
}

/** Complete options of a relay. */
export interface ResolvedRelayOptions extends ResolvedPostgresOptions {
  readonly pollMs: number;
  readonly rowsMax: number;
  readonly claimMs: number;
  readonly backoff: Backoff;
}

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveRelayOptions(options: RelayOptions): ResolvedRelayOptions {
  return {
    ...resolvePostgresOptions(options),
    pollMs: integerOr(250, "pollMs", options.pollMs, { min: 10, max: 60_000 }),
    rowsMax: integerOr(100, "rowsMax", options.rowsMax, { min: 1, max: 1_000 }),
    claimMs: integerOr(30_000, "claimMs", options.claimMs, { min: 1_000, max: 600_000 }),
    backoff: resolveBackoff(options.backoff, { baseMs: 100, delayMaxMs: 10_000 }),
  };
}
