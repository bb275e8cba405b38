/** Names: the keys of a job, the timer that carries it, and the ids of its occurrences. */
import { keySpace, text } from "@holdfast/core";

/** Where a job lives in Redis. All keys share a hash tag, hence a Cluster slot. */
export interface JobKeys {
  /** As runs carry it: `scheduler:billing/end-of-day`. */
  readonly resource: string;
  /** HASH: definition, next occurrence, the run under way. */
  readonly state: string;
  /** ZSET: occurrences that were admitted and wait. */
  readonly waiting: string;
  /** LIST: what has ended, the latest first. */
  readonly history: string;
  /** STRING: what an operation was answered. An id names one operation of each verb. */
  answer(verb: Verb, operationId: string): string;
}

/** What operators ask for. */
type Verb = "pause" | "resume" | "runNow" | "remove";

/** Scheduler and job in one name; longer ones would not fit into the names of timers once escaped. */
const nameBytesMax = 200;

/** A slash separates them, so one in the scheduler's name is escaped: no two jobs share a name. */
function fullName(scheduler: string, job: string): string {
  const escaped = scheduler.replace(/[%/]/gu, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
  return text("names of scheduler and job together", `${escaped}/${job}`, nameBytesMax);
}

/**
 * @param prefix first part of every key
 * @throws TypeError, RangeError when the names are too long together
 */
export function jobKeys(prefix: string, scheduler: string, job: string): JobKeys {
  const space = keySpace(prefix, "scheduler", fullName(scheduler, job));
  return {
    resource: space.resource,
    state: space.key("state"),
    waiting: space.key("waiting"),
    history: space.key("history"),
    answer: (verb, operationId) => space.key(`answer:${verb}:${operationId}`),
  };
}

/** The durable timer that carries a job's occurrences. */
export function timerName(scheduler: string, job: string): string {
  return `scheduler/${fullName(scheduler, job)}`;
}

/** The id of a planned occurrence, the same on every replica: `2026-03-29T01:00:00.000Z`. */
export function occurrenceId(dueMs: number): string {
  return new Date(dueMs).toISOString();
}

/** The id of an occurrence that was asked for by hand. */
export function requestedId(operationId: string): string {
  return `now-${operationId}`;
}
