/** What an inventory tells observers, on `onEvent` and on the channel `holdfast:inventory`. */

/** The channel of node:diagnostics_channel. */
export const inventoryChannel = "holdfast:inventory";

/** One thing that happened; `inventory` is the name of the instance. */
export type InventoryEvent =
  | {
      readonly type: "answered";
      readonly inventory: string;
      readonly operation: "decrement" | "reserve" | "confirm" | "release" | "restock" | "adjust";
      readonly id: string;
      /** As the call answers it: `reserved`, `insufficient`, `already-confirmed`, … */
      readonly kind: string;
    }
  /** Holds that were past their end were returned in passing. */
  | { readonly type: "expired"; readonly inventory: string; readonly bucket: number; readonly count: number }
  /** Units were moved between buckets to where they are wanted. */
  | {
      readonly type: "gathered";
      readonly inventory: string;
      readonly sku: string;
      readonly from: number;
      readonly to: number;
      readonly quantity: number;
    }
  | {
      readonly type: "committed";
      readonly inventory: string;
      readonly bucket: number;
      readonly consumer: string;
      readonly sequence: number;
    };
