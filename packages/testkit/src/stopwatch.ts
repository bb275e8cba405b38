/**
 * Time in which this process could run. A test of a time limit measures how long our code takes; what a starved machine adds, by letting
 * nobody run for seconds, says nothing about that, and would make the test fail for it.
 */

const tickMs = 10;
/** A tick that comes later than this was held up by a stand-still, and counts as no more. */
const tickMaxMs = 50;

/** Measures from its start on, in milliseconds. */
export class Stopwatch implements Disposable {
  readonly #startMs: number = performance.now();
  readonly #timer: NodeJS.Timeout;
  #lastMs: number = this.#startMs;
  #ranMs = 0;

  private constructor() {
    this.#timer = setInterval(() => this.#tick(), tickMs);
    this.#timer.unref();
  }

  /** Starts one. Dispose of it when the test is over: `using watch = Stopwatch.start()`. */
  static start(): Stopwatch {
    return new Stopwatch();
  }

  /** All the time since the start: at least what was to be waited for. */
  get elapsedMs(): number {
    return performance.now() - this.#startMs;
  }

  /**
   * The time since the start without stand-stills, for limits: of each turn of the event loop that took longer, 50 ms count. The other
   * processes of a starved machine stand still in the same moments.
   */
  get ranMs(): number {
    return this.#ranMs + this.#gapMs(performance.now());
  }

  /** Ends the measuring. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const nowMs = performance.now();
    this.#ranMs += this.#gapMs(nowMs);
    this.#lastMs = nowMs;
  }

  #gapMs(nowMs: number): number {
    return Math.min(nowMs - this.#lastMs, tickMaxMs);
  }
}
