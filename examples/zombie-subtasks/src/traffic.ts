/**
 * Owns the customers of one side: requests at fixed times, and what became of them.
 */
import { setTimeout as sleep } from "node:timers/promises";

/** What customers have seen. */
export interface TrafficFigures {
  readonly answered: number;
  /** Answers that said that there is no page in time. */
  readonly timedOut: number;
  readonly longestMs: number;
}

/** Customers of one service. */
export class Traffic {
  #answered = 0;
  #timedOut = 0;
  #longestMs = 0;

  /** Requests `count` pages, one each `everyMs`. Resolves when all are answered. @throws what `fetch` throws; the signal's reason */
  async offer(url: string, count: number, everyMs: number, signal: AbortSignal): Promise<void> {
    const beginMs = performance.now();
    const answers: Promise<void>[] = [];
    for (let number = 1; number <= count; number += 1) {
      const leftMs = beginMs + (number - 1) * everyMs - performance.now();
      if (leftMs > 0) await sleep(leftMs, undefined, { signal });
      const answer = this.#request(`${url}/product/${number}`, signal);
      answer.catch(() => undefined);
      answers.push(answer);
    }
    await Promise.all(answers);
  }

  /** The figures so far. */
  read(): TrafficFigures {
    return { answered: this.#answered, timedOut: this.#timedOut, longestMs: this.#longestMs };
  }

  async #request(url: string, signal: AbortSignal): Promise<void> {
    const startMs = performance.now();
    const response = await fetch(url, { signal });
    await response.arrayBuffer();
    this.#answered += 1;
    if (response.status === 504) this.#timedOut += 1;
    this.#longestMs = Math.max(this.#longestMs, performance.now() - startMs);
  }
}
