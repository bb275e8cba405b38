/** What has become of occurrences: the records that runners write, and what to make of them. */
import { UnexpectedReplyError, wordsOf } from "@holdfast/core";
import type { Definition } from "./definition.ts";

/** An occurrence that has ended, or occurrences that were missed. */
export interface RunRecord {
  /** `completed`, `failed`: all attempts were spent. `missed`: nobody ran when it was due. `skipped`: a run was under way. */
  readonly outcome: "completed" | "failed" | "missed" | "skipped";
  /** The first one, when several were missed. */
  readonly occurrenceId: string;
  /** When it was due, in epoch milliseconds on the server's clock. */
  readonly scheduledForMs: number;
  /** Occurrences that were missed, up to 1,000; otherwise 1. */
  readonly count: number;
  readonly version: number;
  /** Who ran it last, or noticed that it was missed. */
  readonly runner: string;
  /** Attempts that had begun. */
  readonly attempts: number;
  readonly token: number | null;
  /** Of the last attempt, in epoch milliseconds on the server's clock. */
  readonly startedAtMs: number | null;
  /** Of the last attempt; null when nobody saw its end. */
  readonly durationMs: number | null;
  /** Why it failed: it threw, it took longer than `atMostMs`, or its runner vanished. */
  readonly why: "threw" | "overran" | "crashed" | null;
  /** Name and message of the last error. */
  readonly error: string | null;
}

/** The last runs of a job. */
export interface RunHistory {
  /** The latest first. */
  readonly runs: readonly RunRecord[];
  /** Duration of the longest run among them, in milliseconds; null when none has ended. */
  readonly longestMs: number | null;
  /** What to change when runs come near `atMostMs`; null when all is well. */
  readonly advice: string | null;
}

/** A run that takes more of `atMostMs` than this leaves too little for a slow day. */
const nearShare = 0.8;
/** The error of a record is a message, not a log. */
const errorCharactersMax = 1_000;

/** The text of a record; what is left out has not happened. */
export function encodeRecord(
  record: Pick<RunRecord, "outcome" | "occurrenceId" | "scheduledForMs" | "version" | "runner"> & Partial<RunRecord>,
): string {
  const complete: RunRecord = {
    count: 1,
    attempts: 0,
    token: null,
    startedAtMs: null,
    durationMs: null,
    why: null,
    error: null,
    ...record,
  };
  return JSON.stringify(complete);
}

/** How an attempt failed that was not to be the last. */
export interface AttemptFailure {
  readonly attempt: number;
  readonly why: "threw" | "overran";
  readonly durationMs: number;
  readonly error: string;
}

/** The text of a failure. */
export function encodeFailure(failure: AttemptFailure): string {
  return JSON.stringify(failure);
}

/**
 * The failure of this attempt, when that is what the text tells of; undefined when nobody saw its end.
 * @throws UnexpectedReplyError
 */
export function failureOf(operation: string, text: string, attempt: number): AttemptFailure | undefined {
  if (text === "") return undefined;
  try {
    const failure = JSON.parse(text) as AttemptFailure;
    return failure.attempt === attempt ? failure : undefined;
  } catch {
    throw new UnexpectedReplyError(operation, "a failure of an attempt", text);
  }
}

/** @throws UnexpectedReplyError */
export function decodeRecord(operation: string, text: unknown): RunRecord {
  try {
    return JSON.parse(String(text)) as RunRecord;
  } catch {
    throw new UnexpectedReplyError(operation, "a record of history", text);
  }
}

/** Name and message of an error. */
export function describeError(error: unknown): string {
  return wordsOf(error).slice(0, errorCharactersMax);
}

/** What to make of the last runs. */
export function historyOf(runs: readonly RunRecord[], { atMostMs }: Definition): RunHistory {
  const durations = runs.flatMap(({ durationMs }) => (durationMs === null ? [] : [durationMs]));
  const longestMs = durations.length === 0 ? null : Math.max(...durations);
  const isNear = longestMs !== null && longestMs >= atMostMs * nearShare;
  return {
    runs,
    longestMs,
    advice: isNear
      ? `the longest of the last ${runs.length} runs took ${longestMs} ms of atMostMs (${atMostMs} ms); raise atMostMs and the version, or make the job shorter`
      : null,
  };
}
