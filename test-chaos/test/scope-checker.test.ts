/** The checker of scopes: what it lets pass, and what it finds. */
import { describe, expect, it } from "vitest";
import { checkScope } from "../checkers/scope.ts";
import { broken, refusesNothing, Story } from "./story.ts";

const asked = { timeoutMs: 120, graceMs: 60 };
const counts = { forks: 3, success: 1, failed: 0, timedOut: 1, cancelled: 0, zombies: 1 };

/** One scope that takes so long, with a child that has so much time. */
function scoped(tookMs: number, remainingMs = 100): Story {
  const story = new Story("scope");
  const end = story.ask("scope", "pod-1.1", "s", asked);
  story.note("child", "s", { remainingMs }).wait(tookMs);
  return end("ok").note("ended", "s", counts);
}

describe("the checker of scopes", () => {
  it("lets pass what the guarantees allow", () => {
    expect(broken(checkScope(scoped(150).record(undefined)))).toEqual([]);
  });

  it("refuses a run in which nothing happened", () => {
    expect(refusesNothing(checkScope, "scope")).toBe(true);
  });

  it.each([
    ["a child with more time than its scope", scoped(100, 500), "S1 a child never has more time than its scope"],
    [
      "a scope that does not return",
      scoped(900),
      "S2 a scope returns by its deadline and its grace, in a loop that runs within 300 ms",
    ],
    [
      "a fork in no outcome",
      scoped(100).note("ended", "t", { ...counts, zombies: 0 }),
      "S4 the outcomes of the forks sum up to the forks",
    ],
  ])("finds %s", (_, story, rule) => {
    expect(broken(checkScope(story.record(undefined)))).toContain(rule);
  });

  it("lets a scope be late in a process that stood still", () => {
    const story = new Story("scope");
    const end = story.ask("scope", "pod-1.1", "s", asked);
    story.wait(900).add({ kind: "stood", forMs: 700 });
    expect(broken(checkScope(end("ok").record(undefined)))).toEqual([]);
  });
});
