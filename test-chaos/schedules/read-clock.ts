/** Owns how the clock of the server on the stage gets into the history. */
import type { Bench } from "../scenarios/scenario.ts";

/**
 * Reads it and writes it down.
 * @param resource what the note is about
 * @returns epoch milliseconds
 */
export async function readClock(bench: Bench, resource: string): Promise<number> {
  const askedMs = performance.now();
  const [seconds, micros] = (await bench.redis.time()) as unknown as [string, string];
  const serverMs = Number(seconds) * 1_000 + Number(micros) / 1_000;
  bench.note("clock", resource, { serverMs, withinMs: performance.now() - askedMs });
  return serverMs;
}
