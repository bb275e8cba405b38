/** What a job is: options as callers give them, complete and checked, and the text in which they are put on record. */
import { integerOr, leaseRangeMs, oneOf, optionsObject, resolveBackoff, UnexpectedReplyError } from "@holdfast/core";
import type { Backoff, BackoffOptions } from "@holdfast/core";
import { recurrenceOf } from "./recurrence.ts";
import type { RecurrenceRule } from "./recurrence.ts";

/** When a job recurs: by a cron pattern of 5 or 6 fields (seconds first), or at a rhythm in milliseconds. One of the two. */
export type JobTiming =
  | { readonly cron: string; readonly everyMs?: undefined }
  | { readonly everyMs: number; readonly cron?: undefined };

/** Options of a job. */
export type JobOptions = JobTiming & {
  /** Raised with every change of these options, also with one that takes a change back. 1 to 2^53 - 1. Default 1. */
  readonly version?: number | undefined;
  /** What becomes of occurrences that passed while nobody ran: none is run, the latest is, or each is. Default `"once"`. */
  readonly missed?: "skip" | "once" | "all" | undefined;
  /** An occurrence that comes no later than this has not been missed, in milliseconds. Default 60,000. */
  readonly missedAfterMs?: number | undefined;
  /** What becomes of an occurrence that is due while a run is under way. Default `"skip"`. */
  readonly overlap?: "skip" | "queue" | undefined;
  /** Longest run in milliseconds, 50 to 86,400,000; then its signal aborts and it is run again. Default 600,000. */
  readonly atMostMs?: number | undefined;
  /** A run counts as under way for at least so long, in milliseconds. Default 0. */
  readonly atLeastMs?: number | undefined;
  /** Attempts after which an occurrence has failed, 1 to 500. Default 3. */
  readonly attemptsMax?: number | undefined;
  /** Wait between attempts. */
  readonly backoff?: BackoffOptions | undefined;
};

/** A job's definition, complete. */
export interface Definition {
  readonly version: number;
  readonly rule: RecurrenceRule;
  readonly missed: "skip" | "once" | "all";
  readonly missedAfterMs: number;
  readonly overlap: "skip" | "queue";
  readonly atMostMs: number;
  readonly atLeastMs: number;
  readonly attemptsMax: number;
  readonly backoff: Backoff;
}

const yearMs = 366 * 86_400_000;
const dayMs = 86_400_000;
const everyRangeMs = { min: 50, max: yearMs };

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveDefinition(options: JobOptions, timezone: string): Definition {
  optionsObject("options", options);
  const { missed = "once", overlap = "skip" } = options;
  const atMostMs = integerOr(600_000, "atMostMs", options.atMostMs, leaseRangeMs);
  const definition: Definition = {
    version: integerOr(1, "version", options.version, { min: 1, max: Number.MAX_SAFE_INTEGER }),
    rule: ruleOf(options, timezone),
    missed: oneOf("missed", missed, ["skip", "once", "all"]),
    missedAfterMs: integerOr(60_000, "missedAfterMs", options.missedAfterMs, { min: 0, max: yearMs }),
    overlap: oneOf("overlap", overlap, ["skip", "queue"]),
    atMostMs,
    atLeastMs: integerOr(0, "atLeastMs", options.atLeastMs, { min: 0, max: dayMs }),
    attemptsMax: integerOr(3, "attemptsMax", options.attemptsMax, { min: 1, max: 500 }),
    backoff: resolveBackoff(options.backoff),
  };
  if (definition.atLeastMs > atMostMs) {
    throw new RangeError(`atLeastMs must not exceed atMostMs (${atMostMs}), got ${definition.atLeastMs}`);
  }
  return definition;
}

function ruleOf({ cron, everyMs }: JobTiming, timezone: string): RecurrenceRule {
  if ((cron === undefined) === (everyMs === undefined)) {
    throw new TypeError(`exactly one of cron and everyMs must be given, got ${cron === undefined ? "none" : "both"}`);
  }
  if (cron === undefined) return { everyMs: integerOr(0, "everyMs", everyMs, everyRangeMs) };
  if (typeof cron !== "string") throw new TypeError(`cron must be a pattern of 5 or 6 fields, got ${typeof cron}`);
  const rule = { cron, timezone };
  if (recurrenceOf(rule).after(0) === undefined) {
    throw new RangeError(`cron must come at least once, got ${JSON.stringify(cron)}, which names no day that there is`);
  }
  return rule;
}

/** The text that is put on record; the same for the same definition. The version stands beside it. */
export function encodeDefinition(definition: Definition): string {
  return JSON.stringify(definition, (key, value: unknown) => (key === "version" ? undefined : value));
}

/** @throws UnexpectedReplyError when it is none */
export function decodeDefinition(operation: string, version: number, text: string): Definition {
  try {
    const stored = JSON.parse(text) as Omit<Definition, "version">;
    recurrenceOf(stored.rule);
    return { version, ...stored };
  } catch {
    throw new UnexpectedReplyError(operation, "a definition of a job", text);
  }
}
