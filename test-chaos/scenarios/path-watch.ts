/** Owns the question whether a process and its way to Redis were fast all the time: it asks, and asks again. */
import { pace } from "./pace.ts";

const everyMs = 25;

/** Watches from its making until {@link end}. */
export class PathWatch {
  private readonly ask: () => Promise<unknown>;
  private readonly ending = new AbortController();
  private sinceMs = performance.now();
  private slowestMs = 0;

  /** @param ask a question that takes the way that is watched */
  constructor(ask: () => Promise<unknown>) {
    this.ask = ask;
    void this.watch();
  }

  /** How long the slowest question took, with what kept the process from asking the next; Infinity when one failed. */
  end(): number {
    this.look();
    this.ending.abort();
    return this.slowestMs;
  }

  private async watch(): Promise<void> {
    while (!this.ending.signal.aborted) {
      this.sinceMs = performance.now();
      await this.ask().catch(() => (this.slowestMs = Number.POSITIVE_INFINITY));
      await pace(everyMs, this.ending.signal);
      if (!this.ending.signal.aborted) this.look();
    }
  }

  private look(): void {
    this.slowestMs = Math.max(this.slowestMs, performance.now() - this.sinceMs);
  }
}
