/** The checker of quorum locks: what it lets pass, and what it finds. */
import { expect, it } from "vitest";
import { checkQuorum } from "../checkers/quorum.ts";
import type { LockFindings } from "../scenarios/lock.ts";
import { broken, refusesNothing, Story } from "./story.ts";

const two: LockFindings = { logs: { a: ["5 w1", "9 w2"] }, counts: { a: 2 } };

/** Two holders, one after the other, each with one accepted write. */
function twoHolders(tokens: readonly [number, number] = [5, 9]): Story {
  const story = new Story("quorum");
  for (const [index, token] of tokens.entries()) {
    story.call("acquire", "a", `o${index}`, { token });
    story.call("append", "a", `w${index + 1}`, {}, { asked: { token } });
  }
  return story;
}

it("lets pass what the guarantees allow", () => {
  expect(broken(checkQuorum(twoHolders().record(two)))).toEqual([]);
});

it("refuses a run in which nothing happened", () => {
  expect(refusesNothing(checkQuorum, "quorum")).toBe(true);
});

it.each([
  ["a token given twice", twoHolders([5, 5]), two, "L1 tokens of one lock are unique"],
  ["a token that falls in real time", twoHolders([9, 5]), two, "L1 tokens of one lock increase in real time"],
  [
    "a stale write that was accepted",
    twoHolders(),
    { logs: { a: ["9 w2", "5 w1"] }, counts: { a: 2 } },
    "L5 what the resource took has tokens that never fall",
  ],
  [
    "a holder that hangs and keeps the lock",
    twoHolders().wait(3_000).note("hung", "a", { token: 9, forMs: 3_000 }),
    two,
    "L4 nobody holds a lock for longer than 1500 ms, however often it is renewed",
  ],
])("finds %s", (_, story, findings, rule) => {
  expect(broken(checkQuorum(story.record(findings)))).toContain(rule);
});
