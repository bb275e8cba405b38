/**
 * Owns what happens in a sale, the same for each shop.
 */

/** The one thing in which the runs differ. */
export type ShopKind = "get-decr" | "plain-lua" | "holdfast";

/** One sale. */
export interface Course {
  readonly units: number;
  readonly buyers: number;
  /** Within this time all buyers come. */
  readonly arrivalMs: number;
  /** For so long a cart is held. */
  readonly holdMs: number;
  /** How long the bank takes. */
  readonly chargeMs: number;
  /** From the cart to the payment, at most. */
  readonly payAfterMaxMs: number;
  /** After about this time a buyer who waits for returned units asks again. */
  readonly againMs: number;
  /** The sale is over when nothing was put in a cart for so long: no cart that is held can come back any more. */
  readonly quietMs: number;
  /** When so many buyers have paid, a replica is killed. */
  readonly killAfterSold: number;
}

/** The sku on sale. */
export const SKU = "sneaker-42";
