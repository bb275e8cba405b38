/**
 * The header `Idempotency-Key` of draft-ietf-httpapi-idempotency-key-header: a structured-field string, `"8e03978e"`, which most clients send
 * without the quotes. Both forms name the same key.
 */

/** Longest key in characters; all of them are ASCII. */
export const keyLengthMax = 255;

/** What the header says. */
export type KeyHeader =
  | { readonly kind: "key"; readonly key: string }
  | { readonly kind: "missing" }
  | { readonly kind: "malformed"; readonly why: string };

/** A string item of RFC 8941, and parameters, which are ignored. */
const quoted = /^"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"(?: *;[^"]*)?$/u;
/** Printable, without what quotes, escapes or separates: two headers arrive joined by a comma. */
const bare = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+$/u;

/** Reads the header's value as it came, joined by `, ` when it came more than once. */
export function parseKeyHeader(value: string | undefined): KeyHeader {
  if (value === undefined) return { kind: "missing" };
  const trimmed = value.trim();
  const inner = quoted.exec(trimmed)?.[1]?.replace(/\\(["\\])/gu, "$1");
  const key = inner ?? (bare.test(trimmed) ? trimmed : undefined);
  if (key === undefined) return { kind: "malformed", why: "it must be one string of printable ASCII, quoted or bare" };
  if (key === "") return { kind: "malformed", why: "it must not be empty" };
  if (key.length > keyLengthMax) return { kind: "malformed", why: `it must have at most ${keyLengthMax} characters` };
  return { kind: "key", key };
}
