/** When a process did not run, so that no figure blames the bulkhead for what a busy machine did. */

/** From when until when, in epoch milliseconds. */
export interface StandStill {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** A timer that is later than this was held up. Below what separates an answer in time from a late one. */
export const stoodStillMs = 60;
const tickMs = 10;

/** The same in all processes of a machine, and never set. */
export function epochMs(): number {
  return performance.timeOrigin + performance.now();
}

/** Watches its process from now on. */
export class StandStills implements Disposable {
  readonly spans: StandStill[] = [];
  readonly #timer: NodeJS.Timeout;
  #lastMs: number = epochMs();

  constructor() {
    this.#timer = setInterval(() => this.#tick(), tickMs).unref();
  }

  /** When the last one ended. */
  get endedMs(): number {
    this.#tick();
    return this.spans.at(-1)?.untilMs ?? -Infinity;
  }

  #tick(): void {
    const nowMs = epochMs();
    if (nowMs - this.#lastMs > tickMs + stoodStillMs) this.spans.push({ fromMs: this.#lastMs, untilMs: nowMs });
    this.#lastMs = nowMs;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
