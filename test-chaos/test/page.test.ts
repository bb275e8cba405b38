/** The page of a run: what it tells, and that nothing of a history can break out of it. */
import { expect, it } from "vitest";
import { checkLock } from "../checkers/lock.ts";
import { latenessCounts } from "../report/histogram.ts";
import { pageOf, roundSection } from "../report/page.ts";
import { runSummaryOf, summaryOf } from "../report/summary.ts";
import { moduleOf } from "../scenarios/catalog.ts";
import type { RoundResult } from "../world/round.ts";
import { Story } from "./story.ts";

function result(): RoundResult {
  const story = new Story("lock")
    .call("acquire", "<a>", "o1", { token: 5 }, { process: "pod-1.1" })
    .call("append", "<a>", "w1", { error: "StaleTokenError" }, { outcome: "refused", asked: { token: 4 } })
    .note("told", "<a>", { token: 5 });
  const record = story.healed().record({ logs: {}, counts: {} });
  const plan = {
    seed: "7",
    topology: "single",
    ground: "solid",
    modules: [moduleOf("lock")],
    nemeses: [],
    pods: 3,
    faultsMs: 1_000,
    folder: "",
  } as const;
  return { plan, record, verdicts: checkLock(record), witnesses: [], tookMs: 5 };
}

it("a page tells who held what, what was refused, and how to play the round again", () => {
  const round = result();
  const page = pageOf(runSummaryOf("7", [summaryOf(round)]), [roundSection(round, summaryOf(round))]);
  expect(page).toContain("pnpm chaos --rounds 1 --seed 7 --topology single --ground solid --only lock");
  expect(page).toContain("lock &lt;a&gt;");
  expect(page).not.toContain("<a>");
  expect(page).toContain("token 5 for 30 ms");
  expect(page).toContain("write with token 4 refused (StaleTokenError)");
  expect(page).toContain("did not hold");
  expect(page).not.toMatch(/<(script|link|img)/);
});

it("lateness is counted by powers of two", () => {
  const story = new Story("timer");
  for (const latenessMs of [0.5, 3, 3.5, 99_999]) story.note("delivered", "t", { latenessMs });
  const counts = latenessCounts(story.record(undefined));
  expect([counts[0], counts[2], counts.at(-1)]).toEqual([1, 2, 1]);
});
