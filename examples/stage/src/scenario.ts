/**
 * What a scenario of the demo is: it shows one failure with the usual code, then the same work with Holdfast, and compares. The runner
 * (examples/demo) gives it a stage; a scenario gives back figures and never writes to the terminal itself.
 */
import type { StageServers } from "./stage-servers.ts";

/** One failure of production, on real processes. */
export interface Scenario {
  /** The name of its folder in examples/, and what `--only` takes. */
  readonly name: string;
  /** What goes wrong in production, in one sentence. */
  readonly failure: string;
  /** The packages that hold. */
  readonly holds: readonly string[];
  /**
   * Runs both sides. Stops everything it started before it settles, also when `stage.signal` aborts.
   *
   * @throws the reason of `stage.signal` when that aborts; any other error means that the scenario could not be shown.
   */
  run(stage: Stage): Promise<ScenarioReport>;
}

/** What the runner gives to a scenario. */
export interface Stage {
  /** Aborts on Ctrl-C. */
  readonly signal: AbortSignal;
  /** Whether to make do with a fraction of the work, as tests want. */
  readonly quick: boolean;
  /** Decides everything that is left to chance, the same for both sides. */
  readonly seed: number;
  readonly servers: StageServers;
  /** A line that stays. */
  say(line: string): void;
  /** The lines that say how things are now; they replace the ones before. */
  show(lines: readonly string[]): void;
}

/** What a scenario found. */
export interface ScenarioReport {
  /** Above the columns of figures. */
  readonly usual: string;
  /** Above a column between the two, when there is another usual way that fails differently. */
  readonly alsoUsual?: string;
  readonly holdfast: string;
  readonly rows: readonly ComparisonRow[];
  /** Each side in a few words, for the table of all scenarios. */
  readonly verdict: { readonly usual: string; readonly holdfast: string };
  /** Printed below the table: what was shortened, what to make of the figures. */
  readonly notes: readonly string[];
  /** What Holdfast did not hold, or what makes the run prove nothing. Empty when all is well; anything here fails the demo. */
  readonly problems: readonly string[];
}

/** One figure, all sides. */
export interface ComparisonRow {
  readonly label: string;
  readonly usual: Cell;
  /** Given when the report has that column. */
  readonly alsoUsual?: Cell;
  readonly holdfast: Cell;
}

/** A figure, and whether it is one to be glad of. */
export interface Cell {
  readonly text: string;
  readonly tone: "good" | "bad" | "plain";
}

/** A figure that is what it is. */
export function plain(text: string | number): Cell {
  return { text: String(text), tone: "plain" };
}

/** A count that must be zero. */
export function wantedZero(count: number): Cell {
  return { text: String(count), tone: count === 0 ? "good" : "bad" };
}
