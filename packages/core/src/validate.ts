/** Checks of what the caller hands over: each names the field, the allowed range and the value got, and is thrown at the call. */

/** Bounds of a lease's length in milliseconds, the same for every primitive. */
export const leaseRangeMs: { readonly min: number; readonly max: number } = { min: 50, max: 86_400_000 };

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}…` : value);
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  return String(value);
}

/**
 * A whole number in a range.
 * @throws TypeError when it is no number, RangeError when it is not whole or out of range
 */
export function integer(field: string, value: unknown, range: { readonly min: number; readonly max: number }): number {
  if (Number.isSafeInteger(value) && (value as number) >= range.min && (value as number) <= range.max) {
    return value as number;
  }
  const why = `${field} must be a whole number from ${range.min} to ${range.max}, got ${show(value)}`;
  throw typeof value === "number" ? new RangeError(why) : new TypeError(why);
}

/** As `integer`, with a default for `undefined`. */
export function integerOr(
  fallback: number,
  field: string,
  value: unknown,
  range: { readonly min: number; readonly max: number },
): number {
  return value === undefined ? fallback : integer(field, value, range);
}

/**
 * One of a closed set of words.
 * @throws TypeError
 */
export function oneOf<const Word extends string>(field: string, value: unknown, words: readonly Word[]): Word {
  const found = words.find((word) => word === value);
  if (found === undefined) {
    throw new TypeError(`${field} must be one of ${words.map((word) => `"${word}"`).join(", ")}, got ${show(value)}`);
  }
  return found;
}

/**
 * A text of 1 to `bytesMax` bytes in UTF-8. Lone surrogates are refused: two of them would become one key.
 * @throws TypeError when it is no string, RangeError when it is empty, too long or not well-formed
 */
export function text(field: string, value: unknown, bytesMax = 256): string {
  if (typeof value !== "string") throw new TypeError(`${field} ${allowed(bytesMax)}, got ${show(value)}`);
  // A character takes at most three bytes for each unit of its length, so most texts need not be counted.
  const bytes = value.length * 3 <= bytesMax ? value.length : Buffer.byteLength(value);
  if (bytes === 0 || bytes > bytesMax) throw new RangeError(`${field} ${allowed(bytesMax)}, got ${bytes} bytes`);
  if (!value.isWellFormed()) throw new RangeError(`${field} must be well-formed Unicode, got a lone surrogate`);
  return value;
}

function allowed(bytesMax: number): string {
  return `must be a string of 1 to ${bytesMax} bytes`;
}

/** A function. @throws TypeError */
export function callback(field: string, value: unknown): void {
  if (typeof value !== "function") throw new TypeError(`${field} must be a function, got ${show(value)}`);
}

/** An abort signal or nothing. @throws TypeError */
export function signal(field: string, value: unknown): void {
  if (value !== undefined && !(value instanceof AbortSignal)) {
    throw new TypeError(`${field} must be an AbortSignal, got ${show(value)}`);
  }
}

/** The options object of a call or a constructor. @throws TypeError */
export function optionsObject(field: string, value: unknown): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`${field} must be an object, got ${show(value)}`);
  }
}
