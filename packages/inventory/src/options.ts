/** Options of an inventory: complete, checked, read-only. */
import { integerOr, leaseRangeMs, optionsObject, resolveCommonOptions, text, integer } from "@holdfast/core";
import type { CommonOptions, ResolvedCommonOptions } from "@holdfast/core";
import type { InventoryEvent } from "./events.ts";
import { escapeWord } from "./packed-text.ts";

/** Options of an Inventory. */
export interface InventoryOptions extends CommonOptions<InventoryEvent> {
  /** Length of a hold in milliseconds, 50 to 86,400,000. Default 600,000. */
  readonly holdMs?: number | undefined;
  /** How long an id that has ended answers, in milliseconds, 50 to 31,622,400,000. Default 7 days. */
  readonly rememberMs?: number | undefined;
  /** Orders of one tick that share a script, 1 to 32. 1 sends each on its own. Default 32. */
  readonly coalesceMax?: number | undefined;
  /**
   * Hot skus and over how many Cluster slots each is spread, 1 to 64. The largest number is stored with the inventory; every client gives
   * the same. Default none.
   */
  readonly buckets?: Readonly<Record<string, number>> | undefined;
}

/** Options, complete. */
export interface ResolvedInventoryOptions extends ResolvedCommonOptions<InventoryEvent> {
  readonly holdMs: number;
  readonly rememberMs: number;
  /** How long a record is kept at least: clocks that make ids may be ahead by the difference. */
  readonly keepMs: number;
  readonly coalesceMax: number;
  /** Escaped skus that are spread. */
  readonly hotSkus: ReadonlySet<string>;
  /** Number of slots, 1 for an inventory without hot skus. */
  readonly bucketCount: number;
}

const dayMs = 86_400_000;
const skewMaxMs = 3_600_000;

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveInventoryOptions(options: InventoryOptions): ResolvedInventoryOptions {
  const common = resolveCommonOptions(options);
  const { buckets = {} } = options;
  optionsObject("buckets", buckets);
  const spread = Object.entries(buckets).map(([sku, count]) => {
    text("buckets: a sku", sku);
    return [escapeWord(sku), integer(`buckets[${JSON.stringify(sku)}]`, count, { min: 1, max: 64 })] as const;
  });
  const rememberMs = integerOr(7 * dayMs, "rememberMs", options.rememberMs, { min: 50, max: 366 * dayMs });
  return {
    ...common,
    holdMs: integerOr(600_000, "holdMs", options.holdMs, leaseRangeMs),
    rememberMs,
    // K1: no shorter than a request can be on its way.
    keepMs: rememberMs + Math.max(Math.min(rememberMs, skewMaxMs), common.commandTimeoutMs),
    coalesceMax: integerOr(32, "coalesceMax", options.coalesceMax, { min: 1, max: 32 }),
    hotSkus: new Set(spread.filter(([, count]) => count > 1).map(([sku]) => sku)),
    bucketCount: Math.max(1, ...spread.map(([, count]) => count)),
  };
}
