/**
 * How fast orders are carried out by 64 callers that each wait for their own, per operation: a decrement, or a reservation and its
 * confirmation, which are two; all of one sku, or spread over a thousand.
 */
import type { Inventory } from "@holdfast/inventory";
import type { Bench, Figure, Turn } from "../figure.ts";
import { inParallel, perSecond } from "../load.ts";
import { idOf, skuOf, skusOf, withPeers, withStock } from "./contestants.ts";
import type { Peers } from "./floor.ts";

const count = 20_000;
const concurrency = 64;
/** Connections, compiled code and the server's first rehashing are nobody's merit. */
const warmUp = 2_000;

async function rateOf(operations: number, order: (index: number) => Promise<void>): Promise<number> {
  await inParallel(warmUp, concurrency, order);
  const startMs = performance.now();
  await inParallel(count, concurrency, (index) => order(warmUp + index));
  return perSecond(count * operations, startMs);
}

async function decrement(stock: Inventory, sku: string, id: string): Promise<void> {
  const { kind } = await stock.decrement({ operationId: id, lines: [{ sku, quantity: 1 }] });
  if (kind !== "decremented") throw new Error(`${id} was answered ${kind}`);
}

async function reserveAndConfirm(stock: Inventory, sku: string, id: string): Promise<void> {
  const reserved = await stock.reserve({ reservationId: id, lines: [{ sku, quantity: 1 }] });
  if (reserved.kind !== "reserved") throw new Error(`${id} was answered ${reserved.kind}`);
  const { kind } = await stock.confirm({ reservationId: id });
  if (kind !== "confirmed") throw new Error(`${id} was answered ${kind}`);
}

/** One kind of order, done by everybody. */
interface Work {
  readonly operations: number;
  readonly holdfast: (stock: Inventory, sku: string, id: string) => Promise<void>;
  readonly floor: (peers: Peers, sku: string, id: string) => Promise<void>;
  readonly dtm: (peers: Peers, sku: string, id: string) => Promise<void>;
}

const decrements: Work = {
  operations: 1,
  holdfast: decrement,
  floor: (peers, sku) => peers.take(sku),
  dtm: (peers, sku, id) => peers.step(sku, id, "action"),
};

const reservations: Work = {
  operations: 2,
  holdfast: reserveAndConfirm,
  floor: async (peers, sku) => {
    await peers.take(sku);
    await peers.take(`r:${sku}`);
  },
  dtm: async (peers, sku, id) => {
    await peers.step(sku, id, "try");
    await peers.step(`r:${sku}`, id, "confirm");
  },
};

function contestants(work: Work, skus: readonly string[]): Record<string, Turn> {
  const holdfast = (coalesceMax?: number) => (bench: Bench) =>
    withStock(
      bench,
      skus,
      (stock) => rateOf(work.operations, (index) => work.holdfast(stock, skuOf(skus, index), idOf(index))),
      { coalesceMax },
    );
  const peer = (order: Work["floor"]) => (bench: Bench) =>
    withPeers(bench, skus, (peers) =>
      rateOf(work.operations, (index) => order(peers, skuOf(skus, index), idOf(index))),
    );
  return {
    floor: peer(work.floor),
    DTM: peer(work.dtm),
    "Holdfast, one order a script": holdfast(1),
    Holdfast: holdfast(),
  };
}

function figure(name: string, work: Work, skus: readonly string[], coalesced: number): Figure {
  return {
    name,
    unit: "/s",
    aim: {
      text: `≥ ${coalesced.toFixed(2)} × floor by default, ≥ 0.60 with one order a script`,
      met: (median) =>
        median("Holdfast") >= coalesced * median("floor") &&
        median("Holdfast, one order a script") >= 0.6 * median("floor"),
    },
    note: "The floor forgets which orders it has carried out; DTM's script remembers the step and takes one sku. Neither has holds or a log.",
    contestants: contestants(work, skus),
  };
}

const hot = skusOf(1);
const thousand = skusOf(1_000);

/** Four figures. */
export const orders: readonly Figure[] = [
  figure("decrement, one hot sku, concurrency 64", decrements, hot, 1),
  figure("decrement, 1,000 skus, concurrency 64", decrements, thousand, 0.85),
  figure("reserve and confirm, one hot sku, concurrency 64", reservations, hot, 1),
  figure("reserve and confirm, 1,000 skus, concurrency 64", reservations, thousand, 0.85),
];
