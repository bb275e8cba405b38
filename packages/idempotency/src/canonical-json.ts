/**
 * One text for each JSON value, whatever the order of its keys, its white space and the spelling of its numbers, without ever losing a digit:
 * numbers are compared as they are written, not as JavaScript would round them (I7). A value whose content the text would leave out is refused:
 * it would equal any other.
 */
import { types } from "node:util";

const depthMax = 256;
const exponentDigitsMax = 1_000;

/** Without its zeros at the end. A pattern would try each zero for the beginning of the last ones. */
function withoutLastZeros(digits: string): string {
  let end = digits.length;
  while (end > 0 && digits.charCodeAt(end - 1) === 0x30) end -= 1;
  return digits.slice(0, end);
}

/** `-12.50e3` becomes `-125e2`: sign, digits without zeros at either end, exponent. */
function canonicalNumber(lexeme: string): string {
  const parts = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/u.exec(lexeme);
  if (parts === null) throw new TypeError(`fingerprint must be JSON, text or bytes, got ${lexeme}`);
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = parts;
  // Nobody means it; to add to it would take long, and as a text it is what it is.
  if (exponent.length > exponentDigitsMax) return lexeme;
  const digits = (whole + fraction).replace(/^0+/u, "");
  const significant = withoutLastZeros(digits);
  if (significant === "") return "0";
  const shift = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - significant.length);
  return `${sign}${significant}e${shift}`;
}

/** The same for a whole number above 0, of which most are: 12500 becomes 125e2. */
function canonicalInteger(value: number): string {
  const digits = String(value);
  const significant = withoutLastZeros(digits);
  return `${significant}e${digits.length - significant.length}`;
}

/** A name with its value, as texts. */
interface Member {
  readonly name: string;
  readonly text: string;
}

function byName(left: Member, right: Member): number {
  return left.name < right.name ? -1 : Number(left.name > right.name);
}

function canonicalObject(members: Member[]): string {
  // The sort keeps the order of equal names, which only a text can have.
  members.sort(byName);
  let text = "";
  for (const { name, text: value } of members) text += text === "" ? `{${name}:${value}` : `,${name}:${value}`;
  return text === "" ? "{}" : `${text}}`;
}

/** Objects as JSON knows them, of any realm, and those without a prototype. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Whether an object keeps its content where its properties do not show it: promises, collections, streams, errors, forms. */
function hidesContent(value: object, names: readonly string[]): boolean {
  if (names.length === 0 || types.isNativeError(value)) return true;
  if (Symbol.iterator in value || Symbol.asyncIterator in value) return true;
  return typeof (value as { then?: unknown }).then === "function";
}

function kindOf(value: object): string {
  const { constructor: made } = value as { constructor?: { name?: unknown } };
  return typeof made?.name === "string" && made.name !== "" ? made.name : Object.prototype.toString.call(value);
}

/**
 * The canonical text of a value. Bytes stand for themselves; what JSON leaves out is left out.
 * @throws TypeError for a value that JSON would silently empty (a Promise, a Map, a form, a stream, NaN), a function, a symbol, or one that
 *   is nested too deeply
 */
export function canonicalOfValue(value: unknown, depth = 0): string {
  if (depth > depthMax)
    throw new TypeError(`fingerprint must not be nested more than ${depthMax} deep, nor be circular`);
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "number":
      return Number.isSafeInteger(value) && value > 0 ? canonicalInteger(value) : canonicalNumber(String(value));
    case "bigint":
      return canonicalNumber(String(value));
    case "boolean":
      return String(value);
    case "undefined":
      return "null";
    case "function":
    case "symbol":
      throw new TypeError(`fingerprint must be JSON, text or bytes, got a ${typeof value}`);
    case "object":
      return canonicalOfObject(value, depth);
  }
}

function canonicalOfObject(value: object | null, depth: number): string {
  if (value === null) return "null";
  if (value instanceof Uint8Array)
    return `<${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64")}>`;
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === "function") return canonicalOfValue((toJSON as () => unknown).call(value), depth + 1);
  if (Array.isArray(value)) return `[${value.map((item) => canonicalOfValue(item, depth + 1)).join(",")}]`;
  const names = Object.keys(value);
  if (!isPlain(value) && hidesContent(value, names)) {
    throw new TypeError(
      `fingerprint must be JSON, text or Uint8Array, got a ${kindOf(value)}, which would equal any other`,
    );
  }
  const members: Member[] = [];
  for (const name of names) {
    const item = (value as Readonly<Record<string, unknown>>)[name];
    if (item !== undefined) members.push({ name: JSON.stringify(name), text: canonicalOfValue(item, depth + 1) });
  }
  return canonicalObject(members);
}

/** Reads a JSON text from left to right. */
class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** The canonical text of the whole input, or undefined when it is no JSON. */
  whole(): string | undefined {
    const value = this.#value(0);
    this.#skipSpace();
    return this.#at === this.#text.length ? value : undefined;
  }

  #skipSpace(): void {
    while (" \t\n\r".includes(this.#text.charAt(this.#at)) && this.#at < this.#text.length) this.#at += 1;
  }

  #takes(character: string): boolean {
    this.#skipSpace();
    if (this.#text.charAt(this.#at) !== character) return false;
    this.#at += 1;
    return true;
  }

  #value(depth: number): string | undefined {
    if (depth > depthMax) return undefined;
    if (this.#takes("{")) return this.#members(depth);
    if (this.#takes("[")) return this.#items(depth);
    if (this.#text.charAt(this.#at) === '"') return this.#string();
    const scalar = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)|true|false|null/uy;
    scalar.lastIndex = this.#at;
    const lexeme = scalar.exec(this.#text)?.[0];
    if (lexeme === undefined) return undefined;
    this.#at += lexeme.length;
    return /^[tfn]/u.test(lexeme) ? lexeme : canonicalNumber(lexeme);
  }

  #members(depth: number): string | undefined {
    const members: Member[] = [];
    if (this.#takes("}")) return "{}";
    do {
      this.#skipSpace();
      const name = this.#string();
      if (name === undefined || !this.#takes(":")) return undefined;
      const text = this.#value(depth + 1);
      if (text === undefined) return undefined;
      members.push({ name, text });
    } while (this.#takes(","));
    return this.#takes("}") ? canonicalObject(members) : undefined;
  }

  #items(depth: number): string | undefined {
    const items: string[] = [];
    if (this.#takes("]")) return "[]";
    do {
      const value = this.#value(depth + 1);
      if (value === undefined) return undefined;
      items.push(value);
    } while (this.#takes(","));
    return this.#takes("]") ? `[${items.join(",")}]` : undefined;
  }

  #string(): string | undefined {
    if (this.#text.charAt(this.#at) !== '"') return undefined;
    let end = this.#at + 1;
    for (;;) {
      end = this.#text.indexOf('"', end);
      if (end === -1) return undefined;
      let backslashes = 0;
      while (this.#text.charAt(end - 1 - backslashes) === "\\") backslashes += 1;
      end += 1;
      if (backslashes % 2 === 0) break;
    }
    const lexeme = this.#text.slice(this.#at, end);
    this.#at = end;
    try {
      return JSON.stringify(JSON.parse(lexeme));
    } catch {
      // A raw control character or a wrong escape: the text is no JSON.
      return undefined;
    }
  }
}

/** The canonical text of a JSON object or array, or undefined for any other text. */
export function canonicalOfText(text: string): string | undefined {
  return /^[\t\n\r ]*[[{]/u.test(text) ? new Reader(text).whole() : undefined;
}
