/**
 * Owns the truth about subtasks: each is counted from its first step to its last, whatever anybody believes about it.
 */

/** Figures of the subtasks of one process. */
export interface WorkFigures {
  readonly running: number;
  readonly mostAtOnce: number;
  /** Subtasks that still ran when the answer to their request had gone, and their grace was over. */
  readonly outlived: number;
  /** Milliseconds for which subtasks ran after that, the running ones up to now. */
  readonly wastedMs: number;
}

interface Subtask {
  readonly request: string;
}

/** Counts subtasks and what they do after their request. */
export class Work {
  readonly #running = new Set<Subtask>();
  /** When the time of a request that was answered was over. */
  readonly #overAtMs = new Map<string, number>();
  #mostAtOnce = 0;
  #outlived = 0;
  #wastedMs = 0;

  /** Follows a subtask of a request to its real end. */
  async follow<Value>(request: string, subtask: () => Promise<Value>): Promise<Value> {
    const entry = { request };
    this.#running.add(entry);
    this.#mostAtOnce = Math.max(this.#mostAtOnce, this.#running.size);
    try {
      return await subtask();
    } finally {
      this.#running.delete(entry);
      this.#wastedMs += this.#afterMs(entry);
    }
  }

  /** The request has its answer, and what is left of its subtasks had the grace to end. */
  requestIsOver(request: string): void {
    this.#overAtMs.set(request, performance.now());
    for (const entry of this.#running) if (entry.request === request) this.#outlived += 1;
  }

  /** The figures so far. */
  read(): WorkFigures {
    let wastedMs = this.#wastedMs;
    for (const entry of this.#running) wastedMs += this.#afterMs(entry);
    return { running: this.#running.size, mostAtOnce: this.#mostAtOnce, outlived: this.#outlived, wastedMs };
  }

  #afterMs({ request }: Subtask): number {
    const overAtMs = this.#overAtMs.get(request);
    return overAtMs === undefined ? 0 : performance.now() - overAtMs;
  }
}
