/**
 * The demonstration that the lock is for: processes that are paused in the middle of a read-modify-write. Without a guard updates are
 * lost although each one held the lock; with the guard none is, and the stale writes are refused.
 */
import { Pod } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { useRealServer } from "./real-server.ts";

const real = useRealServer();

interface Outcome {
  readonly accepted: number;
  readonly refused: number;
}

const pods = 4;
const namesPerPod = 25;

/**
 * Every pod takes each lock in turn, reads, is frozen past its ttl together with all its locks, and writes when it wakes up.
 * @returns increments that the writers believed in, and writes that were refused
 */
async function run(guarded: boolean, rounds: number): Promise<Outcome> {
  const env = { REDIS_URL: real.server.url, GUARDED: guarded ? "1" : "", TTL_MS: "150" };
  const workers = await Promise.all(
    Array.from({ length: pods }, () => Pod.start(new URL("./read-modify-write.pod.ts", import.meta.url), { env })),
  );
  let [accepted, refused] = [0, 0];
  try {
    await Promise.all(workers.map((pod) => pod.ready()));
    for (let round = 0; round < rounds; round += 1) {
      for (const pod of workers) {
        const names = Array.from({ length: namesPerPod }, (_, index) => `n${index}`);
        const holding = pod.request<number>("read", { names });
        await holding;
        pod.pause();
        // The next pod takes all the locks when their ttl is over, reads and writes.
        const next = workers[(workers.indexOf(pod) + 1) % pods] as Pod;
        await next.request("read", { names });
        const written = await next.request<Outcome>("write", { names });
        pod.resume();
        const late = await pod.request<Outcome>("write", { names });
        accepted += written.accepted + late.accepted;
        refused += written.refused + late.refused;
      }
    }
  } finally {
    await Promise.all(workers.map((pod) => pod.kill()));
  }
  return { accepted, refused };
}

async function total(redis: Redis): Promise<number> {
  const values = await Promise.all(Array.from({ length: namesPerPod }, (_, index) => redis.get(`user:n${index}`)));
  return values.reduce((sum, value) => sum + Number(value ?? 0), 0);
}

describe("a read-modify-write under the lock by processes that are paused past their ttl", () => {
  it("L5 counter-test: without a guard updates are lost", async () => {
    const { accepted, refused } = await run(false, 1);
    expect(refused).toBe(0);
    expect(await total(real.redis)).toBeLessThan(accepted);
  });

  it("L1 with the guard none is lost, and at least 100 stale writes are refused", async () => {
    const { accepted, refused } = await run(true, 1);
    expect(refused).toBeGreaterThanOrEqual(100);
    expect(accepted).toBeGreaterThanOrEqual(100);
    expect(await total(real.redis)).toBe(accepted);
  });
});
