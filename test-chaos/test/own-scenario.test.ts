/** A scenario of a user: the one of the README, played under kills and lost replies. */
import { join } from "node:path";
import { expect, it } from "vitest";
import { readCommandLine } from "../command-line.ts";
import { playRound } from "../world/round.ts";

const file = join(import.meta.dirname, "fixtures/refunds.ts");

it("a module that exports a scenario is played, and its rules are checked", { timeout: 600_000 }, async () => {
  const { modules } = readCommandLine(["--scenario", file]);
  const folder = join(import.meta.dirname, "../../.reports/chaos/test-own-scenario");
  const nemeses = ["kill", "swallow-reply"];
  const plan = {
    seed: "1",
    topology: "single",
    ground: "solid",
    modules,
    nemeses,
    pods: 2,
    faultsMs: 2_000,
    folder,
  } as const;
  const { verdicts } = await playRound(plan, () => undefined, new AbortController().signal);
  expect(verdicts.map(({ scenario }) => scenario)).toEqual(["refunds", "refunds", "process"]);
  expect(verdicts.filter(({ held }) => !held)).toEqual([]);
});
