/** Owns the question whether a process could have acted in a span of time: not while it stood still, and not before it could be reached again. */
import type { ChaosEntry } from "./event.ts";

/** A span in which a process did not run. */
interface Gap {
  readonly fromMs: number;
  readonly toMs: number;
}

/** The runner carries what pods and servers say to one another; what is asked of all of them stands still with it, or with the server. */
const betweenAll = ["runner", "redis"];
/** What is shorter makes an answer late and cuts nobody off: leases of 600 ms and more are renewed after a third. */
const cutMs = 200;

/** The spans in which processes stood still, as they noticed afterwards themselves, and servers, as was noticed of them. */
export class StandStill {
  private readonly gaps = new Map<string, Gap[]>();

  constructor(entries: readonly ChaosEntry[]) {
    for (const entry of entries) {
      if (entry.kind !== "stood") continue;
      const { who = entry.process } = entry;
      const gaps = this.gaps.get(who) ?? [];
      gaps.push({ fromMs: entry.atMs - entry.forMs, toMs: entry.atMs });
      this.gaps.set(who, gaps);
    }
  }

  /** Whether the process stood still at some moment of the span, widened by `marginMs` on both sides. */
  touches(process: string, fromMs: number, toMs: number, marginMs = 0): boolean {
    const gaps = this.gaps.get(process) ?? [];
    return gaps.some((gap) => gap.fromMs < toMs + marginMs && gap.toMs > fromMs - marginMs);
  }

  /** The same of the process or whatever lies between it and the others. */
  cutsOff(process: string, fromMs: number, toMs: number, marginMs = 0): boolean {
    const between = betweenAll
      .flatMap((each) => this.gaps.get(each) ?? [])
      .filter((gap) => gap.toMs - gap.fromMs > cutMs);
    return (
      this.touches(process, fromMs, toMs, marginMs) ||
      between.some((gap) => gap.fromMs < toMs + marginMs && gap.toMs > fromMs - marginMs)
    );
  }

  /** The longest time for which anything stood still that did so at some moment of the span; 0 when nothing did. */
  longestIn(fromMs: number, toMs: number): number {
    return Math.max(0, ...this.lengthsIn(fromMs, toMs));
  }

  /** How long all together stood still that did so in the span: whoever waits for one after the other waits for all of them. */
  totalIn(fromMs: number, toMs: number): number {
    return this.lengthsIn(fromMs, toMs).reduce((sum, forMs) => sum + forMs, 0);
  }

  private lengthsIn(fromMs: number, toMs: number): number[] {
    const gaps = [...this.gaps.values()].flat().filter((gap) => gap.fromMs < toMs && gap.toMs > fromMs);
    return gaps.map((gap) => gap.toMs - gap.fromMs);
  }
}
