import { describe, expect, it } from "vitest";
import { compare } from "../src/comparison.ts";
import { scaleOf } from "../src/course.ts";
import type { Outcome } from "../src/outcome.ts";

const course = { seed: 1, accounts: 10, rounds: 3, scale: scaleOf(30) };

const held: Outcome = {
  entries: 60,
  lostUpdates: 0,
  accountsWrong: 0,
  wrongByCents: 0,
  postings: 60,
  writes: 180,
  staleAccepted: 0,
  staleRefusedByPostgres: 30,
  staleRefusedByRedis: 30,
  shownWrong: 0,
  lost: 30,
  knewBeforeWrite: 30,
  toldAfterGrantMs: 1_180,
  toldAfterWakingMs: 0.9,
  pausedMsMin: 1_167,
};
const lost: Outcome = {
  ...held,
  lostUpdates: 30,
  accountsWrong: 10,
  wrongByCents: 84_653,
  writes: 120,
  staleAccepted: 60,
  staleRefusedByPostgres: 0,
  staleRefusedByRedis: 0,
  shownWrong: 10,
  knewBeforeWrite: 0,
};

describe("the comparison", () => {
  it("has no problem when the usual lock loses updates and the fenced one does not", () => {
    const report = compare(lost, held, course);
    expect(report.problems).toEqual([]);
    expect(report.verdict).toEqual({
      usual: "30 of 60 updates lost",
      holdfast: "0 of 60 updates lost, 60 stale writes refused",
    });
    expect(report.rows.find(({ label }) => label === "balances wrong by")).toMatchObject({
      usual: { text: "846.53", tone: "bad" },
      holdfast: { text: "0.00", tone: "good" },
    });
    expect(report.notes[0]).toContain("ttl of a lock 30 s → 1.00 s");
  });

  it("says so when the usual lock lost nothing, which is no failure of the fence", () => {
    const lucky = { ...lost, lostUpdates: 0, accountsWrong: 0, wrongByCents: 0, shownWrong: 0 };
    const report = compare(lucky, held, course);
    expect(report.problems).toEqual([]);
    expect(report.notes.join()).toContain("nothing was lost this time");
  });

  it.each<[string, Partial<Outcome>, string]>([
    ["a stale write that was accepted", { staleAccepted: 1, staleRefusedByRedis: 29 }, "1 stale writes were accepted"],
    ["a lost update", { lostUpdates: 1 }, "1 updates were lost"],
    ["a wrong balance", { accountsWrong: 1 }, "1 accounts have a wrong balance"],
    ["a wrong balance that is shown", { shownWrong: 1 }, "customers see 1 wrong balances"],
    ["a holder that did not know", { knewBeforeWrite: 29 }, "only 29 of 30 holders could know"],
    ["a posting that vanished", { entries: 59 }, "60 postings were reported as done, 59 are stored"],
    ["a posting that was not done", { postings: 59, entries: 59 }, "59 of 60 postings were done"],
  ])("fails on %s in the fenced column", (_what, outcome, problem) => {
    expect(compare(lost, { ...held, ...outcome }, course).problems.join()).toContain(problem);
  });

  it("fails when no stale write was tried, or a pause was too short, since then nothing was shown", () => {
    const tame = { staleAccepted: 0, lost: 0, knewBeforeWrite: 0 };
    expect(compare({ ...lost, ...tame }, held, course).problems).toHaveLength(1);
    expect(compare({ ...lost, pausedMsMin: 900 }, held, course).problems).toHaveLength(1);
    expect(compare(lost, { ...held, pausedMsMin: 1_000 }, course).problems).toHaveLength(1);
  });
});
