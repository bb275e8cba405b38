/**
 * Keeps one job going: puts the definition on record, decides what is due, and sees to it that a timer stands for whatever is to happen
 * next. Every replica does all of it, whenever a timer fires and at each poll, so nobody has to finish what another one began: each step
 * is a compare-and-set or safe to repeat.
 */
import type { EventSink } from "@holdfast/core";
import type { DurableTimer } from "@holdfast/timer";
import { decodeDefinition, encodeDefinition } from "./definition.ts";
import type { Definition } from "./definition.ts";
import { JobChangingError } from "./errors.ts";
import type { SchedulerEvent } from "./events.ts";
import { encodeRecord } from "./history.ts";
import type { JobStore } from "./job-store.ts";
import { occurrenceId } from "./keys.ts";
import { catchUpMax, neverMs, planOf } from "./plan.ts";
import type { Plan } from "./plan.ts";
import { recurrenceOf } from "./recurrence.ts";
import type { JobView, LiveJobView } from "./scripts.ts";

/** A job as it stands: what is on record, and the definition that counts. */
export interface Standing {
  readonly view: LiveJobView;
  readonly definition: Definition;
}

/** What a planner works with. */
export interface PlannerParts {
  readonly scheduler: string;
  readonly job: string;
  readonly runner: string;
  readonly store: JobStore;
  readonly timers: DurableTimer;
  readonly events: EventSink<SchedulerEvent>;
}

/** Steps of others that one pass follows before it gives up. */
const roundsMax = 20;
/** A timer further off is set later: each poll looks. */
const aheadMs = 86_400_000;

/** The planning of one job in one replica. */
export class Planner {
  readonly #parts: PlannerParts;
  /** Undefined for whoever only steers the job. */
  readonly #mine: Definition | undefined;
  #told = "";
  #timerSetMs = 0;

  constructor(parts: PlannerParts, mine?: Definition) {
    this.#parts = parts;
    this.#mine = mine;
  }

  /**
   * Brings the record up to the present. Resolves to null when there is no such job.
   * @throws JobChangingError, and what every call of Redis throws
   */
  async pass(): Promise<Standing | null> {
    const { store } = this.#parts;
    let standing: Standing | undefined;
    for (let round = 0; round < roundsMax; round += 1) {
      const view = await store.look();
      if (view.kind !== "job") {
        standing = undefined;
        if (this.#mine === undefined || (view.kind === "removed" && view.version >= this.#mine.version)) {
          if (view.kind === "removed") this.#tellRemoved(view.version);
          return null;
        }
        await this.#define(this.#mine, view);
        continue;
      }
      const definition = decodeDefinition(store.keys.resource, view.version, view.definitionText);
      standing = { view, definition };
      if (!view.paused && view.nextMs <= view.nowMs && (await this.#admit(view, definition))) continue;
      if (this.#mine !== undefined && this.#mine.version > view.version) {
        await this.#define(this.#mine, view);
        continue;
      }
      this.#tellDifference(view);
      return standing;
    }
    // It goes on changing: what was seen last is as good as any, since each step from here compares.
    if (standing !== undefined) return standing;
    throw new JobChangingError(store.keys.resource);
  }

  /**
   * Sets the timers that the record asks for: the next occurrence's ahead of time, so that every worker knows its deadline and no hint
   * is needed; that of whatever waits, once nothing is under way; and that of the run under way, should it have been lost.
   * @param firing the occurrence whose timer is firing here
   */
  async setTimers(view: LiveJobView, firing?: string): Promise<void> {
    const { timers } = this.#parts;
    const { open, head, headRequested, heldMs, nextMs, nowMs, paused } = view;
    if (!paused && nextMs !== this.#timerSetMs && nextMs - nowMs <= aheadMs) {
      await timers.schedule({ id: occurrenceId(nextMs), at: nextMs });
      this.#timerSetMs = nextMs;
    }
    if (open === "") {
      // What is held stands ready for the end of that; to wake it before, at each poll of each replica, would be for nothing.
      const isDue = heldMs === 0 && (!paused || headRequested);
      if (head !== "" && head !== firing && isDue) await this.wake(head);
    } else if (open !== firing && (await timers.get(open)) === null) {
      await this.wake(open);
    }
  }

  /** Makes an occurrence due now. */
  async wake(id: string): Promise<void> {
    await this.#parts.timers.schedule({ id, afterMs: 0, ifExists: "earliest" });
  }

  /** The timer of the next occurrence is looked after again at the next poll: a failover may have taken it back. */
  forget(): void {
    this.#timerSetMs = 0;
  }

  async #define(mine: Definition, view: JobView): Promise<void> {
    const { store, events, scheduler, job } = this.#parts;
    const fromMs = beginningOf(view);
    const nextMs = recurrenceOf(mine.rule).after(fromMs) ?? neverMs;
    if ((await store.define(mine, view, nextMs, fromMs)) !== "defined") return;
    events.emit(() => ({ type: "defined", scheduler, job, version: mine.version }));
  }

  /** True when something was decided, by this replica or by another one meanwhile. */
  async #admit(view: LiveJobView, definition: Definition): Promise<boolean> {
    const { store, events, scheduler, job } = this.#parts;
    const roomMax = catchUpMax - view.waitingCount;
    if (roomMax <= 0) return false;
    const plan = planOf(definition, recurrenceOf(definition.rule), view.nextMs, view.nowMs, roomMax);
    const answer = await store.admit(view, {
      runs: plan.runs.map((dueMs) => ({ id: occurrenceId(dueMs), dueMs })),
      cursorMs: plan.cursorMs,
      followingMs: plan.followingMs,
      skipped: mayWait(view, definition, plan) ? "" : this.#record("skipped", plan.cursorMs, 1, view.version),
      missed: plan.missed === null ? "" : this.#record("missed", plan.missed.firstMs, plan.missed.count, view.version),
    });
    if (answer === "full") return false;
    if (answer === "moved") return true;
    const { missed, runs } = plan;
    if (missed !== null) events.emit(() => ({ type: "missed", scheduler, job, ...missed }));
    if (runs.length > 1) events.emit(() => ({ type: "caught-up", scheduler, job, count: runs.length }));
    if (answer === "skipped") {
      events.emit(() => ({ type: "skipped", scheduler, job, occurrenceId: occurrenceId(plan.cursorMs) }));
    }
    return true;
  }

  #record(outcome: "skipped" | "missed", dueMs: number, count: number, version: number): string {
    const { runner } = this.#parts;
    return encodeRecord({ outcome, occurrenceId: occurrenceId(dueMs), scheduledForMs: dueMs, count, version, runner });
  }

  /** Says once what is on record that this replica would not have thought. */
  #tellDifference({ version: versionStored, definitionText }: LiveJobView): void {
    const { events, scheduler, job } = this.#parts;
    const mine = this.#mine;
    if (mine === undefined) return;
    const { version } = mine;
    if (version < versionStored && this.#tellOnce(`outdated ${versionStored}`)) {
      const advice = `version ${versionStored} is on record and counts on every replica; if version ${version} is a rollback, give it a version above ${versionStored}`;
      events.emit(() => ({ type: "outdated", scheduler, job, version, versionStored, advice }));
    } else if (
      version === versionStored &&
      definitionText !== encodeDefinition(mine) &&
      this.#tellOnce(`conflict ${version} ${definitionText}`)
    ) {
      const advice = `another definition with version ${version} is on record and counts; raise the version with every change`;
      events.emit(() => ({ type: "conflict", scheduler, job, version, advice }));
    }
  }

  #tellRemoved(version: number): void {
    const { events, scheduler, job } = this.#parts;
    if (this.#tellOnce(`removed ${version}`)) events.emit(() => ({ type: "removed", scheduler, job, version }));
  }

  #tellOnce(what: string): boolean {
    const isNew = this.#told !== what;
    this.#told = what;
    return isNew;
  }
}

/**
 * The moment after which a new definition begins: now. What is due and cannot be decided by the old one, since too many wait, is not passed
 * over: then it begins with that.
 */
function beginningOf(view: JobView): number {
  if (view.kind !== "job") return view.nowMs;
  const { nowMs, nextMs, cursorMs, paused } = view;
  return !paused && nextMs <= nowMs ? nextMs - 1 : Math.max(nowMs, cursorMs);
}

/** Whether what is due may wait while a run is under way. What is caught up waits, and so does what is due behind it. */
function mayWait({ nowMs, waitingCount }: LiveJobView, definition: Definition, { runs, cursorMs }: Plan): boolean {
  const { overlap, missed, missedAfterMs } = definition;
  const isCaughtUp = runs.length !== 1 || nowMs - cursorMs > missedAfterMs;
  return overlap === "queue" || isCaughtUp || (missed === "all" && waitingCount > 0);
}
