/** What several callers want of one bucket in one tick, as the arguments of one script. */
import { hash } from "node:crypto";
import { InconsistentStockError } from "./errors.ts";
import type { Basket } from "./lines.ts";
import type { CheckedId, Order } from "./order.ts";

/** An end of a reservation as settle.lua gets it. */
export interface Settlement {
  readonly id: CheckedId;
  readonly what: "c" | "k" | "r";
  readonly operationId: string;
  /** The part to confirm; all without it. */
  readonly part: Basket | undefined;
}

type Items = readonly string[];

/** Lines in one script: longer baskets travel alone. */
const linesMax = 1_000;

/** A name for an operation, short enough to be kept with each record. */
export function markOf(operationId: string): string {
  return hash("sha256", operationId, "base64url").slice(0, 8);
}

/** Lines of an order. */
export function linesOfOrder({ basket }: Order): number {
  return basket.skus.length;
}

/** Lines that a settlement names. */
export function linesOfSettlement({ part }: Settlement): number {
  return part?.skus.length ?? 1;
}

/** Counters that orders need: what is available, what is reserved unless it is only taken, and of spread stock what came from elsewhere. */
function fieldsOf(orders: readonly Order[], spread: boolean): ReadonlySet<string> {
  const fields = new Set<string>();
  for (const { operation, basket } of orders) {
    for (const sku of basket.skus) {
      fields.add(sku);
      if (operation !== "d") fields.add(`r#${sku}`);
      if (spread && (operation === "k" || operation === "j")) fields.add(`n#${sku}`);
    }
  }
  return fields;
}

/** Orders as apply.lua gets them. */
export function orderArguments(
  orders: readonly Order[],
  final: boolean,
  spread: boolean,
): { itemCount: number; items: Items } {
  const items: string[] = [];
  for (const { id } of orders) items.push(id.word);
  for (const { id, operation, holdMs, flag, reference, basket } of orders) {
    const kind = id.bornMs === 0 ? operation : operation.toUpperCase() + String(id.bornMs).padStart(13, "0");
    items.push(`${operation === "v" ? kind + holdMs : kind} ${flag} ${reference} ${basket.text}`);
  }
  for (const field of fieldsOf(orders, spread)) items.push(field);
  return { itemCount: final ? orders.length : -orders.length, items };
}

/** Settlements as settle.lua gets them. */
export function settlementArguments(
  settlements: readonly Settlement[],
  final: boolean,
): { linesMax: number; itemCount: number; items: Items } {
  const items: string[] = [];
  for (const { id } of settlements) items.push(id.word);
  for (const { what, operationId, part } of settlements) {
    const words = `${what} ${markOf(operationId)}`;
    items.push(part === undefined ? words : `${words} ${part.text}`);
  }
  return { linesMax, itemCount: final ? settlements.length : -settlements.length, items };
}

/**
 * Sends items so that no script sees too many lines, each part after the one before it. What becomes of one part is no word about another:
 * where one fails, those of the others are told what became of theirs.
 */
export async function inParts<Item, Result>(
  items: readonly Item[],
  linesOf: (item: Item) => number,
  send: (part: readonly Item[]) => Promise<readonly (Result | Error)[]>,
): Promise<readonly (Result | Error)[]> {
  const results: (Result | Error)[] = [];
  let [from, lines] = [0, 0];
  for (const [index, item] of items.entries()) {
    const own = linesOf(item);
    if (index > from && lines + own > linesMax) {
      results.push(...(await sentApart(items.slice(from, index), send)));
      [from, lines] = [index, 0];
    }
    lines += own;
  }
  return from === 0 ? send(items) : [...results, ...(await sentApart(items.slice(from), send))];
}

/** Sends items, and again those that a script had no room for, each part after the one before it. */
export async function untilAll<Item, Result>(
  items: readonly Item[],
  isLeft: (result: Result | Error) => boolean,
  send: (part: readonly Item[]) => Promise<readonly (Result | Error)[]>,
): Promise<readonly (Result | Error)[]> {
  const results = await send(items);
  const from = results.findIndex(isLeft);
  if (from < 0) return results;
  const again = (part: readonly Item[]): Promise<readonly (Result | Error)[]> => untilAll(part, isLeft, send);
  return [...results.slice(0, from), ...(await sentApart(items.slice(from), again))];
}

async function sentApart<Item, Result>(
  part: readonly Item[],
  send: (part: readonly Item[]) => Promise<readonly (Result | Error)[]>,
): Promise<readonly (Result | Error)[]> {
  try {
    return await send(part);
  } catch (error) {
    return part.map(() => asError(error));
  }
}

/**
 * Sends items as one script. A spoilt counter, for which a script does nothing, is the affair of those who need it: each goes again by
 * itself then, and gets its own answer.
 */
export async function asOneOrAlone<Item, Result>(
  items: readonly Item[],
  send: (items: readonly Item[]) => Promise<readonly Result[]>,
): Promise<readonly (Result | Error)[]> {
  try {
    return await send(items);
  } catch (error) {
    if (!(error instanceof InconsistentStockError) || items.length === 1) throw error;
    const alone = await Promise.allSettled(items.map((item) => send([item])));
    return alone.map((each) => (each.status === "fulfilled" ? (each.value[0] as Result) : asError(each.reason)));
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
