/** What it takes to play schedules with a primitive: who acts, what they can do, and the scenario whose rules they keep. */
import type { Clock } from "@holdfast/core";
import type { Scenario } from "../scenarios/scenario.ts";
import type { Workplace } from "../scenarios/workplace.ts";

/** One client of a primitive, as a schedule moves it. */
export interface Actor {
  /**
   * Does something, and resolves when it is over, however it ended.
   * @param onWaits called when it waits for another step of the schedule
   */
  act(action: string, onWaits: () => void): Promise<void>;
  /** Ends without a word to anybody, as a process does that is killed. */
  vanish(): void;
}

/** A primitive on the stage. */
export interface Cast {
  /** That of the scenario. */
  readonly name: string;
  /** Actions that are drawn. */
  readonly actions: readonly string[];
  /** Actions of schedules that are written by hand. */
  readonly moreActions?: readonly string[];
  /** Schedules that are always played, before any that are drawn: each is the shortest that shows a certain bug. */
  readonly pinned: readonly string[];
  /** Makes one client. @param clock its time */
  enter(place: Workplace, clock: Clock): Promise<Actor> | Actor;
  readonly scenario: Scenario;
  /** A schedule begins when the server's clock shows a whole multiple of this, in milliseconds. */
  readonly rhythmMs?: number;
  /** After the last step: so much time passes, again and again, until the scenario settles. In milliseconds. */
  readonly restMs: number;
}
