/** Owns how long pods work without faults: until everything has had the time to recover, and some time more, of a machine that ran. */
import { setTimeout as delay } from "node:timers/promises";
import type { History } from "@holdfast/testkit";
import type { ChaosEntry, ChaosEvent } from "../history/event.ts";
import { StandStill } from "../history/stand-still.ts";

/** Where something stands still for longer than this, leases end and servers are taken for dead: that is a fault of its own. */
const stillMaxMs = 300;
/** A machine that is never left alone for so long gets no more attempts than fit into this. */
const patienceMs = 45_000;

/** How long. */
export interface CalmTimes {
  /** How soon after the healing everything has to have recovered. */
  readonly healedWithinMs: number;
  /** Work without faults after that. Default 2 500. */
  readonly calmMs?: number;
}

/** What is watched meanwhile. */
export interface CalmWatch {
  readonly history: History<ChaosEvent>;
  readonly read: () => Promise<readonly ChaosEntry[]>;
  readonly report: (words: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Waits, and marks in the history from when on all has to be as it should be. Waits again when something stood still meanwhile. */
export async function workCalmly(
  { healedWithinMs, calmMs = 2_500 }: CalmTimes,
  { history, read, report, signal }: CalmWatch,
): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  const untilMs = performance.now() + patienceMs;
  for (;;) {
    report("working without faults");
    const sinceMs = Number(process.hrtime.bigint()) / 1e6;
    await delay(healedWithinMs, undefined, options);
    history.record({ kind: "phase", phase: "calm" });
    await delay(calmMs, undefined, options);
    const stoodMs = new StandStill(await read()).longestIn(sinceMs, Number.POSITIVE_INFINITY);
    if (stoodMs <= stillMaxMs || performance.now() > untilMs) return;
    report(`something stood still for ${stoodMs.toFixed(0)} ms: working on`);
  }
}
