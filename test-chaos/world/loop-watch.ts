/**
 * Owns how it gets into a history that something stood still: a process notices it of its own loop, and of a server by asking it again and
 * again.
 */
import { setTimeout as delay } from "node:timers/promises";
import { History } from "@holdfast/testkit";
import type { HistoryOptions, RedisServer } from "@holdfast/testkit";
import type { ChaosEntry, ChaosEvent } from "../history/event.ts";

const lookEveryMs = 20;
const askEveryMs = 200;
/** What is shorter is nothing to write down. */
const gapMs = 120;

/**
 * The history of a process that notices when its own loop stands still. It looks before each entry, too: what is killed right after it stood
 * still does not live to see its next timer.
 */
export class WatchedHistory extends History<ChaosEvent> {
  #lastMs = performance.now();
  readonly #timer: NodeJS.Timeout;

  constructor(options: HistoryOptions) {
    super(options);
    this.#timer = setInterval(() => {
      this.#look();
      this.#lastMs = performance.now();
    }, lookEveryMs).unref();
  }

  override record(event: ChaosEvent): ChaosEntry {
    this.#look();
    return super.record(event);
  }

  override close(): void {
    clearInterval(this.#timer);
    super.close();
  }

  #look(): void {
    const nowMs = performance.now();
    const forMs = nowMs - this.#lastMs;
    if (forMs <= gapMs) return;
    this.#lastMs = nowMs;
    super.record({ kind: "stood", forMs });
  }
}

/** Watches servers until the signal aborts. Resolves when nothing is asked any more. */
export async function watchServers(
  history: History<ChaosEvent>,
  servers: readonly RedisServer[],
  signal: AbortSignal,
): Promise<void> {
  const watching = servers.map(async (server) => {
    while (!signal.aborted) {
      const sinceMs = performance.now();
      // One that is gone refuses at once, which is no standing still.
      await server.call("PING").catch(() => undefined);
      const forMs = performance.now() - sinceMs;
      if (forMs > gapMs) history.record({ kind: "stood", forMs, who: "redis" });
      await delay(askEveryMs, undefined, { signal }).catch(() => undefined);
    }
  });
  await Promise.all(watching);
}
