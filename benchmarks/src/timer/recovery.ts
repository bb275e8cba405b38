/**
 * A worker is killed with SIGKILL while its handler runs; another one stands by. How long after the kill does the timer start again,
 * beyond the lease that the dead worker held? Both libraries are set to leases of one second, since BullMQ's defaults (30 s lock,
 * checked every 30 s in two passes) take close to a minute.
 */
import { Pod } from "@holdfast/testkit";
import type { Bench, Figure } from "../figure.ts";
import { idOf, payload, withQueue, withTimer } from "./contestants.ts";

const leaseMs = 1_000;
const startTimeoutMs = 30_000;

interface Started {
  readonly started: string;
  readonly atMs: number;
}

async function killWhileRunning(bench: Bench, library: string, schedule: () => Promise<unknown>): Promise<number> {
  const environment = {
    BENCH_HOST: bench.host,
    BENCH_PORT: String(bench.port),
    BENCH_LIBRARY: library,
    BENCH_LEASE_MS: String(leaseMs),
  };
  const file = new URL("recovery-worker.ts", import.meta.url);
  const isStart = (message: unknown): boolean =>
    typeof message === "object" && message !== null && "started" in message;
  await using victim = await Pod.start(file, { env: environment });
  await victim.ready();
  await schedule();
  await victim.waitForMessage(isStart, startTimeoutMs);
  await using survivor = await Pod.start(file, { env: environment });
  await survivor.ready();
  const killedAtMs = Date.now();
  await victim.kill();
  const { atMs } = (await survivor.waitForMessage(isStart, startTimeoutMs)) as Started;
  return atMs - killedAtMs - leaseMs;
}

/** One figure. */
export const recovery: Figure = {
  name: "restart after SIGKILL of the worker, beyond its lease of 1 s",
  unit: "ms",
  note: "BullMQ: lockDuration and stalledInterval 1 s. A negative value: the lease was renewed some time before the kill.",
  aim: { text: "≤ 100 ms", met: (median) => median("Holdfast") <= 100 },
  contestants: {
    BullMQ: (bench) =>
      withQueue(bench, (queue) =>
        killWhileRunning(bench, "bullmq", () => queue.add("timeout", payload, { jobId: idOf(1) })),
      ),
    Holdfast: (bench) =>
      withTimer(bench, (timer) =>
        killWhileRunning(bench, "holdfast", () => timer.schedule({ id: idOf(1), afterMs: 0, payload })),
      ),
  },
};
