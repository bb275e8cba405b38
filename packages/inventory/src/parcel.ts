/** Units on their way from one bucket to another; both sides have them on record (lend.lua, receive.lua). */
import { UnexpectedReplyError } from "@holdfast/core";

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

/** The parcel on record in bucket `from` for bucket `to`. @throws UnexpectedReplyError when it is none */
export function parcelOf(from: number, to: number, text: string): Parcel {
  const [, number, sku, quantity] = /^(\d{16}) (\S+) (\d+)$/u.exec(text) ?? [];
  if (number === undefined || sku === undefined || quantity === undefined) {
    throw new UnexpectedReplyError(`inventory.deliver from bucket ${from} to ${to}`, "a parcel", text);
  }
  return { from, to, number, sku, quantity, text };
}

/** Parcels on record in a bucket: fields and values in turn. */
export function parcelsIn(from: number, transit: readonly string[]): Parcel[] {
  const parcels: Parcel[] = [];
  for (let at = 0; at + 1 < transit.length; at += 2) {
    const to = /^to:(\d+)$/u.exec(transit[at] as string)?.[1];
    if (to !== undefined) parcels.push(parcelOf(from, Number(to), transit[at + 1] as string));
  }
  return parcels;
}
