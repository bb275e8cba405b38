/** One job's record on the server: the calls of its scripts, by name. Knows keys, timeouts and limits; decides nothing. */
import type {
  CallOptions,
  Connection,
  LuaSource,
  NotReplicatedError,
  Script,
  ScriptArgs,
  ScriptKeys,
} from "@holdfast/core";
import type { Definition } from "./definition.ts";
import { encodeDefinition } from "./definition.ts";
import { encodeFailure } from "./history.ts";
import type { AttemptFailure } from "./history.ts";
import { jobKeys } from "./keys.ts";
import type { JobKeys } from "./keys.ts";
import type { ResolvedSchedulerOptions } from "./options.ts";
import { catchUpMax } from "./plan.ts";
import {
  admitScript,
  beginScript,
  defineJobScript,
  enqueueScript,
  finishScript,
  leaveScript,
  lookScript,
  recallScript,
  removeScript,
  steerScript,
} from "./scripts.ts";
import type { Beginning, Ending, JobView, LiveJobView, Removal } from "./scripts.ts";

/** What admit.lua decides. */
export interface Admission {
  readonly runs: readonly { readonly id: string; readonly dueMs: number }[];
  readonly cursorMs: number;
  readonly followingMs: number;
  /** Record when the occurrence overlaps; "" when it may wait. */
  readonly skipped: string;
  /** Record of what was missed, or "". */
  readonly missed: string;
}

/** Answers are remembered for longer than any request is under way. */
const keepMs = 3_600_000;
/** A replica that is older than this, and still knows a removed job, brings it back. */
const buriedMs = 30 * 86_400_000;
/** The replies of a script that has done what it was asked for: only these need replicas (decision 083). */
const done: ReadonlySet<string> = new Set(["run", "left", "recorded", "paused", "resumed", "queued"]);

/** What was there of a job that was removed, and the error when too few replicas have heard of it. */
export type RemovalOnMaster = Removal & { readonly unconfirmed?: NotReplicatedError };

/** The record of one job. */
export class JobStore {
  readonly keys: JobKeys;
  readonly #connection: Connection;
  readonly #options: ResolvedSchedulerOptions;

  constructor(connection: Connection, scheduler: string, job: string, options: ResolvedSchedulerOptions) {
    this.keys = jobKeys(options.prefix, scheduler, job);
    this.#connection = connection;
    this.#options = options;
  }

  /** Reads the record. */
  look(): Promise<JobView> {
    const { state, waiting } = this.keys;
    return this.#connection.run(lookScript, { state, waiting }, {}, this.#call("look"));
  }

  /**
   * Puts a definition on record, with its first occurrence, when what is there is as `view` says.
   * @param fromMs the moment after which that is its first; by default right before it
   */
  define(
    definition: Definition,
    view: JobView,
    nextMs: number,
    fromMs: number = nextMs - 1,
  ): Promise<"defined" | "kept" | "moved"> {
    const { state, waiting } = this.keys;
    const args = {
      version: definition.version,
      definition: encodeDefinition(definition),
      expected: expectedOf(view),
      next: nextMs,
      from: fromMs,
      waitingMax: catchUpMax,
    };
    return this.#connection.run(defineJobScript, { state, waiting }, args, this.#planning("define"));
  }

  /** Decides what is due, when the record is as `view` says. */
  admit(view: LiveJobView, admission: Admission): Promise<"admitted" | "skipped" | "full" | "moved"> {
    const { state, waiting, history } = this.keys;
    const { runs, cursorMs, followingMs, skipped, missed } = admission;
    const args = {
      version: view.version,
      expected: view.nextMs,
      cursor: cursorMs,
      following: followingMs,
      waitingMax: catchUpMax,
      historyMax: this.#options.historyMax,
      skipped,
      missed,
      runs: runs.flatMap(({ id, dueMs }) => [id, dueMs]),
    };
    return this.#connection.run(admitScript, { state, waiting, history }, args, this.#planning("admit"));
  }

  /** Begins an attempt for a delivery. */
  begin(id: string, token: number, { attemptsMax, atLeastMs }: Definition): Promise<Beginning> {
    const { state, waiting } = this.keys;
    const args = { id, token, runner: this.#options.runner, attemptsMax, atLeastUs: atLeastMs * 1_000 };
    return this.#run(beginScript, { state, waiting }, args, this.#call(`begin ${id}`));
  }

  /** Ends an attempt whose occurrence goes on: with its failure, or as one that never began and is not spent. */
  async leave(id: string, token: number, failure: AttemptFailure | null): Promise<void> {
    const { state } = this.keys;
    const args = { id, token, failure: failure === null ? "" : encodeFailure(failure) };
    await this.#run(leaveScript, { state }, args, this.#call(`leave ${id}`));
  }

  /** Records that an occurrence has ended. */
  finish(id: string, token: number, verb: "ended" | "exhausted", record: string): Promise<Ending> {
    const { state, waiting, history } = this.keys;
    const args = { id, token, verb, record, historyMax: this.#options.historyMax };
    return this.#run(finishScript, { state, waiting, history }, args, this.#call(`finish ${id}`));
  }

  /**
   * Stops admitting. What was due when `view` was had is decided first; what is due in it could not be, since too many wait, and is passed
   * over.
   */
  async pause(operationId: string, view?: LiveJobView): Promise<"paused" | "absent" | "moved"> {
    const keys = { state: this.keys.state, answer: this.keys.answer("pause", operationId) };
    const { nextMs = 0, nowMs = 0 } = view ?? {};
    const args = { keepMs, verb: "pause", expected: nextMs <= nowMs ? nextMs : "", next: Math.floor(nowMs) };
    const answer = await this.#run(steerScript, keys, args, this.#call("pause", operationId));
    return answer === "resumed" ? "paused" : answer;
  }

  /** Goes on from an occurrence, when the record is as `view` says. */
  async resume(operationId: string, view: JobView, nextMs: number): Promise<"resumed" | "absent" | "moved"> {
    const keys = { state: this.keys.state, answer: this.keys.answer("resume", operationId) };
    const args = { keepMs, verb: "resume", expected: expectedOf(view), next: nextMs };
    const answer = await this.#run(steerScript, keys, args, this.#call("resume", operationId));
    return answer === "paused" ? "resumed" : answer;
  }

  /** Adds an occurrence that was asked for by hand. With overlap skip, what is due for longer than `lateMaxMs` is decided first. */
  enqueue(
    operationId: string,
    id: string,
    overlap: Definition["overlap"],
    lateMaxMs = 0,
  ): Promise<"queued" | "busy" | "absent" | "moved"> {
    const { state, waiting } = this.keys;
    const keys = { state, waiting, answer: this.keys.answer("runNow", operationId) };
    const args = { keepMs, id, overlap, lateMaxMs, waitingMax: catchUpMax };
    return this.#run(enqueueScript, keys, args, this.#call("runNow", operationId));
  }

  /** Takes the job out. That too few replicas have heard of it is told, and no failure here: its run has to be told all the same. */
  remove(operationId: string): Promise<RemovalOnMaster> {
    const { state, waiting, history } = this.keys;
    const keys = { state, waiting, history, answer: this.keys.answer("remove", operationId) };
    const call = this.#call("remove", operationId);
    return this.#connection.runJudged(removeScript, keys, { keepMs, buriedMs }, call, (removal, unconfirmed) =>
      removal.kind === "absent" ? removal : { ...removal, unconfirmed },
    );
  }

  /** Reads definition and history; null when there is no such job. */
  recall(): Promise<{ readonly definitionText: string; readonly records: readonly unknown[] } | null> {
    const { state, history } = this.keys;
    return this.#connection.run(
      recallScript,
      { state, history },
      { limit: this.#options.historyMax },
      this.#call("history"),
    );
  }

  /** Runs a script. That it did nothing, since it may not, or another one was first, is the answer also when too few replicas confirm. */
  #run<const Source extends LuaSource, Reply extends string | { readonly kind: string }>(
    script: Script<Source, Reply>,
    keys: ScriptKeys<Source>,
    args: ScriptArgs<Source>,
    call: CallOptions,
  ): Promise<Reply> {
    const wrote = (reply: Reply): boolean => done.has(typeof reply === "string" ? reply : reply.kind);
    return this.#connection.runConfirmed(script, keys, args, call, wrote);
  }

  /**
   * Of a step that promises nobody anything: what comes of it, a run that begins or what an operator asks for, is executed after it, and
   * waits for replicas for both. Should a failover take it back, it is planned again.
   */
  #planning(what: string): CallOptions {
    return { ...this.#call(what), durability: undefined };
  }

  #call(what: string, operationId: string = this.#options.random.id()): CallOptions {
    const { commandTimeoutMs, durability } = this.#options;
    return { operation: `${this.keys.resource} ${what}`, operationId, timeoutMs: commandTimeoutMs, durability };
  }
}

/** The occurrence that is next on record, for a compare-and-set. */
function expectedOf(view: JobView): number | "" {
  return view.kind === "job" ? view.nextMs : "";
}
