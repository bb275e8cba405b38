/** What remembered orders cost: script time per operation while 1,000 to 1,000,000 of them are kept, and bytes for each. */
import type { Inventory, Movement } from "@holdfast/inventory";
import type { Bench, Figure } from "../figure.ts";
import { inParallel } from "../load.ts";
import { idOf, skuOf, skusOf, withStock } from "./contestants.ts";

const skus = skusOf(1_000);
const concurrency = 128;
const measuredCount = 4_000;
const sizes = [1_000, 10_000, 100_000, 1_000_000];
const memoryCount = 100_000;

function decrement(stock: Inventory, index: number): Promise<unknown> {
  return stock.decrement({ operationId: idOf(index), lines: [{ sku: skuOf(skus, index), quantity: 1 }] });
}

async function scriptUs(bench: Bench): Promise<number> {
  const stats = await bench.info("commandstats");
  return Number(/usec=(\d+)/u.exec(stats["cmdstat_evalsha"] ?? "")?.[1] ?? Number.NaN);
}

/** The curve. */
export const remembered: Figure = {
  name: "script time per operation by number of remembered orders",
  unit: "µs",
  repetitionsMax: 1,
  aim: {
    text: "a million remembered orders cost no more than a thousand (within 1.5 ×, the caches of the processor)",
    met: (median) => median("Holdfast", "1,000,000") <= 1.5 * median("Holdfast", "1,000"),
  },
  contestants: {
    Holdfast: (bench) =>
      withStock(bench, skus, async (stock) => {
        const costs: Record<string, number> = {};
        let known = 0;
        for (const size of sizes) {
          const from = known;
          await inParallel(size - from, concurrency, (index) => decrement(stock, from + index));
          await bench.resetCommands();
          await inParallel(measuredCount, concurrency, (index) => decrement(stock, size + index));
          costs[size.toLocaleString("en-US")] = (await scriptUs(bench)) / measuredCount;
          known = size + measuredCount;
        }
        return costs;
      }),
  },
};

async function consumeAll(stock: Inventory): Promise<void> {
  const ledger = stock.consumer("ledger", { pageMax: 10_000 });
  for (let page = await ledger.next(); page.length > 0; page = await ledger.next()) {
    // A thousand movements are cut off with each commit.
    for (let at = 999; at < page.length; at += 1_000) await ledger.commit(page[at] as Movement);
    await ledger.commit(page.at(-1) as Movement);
  }
}

/** Bytes of a remembered order, and of its movement until the ledger has it. */
export const memory: Figure = {
  name: "memory per remembered order, 100,000 of them",
  unit: "B",
  repetitionsMax: 1,
  aim: { text: "≤ 260 B", met: (median) => median("Holdfast", "remembered") <= 260 },
  note: "Ids of 16 characters, one line each. A movement is kept until every consumer of the log has read it.",
  contestants: {
    Holdfast: (bench) =>
      withStock(bench, skus, async (stock) => {
        const usedBytes = async (): Promise<number> => Number((await bench.info("memory"))["used_memory_dataset"]);
        const before = await usedBytes();
        await inParallel(memoryCount, concurrency, (index) => decrement(stock, index));
        const withLog = await usedBytes();
        await consumeAll(stock);
        const without = await usedBytes();
        return {
          remembered: (without - before) / memoryCount,
          "with its movement": (withLog - before) / memoryCount,
        };
      }),
  },
};
