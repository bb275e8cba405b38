/**
 * One job in one replica: a worker on the job's timer, each of whose firings is an occurrence, and a poll that plans (C1).
 *
 * A run is under way from `begin` to `finish`. If its runner dies, the timer's lease ends and another worker begins it again with a higher
 * token; if it dies between `finish` and the acknowledgement, the timer fires once more and `begin` says that it has ended.
 */
import { backoffMs, sleep, withoutAmbientDeadline } from "@holdfast/core";
import type { EventSink } from "@holdfast/core";
import { FiringLostError, RetryInError } from "@holdfast/timer";
import type { DurableTimer, Firing, StopReport, TimerWorker } from "@holdfast/timer";
import type { Definition } from "./definition.ts";
import type { SchedulerEvent } from "./events.ts";
import { describeError, encodeRecord, failureOf } from "./history.ts";
import type { AttemptFailure, RunRecord } from "./history.ts";
import type { JobStore } from "./job-store.ts";
import type { ResolvedSchedulerOptions } from "./options.ts";
import { Planner } from "./planner.ts";
import type { Standing } from "./planner.ts";
import { attempt } from "./run.ts";
import type { Attempted, RunHandler } from "./run.ts";
import type { Beginning } from "./scripts.ts";

/** What a job works with. */
export interface JobParts {
  readonly scheduler: string;
  readonly job: string;
  readonly store: JobStore;
  readonly timers: DurableTimer;
  readonly events: EventSink<SchedulerEvent>;
  readonly options: ResolvedSchedulerOptions;
}

type Begun = Extract<Beginning, { readonly kind: "run" }>;
type Exhausted = Extract<Beginning, { readonly kind: "exhausted" }>;

/** Occurrences are told apart from their runs here: the timer only carries them, so its own limit is out of reach. */
const deliveriesMax = 1_000;
/** A firing that only finds out that it has to wait must not wait for the run before it. */
const firingsMax = 16;
const retry = { baseMs: 50, delayMaxMs: 2_000, jitter: 0.5 };
/** So often the timer of the next occurrence is looked after, in polls. */
const pollsPerRepair = 10;

/** One job, run here. */
export class ScheduledJob {
  readonly #parts: JobParts;
  readonly #planner: Planner;
  readonly #handler: RunHandler;
  readonly #worker: TimerWorker<undefined>;
  readonly #stopped = new AbortController();

  constructor(parts: JobParts, definition: Definition, handler: RunHandler) {
    const { options, timers } = parts;
    this.#parts = parts;
    this.#planner = new Planner({ ...parts, runner: options.runner }, definition);
    this.#handler = handler;
    this.#worker = timers.worker(
      {
        leaseMs: options.leaseMs,
        pollMs: options.pollMs,
        concurrencyMax: firingsMax,
        attemptsMax: deliveriesMax,
        backoff: retry,
      },
      (firing) => this.#fire(firing),
    );
  }

  /** Begins to run and to plan. Resolves after the first plan, whether or not Redis answered. */
  async start(): Promise<void> {
    await this.#worker.start();
    await this.#plan();
    // What goes on in the background is under nobody's deadline; the caller's is for the first plan alone.
    void withoutAmbientDeadline(() => this.#poll());
  }

  /** Begins no run any more, waits for those under way at most `graceMs`, then aborts their signals. */
  stop(graceMs: number): Promise<StopReport> {
    this.#stopped.abort(new Error("the scheduler was stopped"));
    return this.#worker.stop({ graceMs });
  }

  async #poll(): Promise<void> {
    const { options } = this.#parts;
    const { signal } = this.#stopped;
    for (let polls = 1; !signal.aborted; polls += 1) {
      await sleep(options.clock, options.pollMs, signal).catch(() => undefined);
      if (signal.aborted) return;
      if (polls % pollsPerRepair === 0) this.#planner.forget();
      await this.#plan();
    }
  }

  async #plan(): Promise<void> {
    try {
      const standing = await this.#planner.pass();
      if (standing !== null) await this.#planner.setTimers(standing.view);
    } catch (error) {
      this.#trouble("plan", error);
    }
  }

  async #fire(firing: Firing<undefined>): Promise<void> {
    const standing = await this.#planner.pass();
    if (standing === null) return;
    // Stopped meanwhile: it is begun elsewhere, at once and without a spent attempt.
    if (this.#stopped.signal.aborted) throw new RetryInError(0);
    // The same delivery gets the same attempt, so a lost answer does not spend one.
    const beginning = await this.#insist(firing, "begin", () =>
      this.#parts.store.begin(firing.id, firing.token, standing.definition),
    );
    switch (beginning?.kind) {
      case "run":
        return this.#run(firing, standing, beginning);
      case "exhausted":
        return this.#giveUp(firing, standing, beginning);
      case "held":
        throw new RetryInError(beginning.delayMs);
      case "wait":
      case "stale":
        // It has ended or its turn comes later; this firing may have been what moves the job on.
        return this.#planner.setTimers(standing.view, firing.id);
      case "lost":
        return undefined;
      case undefined:
        // Whether it has begun on record is not known. Here it has not.
        return this.#leave(firing, null);
    }
  }

  async #run(firing: Firing<undefined>, standing: Standing, begun: Begun): Promise<void> {
    const { job, scheduler, store, events, options } = this.#parts;
    const { definition } = standing;
    const sinceMs = options.clock.monotonicMs();
    const { id: occurrenceId, token } = firing;
    const run = { scheduler, job, occurrenceId, attempt: begun.attempt, token };
    // This process stood still since it asked, and somebody else may have begun; or it is being stopped.
    if (firing.signal.aborted || this.#stopped.signal.aborted) {
      await this.#leave(firing, null);
      if (wasLost(firing)) events.emit(() => ({ type: "lost", ...run }));
      throw new RetryInError(0);
    }
    events.emit(() => ({ type: "started", ...run, scheduledForMs: begun.dueMs }));
    this.#planner.setTimers(standing.view, occurrenceId).catch((error: unknown) => this.#trouble("plan", error));
    const details = {
      job,
      occurrenceId,
      scheduledForMs: begun.dueMs,
      attempt: begun.attempt,
      version: definition.version,
      resource: store.keys.resource,
      token,
    };
    const limits = { atMostMs: definition.atMostMs, sinceMs, lease: firing.signal };
    const attempted = await attempt(options.clock, this.#handler, details, limits);
    const { durationMs } = attempted;
    if (attempted.kind !== "done" && begun.attempt < definition.attemptsMax) {
      const { error } = attempted;
      const retryInMs = backoffMs(definition.backoff, begun.attempt, options.random);
      await this.#leave(firing, {
        attempt: begun.attempt,
        why: attempted.kind,
        durationMs,
        error: describeError(error),
      });
      events.emit(() =>
        wasLost(firing) ? { type: "lost", ...run } : { type: "attempt-failed", ...run, durationMs, error, retryInMs },
      );
      throw new RetryInError(retryInMs, { cause: error });
    }
    const recorded = await this.#finish(firing, "ended", recordOf(attempted, details, begun, options.runner));
    if (!recorded) events.emit(() => ({ type: "lost", ...run }));
    else if (attempted.kind === "done") events.emit(() => ({ type: "completed", ...run, durationMs }));
    else {
      const { kind: why, error } = attempted;
      events.emit(() => ({ type: "failed", ...run, why, error }));
    }
  }

  /**
   * Records an occurrence as failed that has no attempt left: its last runner vanished, or has failed and waited to try again when a newer
   * definition allowed fewer.
   */
  async #giveUp(firing: Firing<undefined>, { definition }: Standing, found: Exhausted): Promise<void> {
    const { scheduler, job, store, events } = this.#parts;
    const { attempts, runner, startedAtMs, failureText } = found;
    const failure = failureOf(store.keys.resource, failureText, attempts);
    const { why = "crashed", error = "the runner of the last attempt died, hung, or was cut off" } = failure ?? {};
    const record = encodeRecord({
      outcome: "failed",
      occurrenceId: firing.id,
      scheduledForMs: found.dueMs,
      version: definition.version,
      runner,
      attempts,
      token: firing.token,
      startedAtMs,
      durationMs: failure?.durationMs ?? null,
      why,
      error,
    });
    if (!(await this.#finish(firing, "exhausted", record))) return;
    const run = { scheduler, job, occurrenceId: firing.id, attempt: attempts, token: firing.token };
    events.emit(() => ({ type: "failed", ...run, why, error }));
  }

  /** Ends an attempt whose occurrence goes on. When that cannot be put on record, the attempt is spent and counts as a crash. */
  async #leave({ id, token }: Firing<undefined>, failure: AttemptFailure | null): Promise<void> {
    await this.#parts.store.leave(id, token, failure).catch((error: unknown) => this.#trouble("finish", error));
  }

  /** Records an ending and wakes what waits. True when it is on record; false when another delivery has begun, or will. */
  async #finish(firing: Firing<undefined>, verb: "ended" | "exhausted", record: string): Promise<boolean> {
    const ending = await this.#insist(firing, "finish", () =>
      this.#parts.store.finish(firing.id, firing.token, verb, record),
    );
    if (ending?.kind !== "recorded") return false;
    // What fails here, the next poll of any replica makes up for.
    if (ending.head !== "")
      await this.#planner.wake(ending.head).catch((error: unknown) => this.#trouble("plan", error));
    return true;
  }

  /**
   * Repeats a call whose answer was lost, or that was refused, while the lease stands: until then nobody else begins. Resolves to
   * undefined when it has ended.
   */
  async #insist<Value>(
    firing: Firing<undefined>,
    during: "begin" | "finish",
    call: () => Promise<Value>,
  ): Promise<Value | undefined> {
    const { options } = this.#parts;
    for (let failures = 1; ; failures += 1) {
      try {
        return await call();
      } catch (error) {
        this.#trouble(during, error);
        if (firing.signal.aborted) return undefined;
        await sleep(options.clock, Math.max(1, backoffMs(retry, failures, options.random)));
      }
    }
  }

  #trouble(during: "plan" | "begin" | "finish", error: unknown): void {
    const { scheduler, job, events } = this.#parts;
    events.emit(() => ({ type: "trouble", scheduler, job, during, error }));
  }
}

/** Whether its lease has ended: then nothing that became of it counts. A stop gives it back instead. */
function wasLost({ signal }: Firing<undefined>): boolean {
  return signal.aborted && !(signal.reason instanceof FiringLostError && signal.reason.reason === "closed");
}

function recordOf(
  attempted: Attempted,
  details: { readonly occurrenceId: string; readonly version: number; readonly token: number },
  begun: Begun,
  runner: string,
): string {
  const { occurrenceId, version, token } = details;
  const failure: Partial<RunRecord> =
    attempted.kind === "done" ? {} : { why: attempted.kind, error: describeError(attempted.error) };
  return encodeRecord({
    outcome: attempted.kind === "done" ? "completed" : "failed",
    occurrenceId,
    scheduledForMs: begun.dueMs,
    version,
    runner,
    attempts: begun.attempt,
    token,
    startedAtMs: Math.floor(begun.nowMs),
    durationMs: attempted.durationMs,
    ...failure,
  });
}
