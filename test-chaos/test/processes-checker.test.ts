/** The checker of processes: what it lets pass, and what it finds. */
import { describe, expect, it } from "vitest";
import { checkProcesses } from "../checkers/processes.ts";
import { broken, Story } from "./story.ts";

const rule = "L7 B8 S5 no rejection is unhandled";

describe("the checker of processes", () => {
  it("lets pass processes that reject nothing unheard, also when their calls fail", () => {
    const story = new Story("lock");
    story.ask("acquire", "pod-1.1", "a")("unknown", { error: "OutcomeUnknownError" });
    expect(broken([checkProcesses(story.record(undefined))])).toEqual([]);
  });

  it("finds a rejection that nobody listened to, with its process and what it said", () => {
    const story = new Story("lock");
    story.ask("acquire", "pod-1.1", "a")("ok", { token: 1 });
    story.add({
      kind: "noted",
      scenario: "process",
      what: "unhandled",
      resource: "pod-1.1",
      values: { error: "Error: lost" },
    });
    const verdict = checkProcesses(story.record(undefined));
    expect(broken([verdict])).toEqual([rule]);
    expect(verdict.violations.join()).toContain("Error: lost");
  });
});
