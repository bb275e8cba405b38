/**
 * Jobs that run once per cluster, however many replicas there are. This file is what callers use: jobs, start and stop, and the calls of
 * an operator. How a job is kept going is in planner.ts, what runs is in scheduled-job.ts.
 */
import { callback, ClosedError, Connection, EventSink, integer, optionsObject, text, underOwnId } from "@holdfast/core";
import type { RedisLike } from "@holdfast/core";
import { DurableTimer } from "@holdfast/timer";
import type { StopReport } from "@holdfast/timer";
import { decodeDefinition, resolveDefinition } from "./definition.ts";
import type { Definition, JobOptions } from "./definition.ts";
import { JobChangingError } from "./errors.ts";
import { schedulerChannel } from "./events.ts";
import type { SchedulerEvent } from "./events.ts";
import { decodeRecord, historyOf } from "./history.ts";
import type { RunHistory } from "./history.ts";
import { JobStore } from "./job-store.ts";
import { jobKeys, requestedId, timerName } from "./keys.ts";
import { resolveSchedulerOptions } from "./options.ts";
import type { ResolvedSchedulerOptions, SchedulerOptions } from "./options.ts";
import { lateMaxMsOf, neverMs } from "./plan.ts";
import { Planner } from "./planner.ts";
import type { Standing } from "./planner.ts";
import { recurrenceOf } from "./recurrence.ts";
import { tellRemoved } from "./removal.ts";
import type { RunHandler } from "./run.ts";
import { ScheduledJob } from "./scheduled-job.ts";
import type { JobParts } from "./scheduled-job.ts";
import type { LiveJobView } from "./scripts.ts";

/** What accompanies a call that changes something. */
export interface OperationOptions {
  /** Names the call; 1 to 64 visible ASCII characters. Give it again to learn the outcome of a call whose answer was lost. */
  readonly operationId?: string | undefined;
}

/** What became of a runNow. */
export type RunNowResult =
  | { readonly kind: "queued"; readonly occurrenceId: string }
  /** A run is under way or about to begin and `overlap` is `"skip"`, or 1,000 wait. */
  | { readonly kind: "busy" }
  | { readonly kind: "absent" };

const changesMax = 20;

/** Jobs of one name. */
export class Scheduler implements AsyncDisposable {
  readonly name: string;
  readonly #options: ResolvedSchedulerOptions;
  readonly #redis: RedisLike;
  readonly #connection: Connection;
  readonly #events: EventSink<SchedulerEvent>;
  readonly #parts = new Map<string, JobParts>();
  readonly #jobs = new Map<string, ScheduledJob>();
  #state: "new" | "running" | "stopped" = "new";
  #stopping: Promise<StopReport> | undefined;

  /**
   * Makes a scheduler; talks to Redis with the first call.
   * @param redis an ioredis client without keyPrefix; never closed by the scheduler
   * @param name the set of jobs; with a job's name at most 199 bytes
   * @throws TypeError, RangeError naming the field, the allowed range and the value got
   */
  constructor(redis: RedisLike, name: string, options: SchedulerOptions = {}) {
    this.name = text("name", name);
    this.#options = resolveSchedulerOptions(options);
    this.#redis = redis;
    this.#connection = Connection.of(redis, this.#options.clock);
    this.#events = new EventSink(schedulerChannel, this.#options.onEvent);
  }

  /**
   * Adds a job to this replica; every replica that calls this may run it. Runs begin with `start()`, or at once when it has been called.
   * @param name of the job
   * @param options when it recurs and how it runs; the highest version counts on every replica
   * @param handler runs at least once per occurrence; must be safe to run twice
   * @throws TypeError, RangeError naming the field, the allowed range and the value got
   */
  job(name: string, options: JobOptions, handler: RunHandler): this {
    this.#assertOpen();
    const definition = resolveDefinition(options, this.#options.timezone);
    callback("handler", handler);
    if (this.#jobs.has(name)) throw new TypeError(`job ${JSON.stringify(name)} was added before; a name has one job`);
    const job = new ScheduledJob(this.#partsOf(name), definition, handler);
    this.#jobs.set(name, job);
    if (this.#state === "running") void job.start();
    return this;
  }

  /**
   * Begins to run jobs. Resolves when the definitions are on record, or Redis did not answer in time: then each poll tries again.
   * @throws TypeError when it was stopped
   */
  async start(): Promise<void> {
    if (this.#state === "running") return;
    if (this.#state === "stopped") {
      throw new TypeError("a scheduler that was stopped does not start again; make a new one");
    }
    this.#state = "running";
    await Promise.all([...this.#jobs.values()].map((job) => job.start()));
  }

  /**
   * Begins no run any more and waits for those under way at most `graceMs`, then aborts their signals; others take them over when their
   * leases end. Ends within `graceMs` whether or not Redis answers. Safe to repeat.
   * @param options graceMs: milliseconds, 0 to 86,400,000
   */
  stop(options: { readonly graceMs: number } = { graceMs: 10_000 }): Promise<StopReport> {
    optionsObject("options", options);
    const graceMs = integer("graceMs", options.graceMs, { min: 0, max: 86_400_000 });
    this.#state = "stopped";
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop({ graceMs: 10_000 });
  }

  /**
   * What has become of the last occurrences of a job; empty when there is no such job.
   * @throws what every call of Redis throws
   */
  async history(job: string): Promise<RunHistory> {
    const { store } = this.#partsOf(job);
    const { resource } = store.keys;
    const found = await store.recall();
    if (found === null) return { runs: [], longestMs: null, advice: null };
    const runs = found.records.map((record) => decodeRecord(resource, record));
    return historyOf(runs, decodeDefinition(resource, 0, found.definitionText));
  }

  /**
   * Lets no further occurrence of the plan begin until `resume`; those that pass meanwhile are neither run nor missed. One that has begun goes on to
   * its end, through the attempts that it has left; what waited, or was due before, goes on after `resume`. `runNow` begins all the same.
   * @throws JobChangingError, TypeError, RangeError, and what every call of Redis throws
   */
  async pause(job: string, options: OperationOptions = {}): Promise<{ readonly kind: "paused" | "absent" }> {
    const operationId = this.#operationId(options);
    const parts = this.#partsOf(job);
    for (let changes = 0; changes < changesMax; changes += 1) {
      // It may be that nobody ran: then `missed` decides what becomes of that, and not the pause (C2).
      const standing = await this.#pass(parts, "pause", operationId);
      const kind = await parts.store.pause(operationId, standing?.view);
      if (kind !== "moved") return { kind };
    }
    throw new JobChangingError(parts.store.keys.resource);
  }

  /**
   * Goes on with the first occurrence after now.
   * @throws JobChangingError, TypeError, RangeError, and what every call of Redis throws
   */
  async resume(job: string, options: OperationOptions = {}): Promise<{ readonly kind: "resumed" | "absent" }> {
    const operationId = this.#operationId(options);
    const parts = this.#partsOf(job);
    const { store } = parts;
    for (let changes = 0; changes < changesMax; changes += 1) {
      const view = await store.look();
      const kind = await store.resume(operationId, view, view.kind === "job" ? nextOf(store, view) : 0);
      if (kind === "moved") continue;
      if (kind === "resumed") await this.#setTimers(parts);
      return { kind };
    }
    throw new JobChangingError(store.keys.resource);
  }

  /**
   * Runs a job now, also while it is paused, beside its plan and before what waits of it. Several run in the order in which they were asked for.
   * @throws JobChangingError, TypeError, RangeError, and what every call of Redis throws
   */
  async runNow(job: string, options: OperationOptions = {}): Promise<RunNowResult> {
    const operationId = this.#operationId(options);
    const parts = this.#partsOf(job);
    const { store } = parts;
    const id = requestedId(operationId);
    for (let changes = 0; changes < changesMax; changes += 1) {
      const view = await store.look();
      // Without a job the script is asked all the same: it knows what a repeat was answered.
      const definition = view.kind === "job" ? definitionOf(store, view) : undefined;
      const lateMaxMs = definition && lateMaxMsOf(definition);
      const kind = await store.enqueue(operationId, id, definition?.overlap ?? "skip", lateMaxMs);
      if (kind === "moved") {
        await this.#pass(parts, "runNow", operationId);
        continue;
      }
      if (kind !== "queued") return { kind };
      await this.#setTimers(parts);
      return { kind, occurrenceId: id };
    }
    throw new JobChangingError(store.keys.resource);
  }

  /**
   * Takes a job out of the cluster, with its history; a run under way is told to stop. Replicas that still know the job do not bring it
   * back, unless with a higher version.
   * @throws TypeError, RangeError, and what every call of Redis throws; OutcomeUnknownError also when the job is out and its run could not
   *   be told: the repeat tells it
   */
  async remove(job: string, options: OperationOptions = {}): Promise<{ readonly kind: "removed" | "absent" }> {
    const { store, timers } = this.#partsOf(job);
    const operationId = this.#operationId(options);
    const removal = await store.remove(operationId);
    if (removal.kind === "absent") return { kind: "absent" };
    await tellRemoved(timers, removal, `${store.keys.resource} remove`, operationId);
    return { kind: "removed" };
  }

  async #stop(graceMs: number): Promise<StopReport> {
    const reports = await Promise.all([...this.#jobs.values()].map((job) => job.stop(graceMs)));
    return {
      finished: reports.reduce((sum, { finished }) => sum + finished, 0),
      unfinished: reports.reduce((sum, { unfinished }) => sum + unfinished, 0),
      released: reports.reduce((sum, { released }) => sum + released, 0),
      told: reports.every(({ told }) => told),
    };
  }

  /** Decides what is due, for a call that comes after that: a repeat of that call does so, too, under its own id. */
  async #pass(parts: JobParts, verb: string, operationId: string): Promise<Standing | null> {
    try {
      return await new Planner({ ...parts, runner: this.#options.runner }).pass();
    } catch (error) {
      throw underOwnId(error, `${parts.store.keys.resource} ${verb}`, operationId);
    }
  }

  /** After a call that has had its effect, and so must not fail any more: what fails here, the next poll of any replica makes up for. */
  async #setTimers(parts: JobParts): Promise<void> {
    const planner = new Planner({ ...parts, runner: this.#options.runner });
    try {
      const view = await parts.store.look();
      if (view.kind === "job") await planner.setTimers(view);
    } catch (error) {
      this.#events.emit(() => ({ type: "trouble", scheduler: this.name, job: parts.job, during: "plan", error }));
    }
  }

  #partsOf(name: string): JobParts {
    const known = this.#parts.get(name);
    if (known !== undefined) return known;
    const job = text("job", name);
    const { prefix, commandTimeoutMs, durability, clock, random } = this.#options;
    jobKeys(prefix, this.name, job);
    const parts: JobParts = {
      scheduler: this.name,
      job,
      store: new JobStore(this.#connection, this.name, job, this.#options),
      timers: new DurableTimer(this.#redis, timerName(this.name, job), {
        prefix,
        commandTimeoutMs,
        durability,
        clock,
        random,
      }),
      events: this.#events,
      options: this.#options,
    };
    this.#parts.set(job, parts);
    return parts;
  }

  #operationId({ operationId }: OperationOptions): string {
    if (operationId === undefined) return this.#options.random.id();
    const checked = text("operationId", operationId, 64);
    if (!/^[\x21-\x7e]+$/u.test(checked)) {
      throw new RangeError(`operationId must be 1 to 64 visible ASCII characters, got ${JSON.stringify(checked)}`);
    }
    return checked;
  }

  #assertOpen(): void {
    if (this.#state === "stopped") throw new ClosedError(`scheduler ${this.name}`);
  }
}

function definitionOf({ keys }: JobStore, { version, definitionText }: LiveJobView): Definition {
  return decodeDefinition(keys.resource, version, definitionText);
}

/** The first occurrence after now, and after what was decided. */
function nextOf(store: JobStore, view: LiveJobView): number {
  return recurrenceOf(definitionOf(store, view).rule).after(Math.max(view.nowMs, view.cursorMs)) ?? neverMs;
}
