/** The checker of recurring jobs on the stage: what it lets pass, and what it finds. */
import { describe, expect, it } from "vitest";
import { checkStagedScheduler, rhythmMs } from "../checkers/staged-scheduler.ts";
import type { Values } from "../history/event.ts";
import type { RecordedRun, SchedulerFindings } from "../scenarios/scheduler.ts";
import { broken, Story } from "./story.ts";

/** The server's clock at the beginning of a schedule: a whole multiple of the rhythm. */
const epochMs = 1_000 * rhythmMs;
const missing = "C2 C5 with missed: all, no occurrence is missing but those of a pause";

/** A job on a server whose clock is that of the story, and what becomes of it. */
class Job {
  readonly story = new Story("scheduler");
  readonly runs: RecordedRun[] = [];
  private readonly sinceMs: number;

  constructor() {
    this.story.note("clock", "job", { serverMs: epochMs, withinMs: 0 }, "stage");
    this.sinceMs = this.story.atMs;
    this.story.note("joined", "job", { version: 1 }, "actor-0.1").note("defined", "job", { version: 1 }, "actor-0.1");
  }

  get nowMs(): number {
    return epochMs + this.story.atMs - this.sinceMs;
  }

  /** Nothing happens until the occurrence of this number is due. */
  until(occurrence: number): this {
    this.story.wait(epochMs + occurrence * rhythmMs - this.nowMs + 100);
    return this;
  }

  note(what: string, resource: string, values: Values): this {
    this.story.note(what, resource, values, "actor-0.1");
    return this;
  }

  began(id: string, more: Values = {}): number {
    const token = this.nowMs * 1_000;
    this.note("began", id, { attempt: 1, token, scheduledForMs: this.nowMs - 100, version: 1, ...more });
    return Number(more["token"] ?? token);
  }

  ran(id: string, scheduledForMs: number, more: Values = {}): this {
    const token = this.began(id, { scheduledForMs, ...more });
    this.note("ended", id, { attempt: 1, token, aborted: false });
    this.runs.push({ occurrenceId: id, scheduledForMs, outcome: "completed", count: 1, token });
    return this;
  }

  /** The occurrence of this number runs. */
  runs1(occurrence: number, more: Values = {}): this {
    const dueMs = epochMs + occurrence * rhythmMs;
    return this.until(occurrence).ran(new Date(dueMs).toISOString(), dueMs, more);
  }

  ask(call: string, operation = call, kind = `${call}d`): this {
    this.story.call(call, "job", operation, { kind }, { process: "actor-0.1" });
    return this;
  }

  /** The rules that it broke. */
  broke(version = 1): string[] {
    this.note("clock", "job", { serverMs: this.nowMs + 10, withinMs: 0 });
    this.ran("now-last", this.nowMs, { version });
    const findings: SchedulerFindings = { runs: this.runs, historyMax: 1_000 };
    return broken(checkStagedScheduler(this.story.record(findings)));
  }
}

describe("the checker of recurring jobs on the stage", () => {
  it("lets pass what the guarantees allow", () => {
    const job = new Job().runs1(1).ask("pause").until(2).ask("resume").runs1(3);
    job.note("joined", "job", { version: 3 }).note("defined", "job", { version: 3 });
    job.ask("run-now", "op", "queued").ran("now-op", job.nowMs).runs1(4, { version: 3 });
    expect(job.broke(3)).toEqual([]);
  });

  it("refuses a history in which nothing happened", () => {
    const round = new Story("scheduler").healed().record(undefined);
    expect(broken(checkStagedScheduler(round))).toContain(missing);
  });

  it.each([
    ["an occurrence that is missing", new Job().runs1(1).until(2).runs1(3), missing],
    [
      "an occurrence that was due before a pause",
      new Job().runs1(1).until(2).ask("pause").ask("resume").runs1(3),
      missing,
    ],
    ["an occurrence that was due after a resume", new Job().ask("pause").until(1).ask("resume").until(2), missing],
    ["a pause that was resumed by an earlier request", pausedAgain(), missing],
    [
      "an occurrence that nobody defined",
      new Job().ran(new Date(epochMs + 1).toISOString(), epochMs + 1),
      "C1 nothing is recorded that no definition names",
    ],
    [
      "a run before its time",
      new Job().ran(new Date(epochMs + rhythmMs).toISOString(), epochMs + rhythmMs),
      "C1 nothing runs before its time",
    ],
    [
      "a run that begins while the job is paused",
      new Job().ask("pause").runs1(1).ask("resume"),
      "while a job is paused no occurrence begins that was planned",
    ],
    ["an attempt that nobody made", new Job().runs1(1, { attempt: 2 }), "C1 a lost answer spends no attempt"],
    [
      "a version that is put on record again",
      new Job().note("defined", "job", { version: 1 }),
      "C5 each version is put on record once",
    ],
    ["a version that never counts", new Job().note("joined", "job", { version: 2 }), "C5 the highest version counts"],
    ["a request that was lost", new Job().ask("run-now", "op", "queued"), "what was asked for by hand runs"],
    ["a request that was refused and ran", withRefused(), "what was asked for by hand runs"],
    [
      "a repeat with another answer",
      new Job().ask("run-now", "op", "busy").ask("run-now", "op", "absent"),
      "K1 a repeat gets the first answer",
    ],
  ])("finds %s", (_, job, rule) => {
    expect(job.broke()).toContain(rule);
  });

  it("lets an attempt pass unheard when its process ended", () => {
    const job = new Job();
    job.story.add({ kind: "fault", nemesis: "crash", strike: 1, phase: "begin", pods: ["actor-1"], what: "crash" });
    expect(job.runs1(1, { attempt: 2 }).broke()).toEqual([]);
  });
});

/** The resume was asked for before the pause, and its repeat does nothing. */
function pausedAgain(): Job {
  return new Job().ask("resume", "early").ask("pause").ask("resume", "early").ask("resume").until(1);
}

function withRefused(): Job {
  const job = new Job().ask("run-now", "op", "busy");
  return job.ran("now-op", job.nowMs);
}
