/** Owns the question whether a process could have acted in a span of time: not while it stood still, and not before it could be reached again. */
import type { ChaosEntry } from "./event.ts";

/** A span in which a process did not run. */
interface Gap {
  readonly fromMs: number;
  readonly toMs: number;
}

/** The spans in which processes stood still, as they noticed afterwards themselves. */
export class StandStill {
  private readonly gaps = new Map<string, Gap[]>();

  constructor(entries: readonly ChaosEntry[]) {
    for (const entry of entries) {
      if (entry.kind !== "stood") continue;
      const gaps = this.gaps.get(entry.process) ?? [];
      gaps.push({ fromMs: entry.atMs - entry.forMs, toMs: entry.atMs });
      this.gaps.set(entry.process, gaps);
    }
  }

  /** Whether the process stood still at some moment of the span, widened by `marginMs` on both sides. */
  touches(process: string, fromMs: number, toMs: number, marginMs = 0): boolean {
    const gaps = this.gaps.get(process) ?? [];
    return gaps.some((gap) => gap.fromMs < toMs + marginMs && gap.toMs > fromMs - marginMs);
  }
}
