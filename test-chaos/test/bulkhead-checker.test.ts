/** The checker of bulkheads: what it lets pass, and what it finds. */
import { describe, expect, it } from "vitest";
import { checkBulkhead } from "../checkers/bulkhead.ts";
import { broken, refusesNothing, Story } from "./story.ts";

const all = { besideEachOther: 5, tookMs: 100 };

/** So many calls beside each other, in two pods. */
function crowd(calls: number): Story {
  const story = new Story("bulkhead").wait(10_000);
  const visits = Array.from({ length: calls }, (_, index) => ({
    visit: `v${index}`,
    process: `pod-${1 + (index % 2)}.1`,
  }));
  for (const { visit, process } of visits) story.note("in", "dependency", { visit }, process);
  for (const { visit, process } of visits) story.note("out", "dependency", { visit }, process);
  return story;
}

const limitRule = "B7 calls in flight of processes that nothing happens to are at most 5";

describe("the checker of bulkheads", () => {
  it("lets pass what the guarantees allow", () => {
    const story = crowd(5).note("inside", "pod-1.1", { inside: 3 }).note("outcomes", "pod-1.1", { "rejected-open": 0 });
    expect(broken(checkBulkhead(story.record(all)))).toEqual([]);
  });

  it("refuses a run in which nothing happened", () => {
    expect(refusesNothing(checkBulkhead, "bulkhead")).toBe(true);
  });

  it.each([
    ["a call too many", crowd(6), all, limitRule],
    [
      "work of callers that have given up",
      crowd(5).note("inside", "p", { inside: 4 }),
      all,
      "B1 work in flight is at most 3, also when its callers have given up",
    ],
    [
      "a breaker that hears rejections",
      crowd(5).note("outcomes", "p", { "rejected-open": 1 }),
      all,
      "B2 rejections and queue timeouts never open the breaker",
    ],
    [
      "permits that are gone",
      crowd(5),
      { besideEachOther: 4, tookMs: 100 },
      "B7 all permits are returned, also those of processes that were killed",
    ],
  ])("finds %s", (_, story, findings, rule) => {
    expect(broken(checkBulkhead(story.record(findings)))).toContain(rule);
  });

  it("does not count the calls of a process that stood still", () => {
    const story = crowd(6).add({ kind: "stood", forMs: 500 }, "pod-2.1");
    expect(broken(checkBulkhead(story.record(all)))).not.toContain(limitRule);
  });

  it("does not count calls during which nobody could be reached: by the word of the runner, or of a server", () => {
    const carrier = crowd(6).add({ kind: "stood", forMs: 500 }, "runner");
    expect(broken(checkBulkhead(carrier.record(all)))).not.toContain(limitRule);
    const short = crowd(6).add({ kind: "stood", forMs: 150 }, "runner");
    expect(broken(checkBulkhead(short.record(all)))).toContain(limitRule);
    const server = crowd(6).add({ kind: "stood", forMs: 500, who: "redis" }, "runner");
    expect(broken(checkBulkhead(server.record(all)))).not.toContain(limitRule);
  });
});
