/**
 * Text on its way into PostgreSQL, which has no place for a NUL. A name that a caller gives is refused at the call. What an inventory's log
 * says has happened and cannot be refused any more: it goes in with a stand-in, and comes out as it was (P5).
 */
import { text } from "@holdfast/core";

const standIn = "␀";

/**
 * A text of 1 to `bytesMax` bytes without NUL.
 * @throws TypeError, RangeError naming the field
 */
export function columnText(field: string, value: unknown, bytesMax?: number): string {
  const checked = text(field, value, bytesMax);
  if (checked.includes("\0")) throw new RangeError(`${field} must not contain a NUL, got one`);
  return checked;
}

/** Any text as one without NUL; no two become the same. */
export function escapeNul(value: string): string {
  return value.replaceAll(standIn, `${standIn}${standIn}`).replaceAll("\0", `${standIn}0`);
}

/** Takes back `escapeNul`. */
export function unescapeNul(value: string): string {
  return value.replaceAll(/␀([␀0])/gu, (_, second: string) => (second === "0" ? "\0" : standIn));
}
