/** What compiles and what does not, under exactOptionalPropertyTypes. Checked by tsc, never run. */
import { Cluster as Cluster6, Redis as Redis6 } from "ioredis";
import { Cluster as Cluster5, Redis as Redis5 } from "ioredis5";
import { confirmAcross, Inventory, reserveAcross, startCursor } from "../src/index.ts";
import type { ConfirmResult, Cursor, DecrementResult, Movement, ReserveResult } from "../src/index.ts";

/** Clients of both majors, single and Cluster, fit. */
export const clients: readonly Inventory[] = [
  new Inventory(new Redis6(), "x"),
  new Inventory(new Redis5(), "x"),
  new Inventory(new Cluster6([]), "x"),
  new Inventory(new Cluster5([]), "x"),
];

declare const redis: Redis6;

/** Options accept explicit undefined. */
export const stock: Inventory = new Inventory(redis, "x", {
  prefix: undefined,
  holdMs: undefined,
  rememberMs: undefined,
  coalesceMax: undefined,
  buckets: undefined,
  durability: undefined,
  onEvent: undefined,
});

/** Statements that compile. */
export async function compiles(): Promise<void> {
  const lines = [{ sku: "mug", quantity: 1 }] as const;
  const decremented: DecrementResult = await stock.decrement({ operationId: "d", lines, allowPartial: undefined });
  switch (decremented.kind) {
    case "decremented":
      decremented.lines.map(({ sku }) => sku);
      break;
    case "insufficient":
      decremented.shortages.map(({ wanted }) => wanted);
      break;
    case "busy":
      break;
    default:
      decremented satisfies never;
  }
  const reserved: ReserveResult = await stock.reserve({
    reservationId: "r",
    lines,
    orderId: undefined,
    holdMs: undefined,
  });
  if (reserved.kind === "reserved") reserved.state satisfies "held" | "confirmed" | "released" | "expired";
  const confirmed: ConfirmResult = await stock.confirm({ reservationId: "r", retakeIfExpired: undefined });
  if (confirmed.kind === "confirmed") confirmed.lines.map(({ quantity }) => quantity);
  const cursor: Cursor = await stock.cursor();
  await stock.seed({ mug: 1 }, { ifCursor: cursor });
  await stock.seed([{ sku: "mug", onHand: 1 }], { ifCursor: startCursor });
  for await (const movement of stock.movements({ after: cursor, follow: true, signal: undefined })) {
    movement satisfies Movement;
    await stock.consumer("ledger").commit(movement);
  }
  await reserveAcross([{ stock, reservationId: "r", lines }]);
  await confirmAcross([{ stock, reservationId: "r" }], { extendMs: undefined });
  // @ts-expect-error -- an order without an id could not be repeated
  await stock.decrement({ lines });
  // @ts-expect-error -- a seed without a cursor would overwrite sales
  await stock.seed({ mug: 1 }, {});
  // @ts-expect-error -- an adjustment has a reason
  await stock.adjust({ operationId: "a", lines });
  // @ts-expect-error -- a part over several places is all or nothing
  await reserveAcross([{ stock, reservationId: "r", lines, allowPartial: true }]);
}
