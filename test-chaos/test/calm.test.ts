/** From when on a round asks for everything: from where the machine let it. */
import { History } from "@holdfast/testkit";
import { expect, it } from "vitest";
import type { ChaosEntry, ChaosEvent } from "../history/event.ts";
import { workCalmly } from "../world/calm.ts";

/** Waits calmly, and finds these stand-stills in the history, one after each try. Resolves to the number of tries. */
async function triesOf(...stoodMs: readonly number[]): Promise<number> {
  const history = new History<ChaosEvent>({ process: "runner" });
  const found = [...stoodMs];
  const read = async (): Promise<readonly ChaosEntry[]> => {
    const forMs = found.shift() ?? 0;
    return [history.record({ kind: "stood", forMs })];
  };
  await workCalmly({ healedWithinMs: 2, calmMs: 2 }, { history, read, report: () => undefined });
  return history.entries.filter((entry) => entry.kind === "phase" && entry.phase === "calm").length;
}

it("a machine that ran is asked at once", async () => {
  expect(await triesOf(200)).toBe(1);
});

it("one that stood still is given the time again", async () => {
  expect(await triesOf(400, 1_000, 200)).toBe(3);
});
