/** What every figure of speed needs: a client for one turn, calls in parallel, and a rate. */
import { once } from "node:events";
import { Redis } from "ioredis";
import type { Bench } from "./figure.ts";

/** A connected client, as the peers' own are when they say that they are ready; it is closed at the end of a turn. */
export async function withRedis<Value>(bench: Bench, fn: (redis: Redis) => Promise<Value>): Promise<Value> {
  const redis = new Redis({ host: bench.host, port: bench.port });
  bench.retain(redis);
  try {
    await once(redis, "ready");
    return await fn(redis);
  } finally {
    redis.disconnect();
  }
}

/** Runs a function for 0 to count - 1 with at most `concurrency` calls under way. */
export async function inParallel(
  count: number,
  concurrency: number,
  fn: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const index = next;
      next += 1;
      await fn(index);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
}

/** Things per second since a start on the monotonic clock. */
export function perSecond(count: number, startMs: number): number {
  return (count * 1_000) / (performance.now() - startMs);
}
