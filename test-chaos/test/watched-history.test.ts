/** How a process notices that it stood still. */
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pollUntil } from "@holdfast/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ChaosEvent } from "../history/event.ts";
import { WatchedHistory } from "../world/loop-watch.ts";

const stoodMs = 250;

function standStill(): void {
  const untilMs = performance.now() + stoodMs;
  while (performance.now() < untilMs);
}

describe("a history that watches its loop", () => {
  let directory: string;
  let history: WatchedHistory;
  let madeMs: number;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "holdfast-watched-"));
    madeMs = performance.now();
    history = new WatchedHistory({ path: join(directory, "pod.jsonl"), process: "pod" });
  });
  afterEach(async () => {
    history.close();
    await rm(directory, { recursive: true });
  });

  const stood = (): number[] =>
    history.entries.flatMap((entry) => (entry.kind === "stood" && entry.forMs >= stoodMs ? [entry.forMs] : []));

  it("has it on disk before whatever is recorded next, since the process may be killed right after", () => {
    standStill();
    history.record({ kind: "phase", phase: "faults" });
    // Read in the same turn, so that no timer has run since.
    const lines = readFileSync(join(directory, "pod.jsonl"), "utf8").trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as ChaosEvent).kind).slice(-2)).toEqual(["stood", "phase"]);
  });

  it("has it by the next timer where nothing is recorded, and no moment of it twice", async () => {
    standStill();
    await pollUntil("it is noticed", () => stood().length > 0);
    history.record({ kind: "phase", phase: "faults" });
    expect(stood().reduce((sum, forMs) => sum + forMs, 0)).toBeLessThanOrEqual(performance.now() - madeMs);
  });

  it("ends its watching with its file", async () => {
    history.close();
    const { length } = history.entries;
    standStill();
    await pollUntil("timers have run", () => new Promise<true>((resolve) => setTimeout(() => resolve(true), 50)));
    expect(history.entries).toHaveLength(length);
  });
});
