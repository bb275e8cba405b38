/** The checker of locks: what it lets pass, and what it finds. */
import { describe, expect, it } from "vitest";
import { checkLock, overlapsIn } from "../checkers/lock.ts";
import type { LockFindings } from "../scenarios/lock.ts";
import { broken, refusesNothing, solid, Story } from "./story.ts";

const two: LockFindings = { logs: { a: ["5 w1", "9 w2"] }, counts: { a: 2 } };

/** Two holders, one after the other, each with one accepted write. */
function twoHolders(tokens: readonly [number, number] = [5, 9]): Story {
  const story = new Story("lock");
  for (const [index, token] of tokens.entries()) {
    const process = `pod-${index + 1}.1`;
    story.call("acquire", "a", `o${index}`, { token }, { process });
    story.note("believed", "a", { token, atMs: story.atMs }, process);
    story.call("append", "a", `w${index + 1}`, {}, { asked: { token }, process });
    story.note("told", "a", { token }, process);
  }
  return story;
}

describe("the checker of locks", () => {
  it("lets pass what the guarantees allow", () => {
    const round = twoHolders().record(two);
    expect(broken(checkLock(round))).toEqual([]);
    expect(overlapsIn(round)).toBe(0);
  });

  it("refuses a run in which nothing happened", () => {
    expect(refusesNothing(checkLock, "lock")).toBe(true);
  });

  it.each([
    [
      "a write that was refused although nobody came after",
      new Story("lock")
        .call("acquire", "a", "o", { token: 1 })
        .call("append", "a", "w", { error: "StaleTokenError" }, { outcome: "refused", asked: { token: 1 } }),
      { logs: {}, counts: {} },
      "L1 L5 a write is refused as stale only after a later token was asked for",
    ],
    [
      "a token from before it was asked for",
      new Story("lock")
        .note("clock", "a", { serverMs: 5_000, withinMs: 0 })
        .call("acquire", "a", "o", { token: 4_900_000 }),
      { logs: {}, counts: {} },
      "K5 a token is no lower than the time when it was asked for",
    ],
    [
      "a call without an answer, with no fault",
      new Story("lock")
        .note("advanced", "clock", { ms: 1 })
        .call("acquire", "a", "o", { error: "UnexpectedReplyError" }, { outcome: "unknown" }),
      { logs: {}, counts: {} },
      "L1 without faults every call has an answer",
    ],
    ["a token given twice", twoHolders([5, 5]), two, "L1 tokens of one lock are unique"],
    ["a token that falls in real time", twoHolders([9, 5]), two, "L1 tokens of one lock increase in real time"],
    [
      "a stale write that was accepted",
      twoHolders(),
      { logs: { a: ["9 w2", "5 w1"] }, counts: { a: 2 } },
      "L5 what the resource took has tokens that never fall",
    ],
    [
      "an accepted write that is not there",
      twoHolders(),
      { logs: { a: ["5 w1"] }, counts: { a: 1 } },
      "K1 each accepted increment is applied once, and nothing else is",
    ],
    [
      "a write that was applied twice",
      twoHolders(),
      { logs: { a: ["5 w1", "5 w1", "9 w2"] }, counts: { a: 3 } },
      "K1 each accepted increment is applied once, and nothing else is",
    ],
    [
      "a write that nobody asked for",
      twoHolders(),
      { logs: { a: ["5 w1", "9 w2", "9 w3"] }, counts: { a: 3 } },
      "K1 each accepted increment is applied once, and nothing else is",
    ],
    [
      "a counter that is not the log's length",
      twoHolders(),
      { logs: { a: ["5 w1", "9 w2"] }, counts: { a: 3 } },
      "L3 the guarded counter equals the accepted increments",
    ],
    [
      "a refused write that is there",
      twoHolders().call("append", "a", "w3", { error: "StaleTokenError" }, { outcome: "refused" }),
      { logs: { a: ["5 w1", "9 w2", "9 w3"] }, counts: { a: 3 } },
      "L5 a write that was refused is not there",
    ],
    [
      "a holder that believes in a lease that somebody else has",
      twoHolders().note("believed", "a", { token: 5, atMs: 99_999 }),
      two,
      "L4 nobody believes in a lease after somebody else was granted the next",
    ],
    [
      "a holder that is told late",
      twoHolders().wait(1_000).note("told", "a", { token: 5 }),
      two,
      "L4 a holder whose loop runs is told within 400 ms of its successor's grant",
    ],
    [
      "a holder whose lease was taken away",
      twoHolders().call("release", "a", "o1", { kind: "lost", inTime: true }),
      two,
      "L5 whoever gives back in time still had the lock",
    ],
    [
      "a holder that hangs and keeps the lock",
      twoHolders().wait(3_000).note("hung", "a", { token: 9, forMs: 3_000 }),
      two,
      "L4 nobody holds a lock for longer than 1500 ms, however often it is renewed",
    ],
  ])("finds %s", (_, story, findings, rule) => {
    expect(broken(checkLock(story.record(findings)))).toContain(rule);
  });

  it("lets a holder that gives back too late hear that it was lost", () => {
    const story = twoHolders().call("release", "a", "o1", { kind: "lost", inTime: false });
    expect(broken(checkLock(story.record(two)))).toEqual([]);
  });

  it("lets a release that was delivered twice on one connection hear of the second delivery", () => {
    const strike = { kind: "fault", nemesis: "repeat-request", strike: 1, pods: ["pod-1"], what: "twice" } as const;
    const story = twoHolders()
      .add({ ...strike, phase: "begin" }, "runner")
      .call("release", "a", "o1", { kind: "lost", inTime: true })
      .add({ ...strike, phase: "end" }, "runner");
    expect(broken(checkLock(story.record(two)))).toEqual([]);
    story.call("release", "a", "o2", { kind: "lost", inTime: true });
    expect(broken(checkLock(story.record(two)))).toContain("L5 whoever gives back in time still had the lock");
  });

  it("lets a holder that stood still hear late", () => {
    const story = twoHolders().wait(1_000).add({ kind: "stood", forMs: 1_500 }).note("told", "a", { token: 5 });
    expect(broken(checkLock(story.record(two)))).toEqual([]);
  });

  it("does not hold a lease against a server that forgets, and still asks for rising tokens", () => {
    const believing = twoHolders().note("believed", "a", { token: 5, atMs: 99_999 });
    expect(broken(checkLock(believing.record(two, { ...solid, forgets: true })))).toEqual([]);
    const falling = twoHolders([9, 5]).record({ logs: {}, counts: {} }, { ...solid, forgets: true });
    expect(broken(checkLock(falling))).toContain("L1 tokens of one lock increase in real time");
  });
});
