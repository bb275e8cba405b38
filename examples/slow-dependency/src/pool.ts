/**
 * The usual pool: so many calls at once for the whole process, the others wait for their turn. The HTTP client has its timeout, and the
 * dependency answers within it.
 */
import type { Outbound, OutboundOptions, Request } from "./outbound.ts";

/** Runs so many functions at once, in the order in which they came. */
export class Semaphore {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(permits: number) {
    this.#free = permits;
  }

  /** Waits for a permit, runs the function and gives the permit on. */
  async run<Value>(fn: () => Promise<Value>): Promise<Value> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await fn();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}

/** One pool for all calls that leave the process. */
export class Pool implements Outbound {
  readonly openings = 0;
  readonly advice = null;
  readonly #semaphore: Semaphore;
  readonly #timeoutMs: number;

  constructor({ permits, deadlineMs }: OutboundOptions) {
    this.#semaphore = new Semaphore(permits.payments + permits.profiles);
    this.#timeoutMs = deadlineMs;
  }

  payments(request: Request): Promise<void> {
    return this.#semaphore.run(() => request(AbortSignal.timeout(this.#timeoutMs)));
  }

  profiles(request: Request): Promise<void> {
    return this.payments(request);
  }
}
