/** Units on their way from one bucket to another; both sides have them on record (lend.lua, receive.lua). */

/** One delivery. */
export interface Parcel {
  readonly from: number;
  readonly to: number;
  readonly number: string;
  /** Escaped. */
  readonly sku: string;
  readonly quantity: string;
  /** As it is on record. */
  readonly text: string;
}

/** The parcel on record in bucket `from` for bucket `to`. */
export function parcelOf(from: number, to: number, text: string): Parcel {
  const [number = "", sku = "", quantity = ""] = text.split(" ");
  return { from, to, number, sku, quantity, text };
}
