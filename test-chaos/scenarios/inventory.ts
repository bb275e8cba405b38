/** Stock: pods restock, decrement, reserve, confirm, release and let holds expire; most ids are used by more than one pod. */
import { Inventory } from "@holdfast/inventory";
import type { Movement } from "@holdfast/inventory";
import { pollUntil } from "@holdfast/testkit";
import { checkInventory } from "../checkers/inventory.ts";
import { pace } from "./pace.ts";
import type { Bench, Scenario } from "./scenario.ts";
import type { Called, Workplace } from "./workplace.ts";

const skus = ["mug", "cup", "jar"];
const commandTimeoutMs = 400;
/** Where nothing fails there is no hurry, and the machine may be busy. */
const benchTimeoutMs = 60_000;
const holdMs = 500;
const slotMs = 120;
const sweptWithinMs = 60_000;
/** Longer than any round: no id is forgotten. */
const rememberMs = 3_600_000;

function open(place: Pick<Workplace, "redis" | "prefix">, timeoutMs: number): Inventory {
  const options = { prefix: place.prefix, commandTimeoutMs: timeoutMs, holdMs, rememberMs };
  return new Inventory(place.redis, "warehouse", options);
}

/** Calls until the outcome is known, or it is time to give up: then the end of the run resolves it. */
async function insist<T extends { kind: string }>(
  place: Workplace,
  call: string,
  id: string,
  sku: string,
  quantity: number,
  fn: () => Promise<T>,
): Promise<Called<T> | undefined> {
  let called: Called<T> | undefined;
  for (let tries = 1; tries <= 4 && !place.stopping.aborted; tries += 1) {
    called = await place.call({ call, resource: sku, operation: id, values: { quantity } }, fn, ({ kind }) => ({
      kind,
    }));
    if (called.outcome === "ok") return called;
    await pace(place.random.int(20, 120), place.stopping);
  }
  return called;
}

/** The ids of a span of time are the same in all pods: each order comes several times. */
function orderOf(number: number): { sku: string; quantity: number; kind: "reserve" | "decrement" } {
  return {
    sku: skus[number % skus.length] ?? "mug",
    quantity: 1 + (number % 4),
    kind: number % 3 === 0 ? "decrement" : "reserve",
  };
}

async function order(place: Workplace, stock: Inventory, number: number): Promise<void> {
  const { sku, quantity, kind } = orderOf(number);
  const lines = [{ sku, quantity }];
  if (kind === "decrement") {
    const operationId = `decrement-${number}`;
    await insist(place, kind, operationId, sku, quantity, () => stock.decrement({ operationId, lines }));
    return;
  }
  const reservationId = `cart-${number}`;
  const reserved = await insist(place, kind, reservationId, sku, quantity, () =>
    stock.reserve({ reservationId, lines }),
  );
  if (reserved?.outcome !== "ok" || reserved.value.kind !== "reserved") return;
  const end = place.random.unit();
  await pace(place.random.int(0, 60), place.stopping);
  if (end < 0.5) await insist(place, "confirm", reservationId, sku, quantity, () => stock.confirm({ reservationId }));
  else if (end < 0.8)
    await insist(place, "release", reservationId, sku, quantity, () => stock.release({ reservationId }));
}

async function work(place: Workplace): Promise<void> {
  const { random } = place;
  await using stock = open(place, commandTimeoutMs);
  const lanes = Array.from({ length: 3 }, async () => {
    while (!place.quiet.aborted) {
      const slot = Math.floor(Number(process.hrtime.bigint()) / 1e6 / slotMs);
      await order(place, stock, slot - random.int(0, 4));
      if (random.chance(0.015)) {
        const operationId = `restock-${random.id()}`;
        const sku = random.pick(skus);
        const quantity = random.int(1, 9);
        await insist(place, "restock", operationId, sku, quantity, () =>
          stock.restock({ operationId, lines: [{ sku, quantity }] }),
        );
      }
      await pace(random.int(5, 50), place.quiet);
    }
  });
  await Promise.all(lanes);
}

async function prepare(bench: Bench): Promise<void> {
  await using stock = open(bench, benchTimeoutMs);
  await stock.restock({ operationId: "opening", lines: skus.map((sku) => ({ sku, quantity: 12 })) });
}

/** What is in stock at the end, and how it came to be. */
export interface InventoryFindings {
  readonly levels: Readonly<
    Record<string, { readonly onHand: number; readonly reserved: number; readonly available: number }>
  >;
  readonly movements: readonly Pick<Movement, "sequence" | "kind" | "id" | "changes">[];
  /** What became of each id that was ever asked for. */
  readonly outcomes: Readonly<Record<string, string>>;
}

async function inspect(bench: Bench): Promise<InventoryFindings> {
  await using stock = open(bench, benchTimeoutMs);
  await pollUntil(
    "every hold has ended",
    async () => {
      const { more, nextExpiryAtMs } = await stock.sweep();
      return !more && nextExpiryAtMs === null;
    },
    { timeoutMs: sweptWithinMs, intervalMs: 50 },
    // Holds that never end show in the levels.
  ).catch(() => undefined);
  const ids = new Set<string>();
  for (const entry of await bench.entries())
    if (entry.kind === "asked" && entry.scenario === "inventory") ids.add(entry.operation);
  const outcomes: Record<string, string> = {};
  for (const id of ids) {
    const outcome = await stock.outcome(id);
    outcomes[id] = outcome.kind === "reserved" ? outcome.state : outcome.kind;
  }
  const levels = Object.fromEntries(await Promise.all(skus.map(async (sku) => [sku, await stock.level(sku)] as const)));
  const movements: Pick<Movement, "sequence" | "kind" | "id" | "changes">[] = [];
  for await (const { sequence, kind, id, changes } of stock.movements())
    movements.push({ sequence, kind, id, changes });
  return { levels, movements, outcomes };
}

/** The scenario of `@holdfast/inventory`. */
export const scenario: Scenario = { name: "inventory", prepare, work, inspect, check: checkInventory };
