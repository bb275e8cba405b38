/**
 * Owns what the callers of one dependency have seen.
 */

/** Figures of one dependency's callers; they can be added up. */
export interface CallFigures {
  readonly offered: number;
  /** Answered within their deadline. */
  readonly inTime: number;
  /** The longest time from a call to its answer, or to now where there is none. */
  readonly longestMs: number;
  /** The longest time of a request itself, from when the call had its permit. */
  readonly requestMs: number;
}

/** Counts calls, the unanswered ones included. */
export class Tally {
  readonly #deadlineMs: number;
  readonly #waiting = new Set<{ readonly startMs: number }>();
  #offered = 0;
  #inTime = 0;
  #longestMs = 0;
  #requestMs = 0;

  constructor(deadlineMs: number) {
    this.#deadlineMs = deadlineMs;
  }

  /** Counts one call, made now. */
  count(call: () => Promise<void>): void {
    const waiting = { startMs: performance.now() };
    this.#offered += 1;
    this.#waiting.add(waiting);
    const ended = (answered: boolean): void => {
      const tookMs = performance.now() - waiting.startMs;
      this.#waiting.delete(waiting);
      this.#longestMs = Math.max(this.#longestMs, tookMs);
      if (answered && tookMs <= this.#deadlineMs) this.#inTime += 1;
    };
    call().then(
      () => ended(true),
      () => ended(false),
    );
  }

  /** Takes the time of the request that a call makes once it may. */
  async time(request: () => Promise<void>): Promise<void> {
    const startMs = performance.now();
    try {
      await request();
    } finally {
      this.#requestMs = Math.max(this.#requestMs, performance.now() - startMs);
    }
  }

  /** The figures so far. */
  read(): CallFigures {
    const nowMs = performance.now();
    const ages = [...this.#waiting].map(({ startMs }) => nowMs - startMs);
    return {
      offered: this.#offered,
      inTime: this.#inTime,
      longestMs: Math.max(this.#longestMs, ...ages),
      requestMs: this.#requestMs,
    };
  }
}

/** The figures of several callers together. */
export function together(figures: readonly CallFigures[]): CallFigures {
  return {
    offered: figures.reduce((sum, { offered }) => sum + offered, 0),
    inTime: figures.reduce((sum, { inTime }) => sum + inTime, 0),
    longestMs: Math.max(0, ...figures.map(({ longestMs }) => longestMs)),
    requestMs: Math.max(0, ...figures.map(({ requestMs }) => requestMs)),
  };
}

/** Calls answered within their deadline, as a share of the calls offered; 1 when none was. */
export function goodput({ offered, inTime }: CallFigures): number {
  return offered === 0 ? 1 : inTime / offered;
}
