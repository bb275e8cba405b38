/** The checker of recurring jobs: what it lets pass, and what it finds. */
import { describe, expect, it } from "vitest";
import { checkScheduler } from "../checkers/scheduler.ts";
import type { RecordedRun, SchedulerFindings } from "../scenarios/scheduler.ts";
import { broken, refusesNothing, solid, Story } from "./story.ts";

function recorded(scheduledForMs: number, more: Partial<RecordedRun> = {}): RecordedRun {
  return {
    occurrenceId: `at-${scheduledForMs}`,
    scheduledForMs,
    outcome: "completed",
    count: 1,
    token: scheduledForMs,
    ...more,
  };
}

function findings(...runs: RecordedRun[]): SchedulerFindings {
  return { runs, historyMax: 1_000 };
}

/** Wall time that is monotonic time: occurrence `ms` is due at `ms`. */
function clocked(): Story {
  const story = new Story("scheduler");
  return story.note("clock", "job", { wallMs: story.atMs + 10 }, "runner");
}

function ran(story: Story, dueMs: number, token = dueMs): Story {
  const values = { attempt: 1, token, scheduledForMs: dueMs };
  return story.note("began", `at-${dueMs}`, values).note("ended", `at-${dueMs}`, { attempt: 1, token, aborted: false });
}

describe("the checker of recurring jobs", () => {
  it("lets pass what the guarantees allow", () => {
    const story = ran(ran(clocked().wait(600), 1_500).wait(600), 2_000);
    expect(broken(checkScheduler(story.record(findings(recorded(1_500), recorded(2_000)))))).toEqual([]);
  });

  it("refuses a run in which nothing happened", () => {
    expect(refusesNothing(checkScheduler, "scheduler")).toBe(true);
  });

  it.each([
    [
      "an occurrence that is recorded twice",
      ran(clocked().wait(600), 1_500),
      findings(recorded(1_500), recorded(1_500)),
      "C1 an occurrence is recorded once",
    ],
    [
      "an occurrence that failed",
      ran(clocked().wait(600), 1_500),
      findings(recorded(1_500, { outcome: "missed" })),
      "C1 every occurrence is completed",
    ],
    [
      "a gap",
      ran(ran(clocked().wait(600), 1_500).wait(2_000), 2_500),
      findings(recorded(1_500), recorded(2_500)),
      "C2 with missed: all, no occurrence is missing",
    ],
    [
      "a record of what never ran",
      clocked(),
      findings(recorded(1_500)),
      "C1 what is recorded as completed was run to its end",
    ],
    ["a run before its time", ran(clocked(), 5_000), findings(recorded(5_000)), "C1 nothing runs before its time"],
    [
      "an outcome of a runner that was overtaken",
      ran(clocked().wait(600), 1_500).note("began", "at-1500", { attempt: 2, token: 1_600, scheduledForMs: 1_500 }),
      findings(recorded(1_500)),
      "C1 what is recorded is the last attempt that began",
    ],
    [
      "an outcome of another attempt than the one that ended",
      ran(clocked().wait(600), 1_500),
      findings(recorded(1_500, { token: 1_499 })),
      "C1 what is recorded as completed was run to its end",
    ],
    [
      "two runs with one token",
      ran(ran(clocked().wait(1_200), 1_500, 7), 2_000, 7),
      findings(recorded(1_500, { token: 7 }), recorded(2_000, { token: 7 })),
      "C1 each attempt has a token of its own, higher than those before it",
    ],
  ])("finds %s", (_, story, found, rule) => {
    expect(broken(checkScheduler(story.record(found)))).toContain(rule);
  });

  it("knows how far the wall clock was slewed while the round went on", () => {
    const early = ran(clocked().wait(465), 1_500);
    expect(broken(checkScheduler(early.record(findings(recorded(1_500)))))).toContain(
      "C1 nothing runs before its time",
    );
    const slewed = ran(clocked().wait(465), 1_500);
    slewed.note("clock", "job", { wallMs: slewed.atMs + 10 + 20 }, "runner");
    expect(broken(checkScheduler(slewed.record(findings(recorded(1_500)))))).toEqual([]);
  });

  it("does not ask a server that forgets for what it has lost", () => {
    const story = ran(ran(clocked().wait(600), 1_500).wait(2_000), 2_500);
    const round = story.record(findings(recorded(1_500), recorded(2_500)), { ...solid, forgets: true });
    expect(broken(checkScheduler(round))).toEqual([]);
  });
});
