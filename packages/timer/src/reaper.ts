/** Sees to leases that ended without an answer: their timers are due again, or buried. One request at a time. */
import { reapScript } from "./scripts.ts";
import type { WorkerContext } from "./worker-context.ts";

/** Most leases that one request sees to. */
const reapMax = 200;
const lapseError = "the lease ended without an answer: the process that ran the handler died, hung, or was cut off";

/** Who is told. */
export interface ReaperHost {
  /** Timers are due again. */
  lapsed(): void;
  failed(error: unknown): void;
  ended(): void;
}

/** The reaper of one shard, in one worker. */
export class Reaper {
  readonly #context: WorkerContext<unknown>;
  readonly #shard: number;
  readonly #host: ReaperHost;
  #busy = false;

  constructor(context: WorkerContext<unknown>, shard: number, host: ReaperHost) {
    this.#context = context;
    this.#shard = shard;
    this.#host = host;
  }

  /** Whether a request is under way. */
  get busy(): boolean {
    return this.#busy;
  }

  /** Never rejects. */
  async reap(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    const { access, counts, events, options } = this.#context;
    try {
      const { lapsed, buried } = await this.#request();
      if (lapsed > 0) {
        counts.lapsed += lapsed;
        events.emit(() => ({ type: "lapsed", timer: access.name, shard: this.#shard, count: lapsed }));
        this.#host.lapsed();
      }
      for (const id of buried) {
        counts.dead += 1;
        events.emit(() => ({ type: "dead", timer: access.name, id, attempts: options.attemptsMax, why: lapseError }));
      }
    } catch (error) {
      this.#host.failed(error);
    } finally {
      this.#busy = false;
      this.#host.ended();
    }
  }

  #request(): Promise<{ readonly lapsed: number; readonly buried: readonly string[] }> {
    const { access, options, timer } = this.#context;
    const { attemptsMax, leaseMs } = options;
    return access.run(
      this.#shard,
      async ({ keys, layout }, timeoutMs) =>
        access.connection.run(
          reapScript,
          keys,
          { layout, limit: reapMax, attemptsMax, leaseUs: leaseMs * 1_000, error: lapseError, passedUs: "0" },
          { operation: `timer.reap ${access.name}`, operationId: timer.random.id(), timeoutMs },
        ),
      true,
    );
  }
}
