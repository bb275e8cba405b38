/**
 * Key names: `holdfast:{lock:invoice:42}:lease`, that is prefix, a literal-brace hash tag of primitive and name, and a part. All keys
 * of one resource share the tag, hence one Cluster slot.
 */
import { text } from "./validate.ts";

/** Keys with one tag. */
export interface KeySpace {
  /** The resource's name by primitive, as holds and firings carry it: `lock:invoice:42`. */
  readonly resource: string;
  /** Any key of the tag lands in the same slot. */
  readonly slotKey: string;
  /** The key of a part. */
  key(part: string): string;
}

/** Escapes what would end or open a hash tag; `%` too, so that no two names become one. */
function encodeName(name: string): string {
  return name.replace(/[%{}]/gu, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

/**
 * @param prefix 1 to 256 bytes without braces
 * @param primitive the package's word: `lock`, `timer`, …
 * @param name 1 to 256 bytes, chosen by the caller
 * @throws TypeError, RangeError naming `prefix` or `name`
 */
export function keySpace(prefix: string, primitive: string, name: string): KeySpace {
  const resource = `${primitive}:${encodeName(text("name", name))}`;
  const head = `${checkPrefix(prefix)}:{${resource}}:`;
  return { resource, slotKey: head, key: (part) => head + part };
}

/** @throws TypeError, RangeError when the prefix is empty, too long or holds a brace */
export function checkPrefix(prefix: unknown): string {
  const checked = text("prefix", prefix);
  if (/[{}]/u.test(checked)) throw new RangeError(`prefix must not contain { or }, got ${JSON.stringify(checked)}`);
  return checked;
}
