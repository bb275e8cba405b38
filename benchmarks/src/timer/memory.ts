/** Bytes of Redis per pending timer: 100,000 of them, ids of 16 characters, payloads of 64 bytes. */
import type { Bench, Figure } from "../figure.ts";
import { withRedis } from "../load.ts";
import { idOf, payload, withQueue, withTimer } from "./contestants.ts";
import { Floor } from "./floor.ts";

const count = 100_000;
const chunk = 1_000;
const dayMs = 86_400_000;

/** Deadlines that differ, as they do in life. */
function afterMs(index: number): number {
  return 3_600_000 + ((index * 7_919) % dayMs);
}

async function growth(bench: Bench, fill: () => Promise<void>): Promise<number> {
  const usedBytes = async (): Promise<number> => Number((await bench.info("memory"))["used_memory_dataset"]);
  const before = await usedBytes();
  await fill();
  return ((await usedBytes()) - before) / count;
}

/** One figure. */
export const memory: Figure = {
  name: "memory per pending timer, 100,000 of them",
  unit: "B",
  repetitionsMax: 1,
  aim: { text: "≤ 305 B", met: (median) => median("Holdfast") <= 305 },
  contestants: {
    BullMQ: (bench) =>
      withQueue(bench, (queue) =>
        growth(bench, async () => {
          for (let from = 0; from < count; from += chunk) {
            await queue.addBulk(
              Array.from({ length: chunk }, (_, offset) => ({
                name: "timeout",
                data: payload,
                opts: { delay: afterMs(from + offset), jobId: idOf(from + offset) },
              })),
            );
          }
        }),
      ),
    floor: (bench) =>
      withRedis(bench, (redis) =>
        growth(bench, async () => {
          const store = new Floor(redis);
          const text = JSON.stringify(payload);
          for (let from = 0; from < count; from += chunk) {
            await store.enqueue(
              Array.from({ length: chunk }, (_, offset) => ({
                id: idOf(from + offset),
                dueAtMs: Date.now() + afterMs(from + offset),
                payload: text,
              })),
            );
          }
        }),
      ),
    Holdfast: (bench) =>
      withTimer(bench, (timer) =>
        growth(bench, async () => {
          await timer.scheduleMany(
            Array.from({ length: count }, (_, index) => ({ id: idOf(index), afterMs: afterMs(index), payload })),
          );
        }),
      ),
  },
};
