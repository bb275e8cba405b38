/**
 * Owns how it gets into a history that something stood still: a process notices it of its own loop, and of a server by asking it again and
 * again.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { History, RedisServer } from "@holdfast/testkit";
import type { ChaosEvent } from "../history/event.ts";

const lookEveryMs = 20;
const askEveryMs = 200;
/** What is shorter is nothing to write down. */
const gapMs = 120;

/** Watches the loop of this process, for as long as it lives or until the signal aborts. */
export function watchLoop(history: History<ChaosEvent>, signal?: AbortSignal): void {
  let lastMs = performance.now();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    const forMs = nowMs - lastMs;
    lastMs = nowMs;
    if (forMs > gapMs) history.record({ kind: "stood", forMs });
  }, lookEveryMs).unref();
  signal?.addEventListener("abort", () => clearInterval(timer), { once: true });
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
