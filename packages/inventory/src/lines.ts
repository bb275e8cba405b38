/** Lines of a basket: checked, a sku on two lines summed (V3), in one order, so that the same basket always looks the same. */
import { integer, optionsObject, text } from "@holdfast/core";
import { escapeWord, unescapeWord } from "./packed-text.ts";

/** So many units of a sku. */
export interface Line {
  /** 1 to 256 bytes. */
  readonly sku: string;
  /** 1 to 2^40. */
  readonly quantity: number;
}

/** A basket as the scripts get it. */
export interface Basket {
  /** Escaped skus, each once. */
  readonly skus: readonly string[];
  /** By sku, in the same order. */
  readonly quantities: readonly number[];
  /** Sku and quantity in turn. */
  readonly text: string;
}

/** Most lines of one basket: about 2 ms of the server's time. */
export const linesMax = 1_000;
/** Sums of 1,000 such quantities stay below 2^53. */
export const quantityMax: number = 2 ** 40;

const quantityRange = { min: 1, max: quantityMax };
const changeRange = { min: -quantityMax, max: quantityMax };

/** Names of fields in messages, made once: most baskets are right, and have few lines. */
const names: { readonly line: string; readonly sku: string; readonly quantity: string }[] = [];

function namesOf(index: number): (typeof names)[number] {
  return (names[index] ??= {
    line: `lines[${index}]`,
    sku: `lines[${index}].sku`,
    quantity: `lines[${index}].quantity`,
  });
}

function basketOf(sums: ReadonlyMap<string, number>): Basket {
  const skus = [...sums.keys()].toSorted();
  const quantities = skus.map((sku) => sums.get(sku) as number);
  return { skus, quantities, text: skus.map((sku, index) => `${sku} ${quantities[index]}`).join(" ") };
}

function lineOf(line: Line, index: number, signed: boolean): { readonly sku: string; readonly quantity: number } {
  const { line: name, sku: skuName, quantity: quantityName } = namesOf(index);
  optionsObject(name, line);
  const sku = escapeWord(text(skuName, line.sku));
  const quantity = integer(quantityName, line.quantity, signed ? changeRange : quantityRange);
  if (quantity === 0) throw new RangeError(`${quantityName} must not be 0`);
  return { sku, quantity };
}

/**
 * @param signed whether quantities below 0 are allowed too (adjust)
 * @throws TypeError, RangeError naming the line
 */
export function basket(lines: readonly Line[], signed = false): Basket {
  if (!Array.isArray(lines)) throw new TypeError(`lines must be an array, got ${typeof lines}`);
  const { length } = lines as readonly unknown[];
  if (length === 0 || length > linesMax) {
    throw new RangeError(`lines must have 1 to ${linesMax} entries, got ${length}`);
  }
  if (length === 1) {
    const { sku, quantity } = lineOf(lines[0] as Line, 0, signed);
    return { skus: [sku], quantities: [quantity], text: `${sku} ${quantity}` };
  }
  const sums = new Map<string, number>();
  for (const [index, line] of lines.entries()) {
    const { sku, quantity } = lineOf(line, index, signed);
    const sum = (sums.get(sku) ?? 0) + quantity;
    if (Math.abs(sum) > quantityMax)
      throw new RangeError(
        `${namesOf(index).quantity}: all lines of the sku must sum to at most ${quantityMax}, got ${sum}`,
      );
    sums.set(sku, sum);
  }
  if (signed) for (const [sku, sum] of sums) if (sum === 0) sums.delete(sku);
  if (sums.size === 0) throw new RangeError("lines must not cancel one another out");
  return basketOf(sums);
}

/** Lines of words "sku quantity sku quantity". */
export function linesOf(words: readonly string[]): Line[] {
  const lines: Line[] = [];
  for (let at = 0; at + 1 < words.length; at += 2) {
    lines.push({ sku: unescapeWord(words[at] as string), quantity: Number(words[at + 1]) });
  }
  return lines;
}
