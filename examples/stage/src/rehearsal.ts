/**
 * Owns how tests play a scenario: once, with a fraction of the work, on servers of its own.
 */
import type { Cell, Scenario, ScenarioReport, Stage } from "./scenario.ts";
import { StageServers } from "./stage-servers.ts";

/** Plays a scenario quickly. What it shows goes nowhere, unless given. */
export async function rehearse(
  scenario: Scenario,
  given: Partial<Pick<Stage, "signal" | "say" | "show">> = {},
): Promise<ScenarioReport> {
  await using servers = new StageServers();
  return await scenario.run({
    signal: new AbortController().signal,
    quick: true,
    seed: 7,
    servers,
    say: () => undefined,
    show: () => undefined,
    ...given,
  });
}

/**
 * The figures of the one row whose label begins like this, from left to right.
 *
 * @throws RangeError when there is none, or more than one.
 */
export function cellsOf({ rows }: ScenarioReport, label: string): Cell[] {
  const [found, ...others] = rows.filter((row) => row.label.startsWith(label));
  if (found === undefined || others.length > 0) throw new RangeError(`No row, or several: ${JSON.stringify(label)}.`);
  return [found.usual, ...(found.alsoUsual === undefined ? [] : [found.alsoUsual]), found.holdfast];
}
