/** The checker of histories: it accepts what the guarantees allow, and finds each kind of violation. */
import { describe, expect, it } from "vitest";
import { counterViolations, cutOff, locksHit, staleWrites, tokenViolations } from "./history-check.ts";
import type { Entry, RunHistory } from "./history-check.ts";
import type { HistoryEvent } from "./history-event.ts";

/** A run in which these things happened, a millisecond apart; the resource holds these entries. */
function runOf(events: readonly HistoryEvent[], log: readonly string[] = [], count = log.length): RunHistory {
  const entries = events.map((event, index): Entry => ({ ...event, atMs: index + 1, process: "p", index }));
  return { entries, logs: new Map([["a", log]]), counts: new Map([["a", count]]) };
}

function granted(token: number, askedAtMs: number): HistoryEvent {
  return { kind: "granted", name: "a", token, askedAtMs };
}

function wrote(kind: "writing" | "accepted" | "refused", token: number): HistoryEvent {
  return { kind, name: "a", token, operationId: `op-${token}` };
}

const good = runOf(
  [
    granted(5, 0),
    wrote("writing", 5),
    wrote("accepted", 5),
    granted(9, 1),
    granted(7, 0),
    wrote("writing", 7),
    wrote("refused", 7),
    wrote("writing", 9),
    wrote("accepted", 9),
    granted(12, 6),
    wrote("writing", 12),
  ],
  ["5 op-5", "9 op-9", "12 op-12"],
);

it("a history that the guarantees allow has no violation, though grants overlap and an answer is missing", () => {
  expect([tokenViolations(good), staleWrites(good), counterViolations(good)]).toEqual([[], [], []]);
  expect(cutOff(good).map(({ token }) => token)).toEqual([12]);
  expect([...locksHit(good)]).toEqual(["a"]);
});

describe("it finds", () => {
  it("L1 a token that goes back, and one that is granted twice", () => {
    expect(tokenViolations(runOf([granted(5, 0), granted(4, 2)]))).toEqual(["a: 4 after 5"]);
    expect(tokenViolations(runOf([granted(5, 0), granted(5, 0)]))).toEqual(["a: a token was granted twice"]);
  });

  it("L5 a stale write that was taken, and one that was refused and taken all the same", () => {
    expect(staleWrites(runOf([], ["9 op-9", "5 op-5"]))).toEqual(["a: 5 op-5 after 9"]);
    expect(staleWrites(runOf([wrote("refused", 5)], ["5 op-5"]))).toEqual(["a: 5 op-5 was refused"]);
  });

  it("L3 an increment that is lost, applied twice, nobody's, or not counted", () => {
    const write = [wrote("writing", 5), wrote("accepted", 5)];
    expect(counterViolations(runOf(write))).toEqual(["a: op-5 was accepted and is lost"]);
    expect(counterViolations(runOf(write, ["5 op-5", "5 op-5"]))).toEqual(["a: an increment was applied twice"]);
    expect(counterViolations(runOf([], ["5 op-5"]))).toEqual(["a: op-5 was applied and nobody wrote it"]);
    expect(counterViolations(runOf(write, ["5 op-5"], 2))).toEqual(["a: the counter is 2 after 1 increments"]);
  });
});
