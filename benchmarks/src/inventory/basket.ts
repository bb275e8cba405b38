/** What a basket of 20 lines costs beside one line, and what an order of each costs in requests. */
import type { Bench, Figure } from "../figure.ts";
import { inParallel, perSecond } from "../load.ts";
import { idOf, skuOf, skusOf, withStock } from "./contestants.ts";

const count = 4_000;
const concurrency = 64;
const skus = skusOf(1_000);

function rate(bench: Bench, lineCount: number): Promise<number> {
  return withStock(bench, skus, async (stock) => {
    const order = (index: number): Promise<unknown> =>
      stock.decrement({
        operationId: idOf(index),
        lines: Array.from({ length: lineCount }, (_, at) => ({ sku: skuOf(skus, index + at), quantity: 1 })),
      });
    await inParallel(count / 4, concurrency, order);
    const startMs = performance.now();
    await inParallel(count, concurrency, (index) => order(count + index));
    return perSecond(count, startMs);
  });
}

/** Orders of 1 and of 20 lines. */
export const basket: Figure = {
  name: "a basket of 20 lines beside one line, concurrency 64",
  unit: "/s",
  aim: {
    text: "one line is at most 3 × as fast as 20",
    met: (median) => median("Holdfast, 1 line") <= 3 * median("Holdfast, 20 lines"),
  },
  contestants: {
    "Holdfast, 1 line": (bench) => rate(bench, 1),
    "Holdfast, 20 lines": (bench) => rate(bench, 20),
  },
};

/** Scripts for each operation of a caller that waits for one after the other. */
export const requests: Figure = {
  name: "requests per operation, one caller",
  unit: "requests",
  repetitionsMax: 1,
  aim: { text: "1", met: (median) => median("Holdfast") <= 1 },
  contestants: {
    Holdfast: (bench) =>
      withStock(bench, skus, async (stock) => {
        await bench.resetCommands();
        const orderCount = 100;
        for (let index = 0; index < orderCount; index += 1) {
          const reservationId = idOf(index);
          await stock.reserve({ reservationId, lines: [{ sku: skuOf(skus, index), quantity: 1 }] });
          await stock.confirm({ reservationId });
          await stock.decrement({ operationId: `d-${index}`, lines: [{ sku: skuOf(skus, index), quantity: 1 }] });
        }
        const stats = await bench.info("commandstats");
        const calls = Number(/calls=(\d+)/u.exec(stats["cmdstat_evalsha"] ?? "")?.[1] ?? Number.NaN);
        return calls / (3 * orderCount);
      }),
  },
};
