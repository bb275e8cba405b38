/**
 * Stock that many processes sell at once: never oversold, never taken twice, never lost in an abandoned cart.
 *
 * ```ts
 * const stock = new Inventory(redis, "warehouse-1", { holdMs: 600_000 });
 * await stock.restock({ operationId: "delivery-17", lines: [{ sku: "mug", quantity: 200 }] });
 * const cart = await stock.reserve({ reservationId: "cart-1", lines: [{ sku: "mug", quantity: 2 }] });
 * if (cart.kind === "reserved") await stock.confirm({ reservationId: "cart-1" });
 * for await (const movement of stock.movements()) ledger.write(movement);
 * ```
 */
export {
  confirmAcross,
  reserveAcross,
  type ConfirmAcrossResult,
  type ConfirmPart,
  type PartOutcome,
  type ReserveAcrossResult,
  type ReservePart,
} from "./across.ts";
export type { CommitResult, ConsumerOptions, RemoveResult } from "./consumer.ts";
export { MovementConsumer } from "./consumer.ts";
export {
  BucketsMismatchError,
  DifferentRequestError,
  ExceedsReservationError,
  ForkedLogError,
  IdForgottenError,
  IdSealedError,
  InconsistentStockError,
  MovementGapError,
  SpreadStockError,
  StockFileError,
  StockOverflowError,
} from "./errors.ts";
export { inventoryChannel, type InventoryEvent } from "./events.ts";
export { Inventory } from "./inventory.ts";
export type { Line } from "./lines.ts";
export { startCursor, type Change, type Cursor, type Movement, type MovementKind } from "./movement.ts";
export type { InventoryOptions } from "./options.ts";
export type { AdjustRequest, DecrementRequest, Issued, ReserveRequest, RestockRequest } from "./order.ts";
export type { ConfirmRequest, ExtendRequest, MovementsOptions, ReleaseRequest, SeedOptions } from "./requests.ts";
export type {
  AdjustResult,
  Busy,
  ConfirmResult,
  DecrementResult,
  ExtendResult,
  Insufficient,
  Level,
  OutcomeResult,
  ReleaseResult,
  Reserved,
  ReserveResult,
  RestockResult,
  SeedResult,
  Shortage,
  SweepResult,
} from "./results.ts";
export type { Drift, Reconciliation, Snapshot } from "./stock-taking.ts";
export {
  exportStock,
  importStock,
  type ExportOptions,
  type ImportOptions,
  type ImportProgress,
  type ImportResult,
  type StockFormat,
  type StockSource,
} from "./stock-file.ts";
