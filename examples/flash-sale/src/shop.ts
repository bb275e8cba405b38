/**
 * What a shop is to its replicas. A buyer asks for a cart and pays it; either request may come twice, at two replicas.
 */

/** One way to sell. */
export interface Shop {
  /**
   * Puts a unit into a cart.
   *
   * @param request the same when a buyer sends it again.
   * @returns the cart, or null when the sale has nothing left.
   */
  take(request: string): Promise<string | null>;
  /**
   * Charges the card and sells what is in the cart.
   *
   * @returns false when the unit is gone; the buyer gets the money back.
   */
  pay(cart: string, buyer: string): Promise<boolean>;
  /** Ends what goes on in the background. */
  close(): Promise<void>;
}

/** What every shop needs. */
export interface ShopSettings {
  readonly prefix: string;
  readonly holdMs: number;
  readonly chargeMs: number;
}

/** The key of the counter that the usual shops keep. */
export function counterKey(prefix: string): string {
  return `${prefix}:stock`;
}
