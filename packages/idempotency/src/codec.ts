/**
 * How results become bytes. A record names its codec, so that a process with another one says so instead of guessing.
 *
 * The default writes JSON, which stays readable in the store, and carries what JSON would corrupt: bytes at any depth, and `undefined` as a
 * whole result. What it cannot carry (a Map, a Set, a function, a bigint) it refuses, since a replay would differ from the first answer.
 */

/** Turns results into bytes and back. */
export interface Codec {
  /** 1 to 64 bytes, stored with each result. A change of the encoding needs a new id. */
  readonly id: string;
  /** @throws when the value cannot be carried faithfully */
  encode(value: unknown): Uint8Array;
  /** @throws when the bytes are not its own */
  decode(bytes: Buffer): unknown;
}

/** No property of a sensible object begins with a NUL. */
const bytesMark = "\0bytes";
const kinds = { undefined: 0x75, bytes: 0x62, json: 0x6a, markedJson: 0x6d };

const plainDepthMax = 16;

/** What JSON leaves out, or refuses. */
const unfaithfulTypes: ReadonlySet<string> = new Set(["bigint", "function", "symbol"]);

/**
 * Whether JSON carries a value as it is, which JSON.stringify does several times faster when nobody looks over its shoulder. What is nested
 * deeper, holds itself, or turns itself into something else, is not called plain.
 */
function isPlain(value: unknown, depth = 0): boolean {
  if (typeof value !== "object" || value === null) return !unfaithfulTypes.has(typeof value);
  if (depth === plainDepthMax || ("toJSON" in value && value.toJSON !== undefined)) return false;
  if (Array.isArray(value)) return value.every((item) => isPlain(item, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  for (const name of Object.keys(value)) {
    if (name.startsWith("\0") || !isPlain((value as Readonly<Record<string, unknown>>)[name], depth + 1)) return false;
  }
  return true;
}

function markBytes(value: unknown): { text: string; marked: boolean } {
  let marked = false;
  // A function, not an arrow: the original of a value with toJSON (Buffer) is found in its holder.
  function replace(this: unknown, name: string, current: unknown): unknown {
    const original = (this as Record<string, unknown>)[name];
    if (original instanceof Uint8Array) {
      marked = true;
      return { [bytesMark]: Buffer.from(original.buffer, original.byteOffset, original.byteLength).toString("base64") };
    }
    if (name === bytesMark && typeof current !== "string") throw new TypeError("a property name begins with NUL");
    const unfaithful = original instanceof Map || original instanceof Set || typeof original === "function";
    if (unfaithful || typeof original === "symbol") {
      throw new TypeError(
        `JSON cannot carry ${typeof original === "object" ? original.constructor.name : typeof original}`,
      );
    }
    return current;
  }
  return { text: JSON.stringify(value, replace), marked };
}

function restoreBytes(_: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, bytesMark)) return value;
  return Buffer.from((value as Record<string, string>)[bytesMark] ?? "", "base64");
}

function tagged(kind: number, bytes: Uint8Array): Buffer {
  const whole = Buffer.allocUnsafe(bytes.length + 1);
  whole[0] = kind;
  whole.set(bytes, 1);
  return whole;
}

function taggedText(kind: number, text: string): Buffer {
  return Buffer.from(String.fromCharCode(kind) + text);
}

/** The default codec: JSON, and bytes anywhere in it. Bytes come back as `Buffer`, dates as text. */
export const jsonCodec: Codec = {
  id: "json",
  encode(value) {
    if (value === undefined) return taggedText(kinds.undefined, "");
    if (value instanceof Uint8Array) return tagged(kinds.bytes, value);
    if (isPlain(value)) return taggedText(kinds.json, JSON.stringify(value));
    const { text, marked } = markBytes(value);
    return taggedText(marked ? kinds.markedJson : kinds.json, text);
  },
  decode(bytes) {
    switch (bytes[0] ?? 0) {
      case kinds.undefined:
        return undefined;
      case kinds.bytes:
        return Buffer.from(bytes.subarray(1));
      case kinds.json:
        return JSON.parse(bytes.toString("utf8", 1)) as unknown;
      case kinds.markedJson:
        return JSON.parse(bytes.toString("utf8", 1), restoreBytes) as unknown;
      default:
        throw new TypeError("the bytes were not written by the codec json");
    }
  },
};
