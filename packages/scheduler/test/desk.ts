/** Clients and schedulers of one test, closed in the end whatever happens. */
import { Redis } from "ioredis";
import type { RedisOptions } from "ioredis";
import { pollUntil } from "@holdfast/testkit";
import { Scheduler } from "../src/index.ts";
import type { Run, RunRecord, SchedulerEvent, SchedulerOptions } from "../src/index.ts";

/** For calls that have to succeed: a starved machine may stand still for seconds in the middle of one. */
export const patientMs = 20_000;
/** Renewed every third of it, so that no such stand-still ends it. */
export const steadyLeaseMs = 6_000;

/** What a test opens; `await using` closes it. */
export class Desk implements AsyncDisposable {
  readonly #closers: (() => unknown)[] = [];
  readonly events: SchedulerEvent[] = [];

  /** A client. */
  redis(url: string, options: RedisOptions = {}): Redis {
    const { hostname, port } = new URL(url);
    const redis = new Redis({ ...options, host: hostname, port: Number(port), replyMapping: "legacy" });
    // Each failure reaches the test through its call.
    redis.on("error", () => undefined);
    this.#closers.push(() => redis.disconnect());
    return redis;
  }

  /** A scheduler on a client of its own, as one replica; its events are collected. */
  scheduler(url: string, name: string, options: SchedulerOptions = {}): Scheduler {
    const scheduler = new Scheduler(this.redis(url), name, {
      onEvent: (event) => this.events.push(event),
      commandTimeoutMs: patientMs,
      leaseMs: steadyLeaseMs,
      pollMs: 50,
      ...options,
    });
    this.#closers.push(() => scheduler.stop({ graceMs: 0 }));
    return scheduler;
  }

  /** Resolves to the first event of a type, once there is one. */
  async event<const Type extends SchedulerEvent["type"]>(
    type: Type,
    accepts: (event: Extract<SchedulerEvent, { readonly type: Type }>) => boolean = () => true,
  ): Promise<Extract<SchedulerEvent, { readonly type: Type }>> {
    type Wanted = Extract<SchedulerEvent, { readonly type: Type }>;
    const isWanted = (event: SchedulerEvent): event is Wanted => event.type === type && accepts(event as Wanted);
    return pollUntil(`the event ${type}`, () => this.events.find(isWanted), { timeoutMs: 60_000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closers.toReversed()) await close();
  }
}

/** Collects runs. */
export class Catcher {
  readonly runs: Run[] = [];
  readonly handle = (run: Run): void => {
    this.runs.push(run);
  };

  get ids(): string[] {
    return this.runs.map((run) => run.occurrenceId);
  }

  /** Resolves when so many have come. */
  async caught(count: number, timeoutMs = 60_000): Promise<Run[]> {
    await pollUntil(`${count} runs`, () => this.runs.length >= count, { timeoutMs });
    return this.runs;
  }
}

let names = 0;

/** A scheduler name that no other test has. */
export function freshName(): string {
  names += 1;
  return `scheduler-${names}`;
}

/** Occurrences that appear more than once. */
export function repeated(ids: readonly string[]): string[] {
  return ids.filter((id, index) => ids.indexOf(id) !== index);
}

/** Occurrences of a rhythm between the first and the last that did not run. */
export function gaps(ids: readonly string[], everyMs: number): number[] {
  const due = ids.map((id) => new Date(id).getTime());
  const list: number[] = [];
  for (let atMs = due[0] as number; atMs < (due.at(-1) as number); atMs += everyMs)
    if (!due.includes(atMs)) list.push(atMs);
  return list;
}

/** Occurrences of a rhythm that are on record as missed, between the first and the last that ran: a busy machine misses some outside. */
export function missedAmong(records: readonly RunRecord[], ids: readonly string[], everyMs: number): number[] {
  const [first = 0, last = 0] = [ids[0], ids.at(-1)].map((id) => new Date(id ?? 0).getTime());
  return records
    .filter(({ outcome }) => outcome === "missed")
    .flatMap(({ scheduledForMs, count }) =>
      Array.from({ length: count }, (_, index) => scheduledForMs + index * everyMs),
    )
    .filter((dueMs) => dueMs > first && dueMs < last);
}
