/** Movements and cursors: the log as callers see it. The form of an entry is written down in scripts/shared/holds.lua. */
import { integer, optionsObject, UnexpectedReplyError } from "@holdfast/core";
import { none, unescapeWord } from "./packed-text.ts";

/** A place in the log. */
export interface Cursor {
  /** Number of the last movement read; 0 before the first. */
  readonly sequence: number;
  /** Which movement that was: another one under the same number has another stamp (V6). Empty at 0. */
  readonly stamp: string;
}

/** Before the first movement. */
export const startCursor: Cursor = { sequence: 0, stamp: "" };

const kinds = {
  d: "decrement",
  v: "reserve",
  c: "confirm",
  t: "retake",
  r: "release",
  x: "expire",
  k: "restock",
  j: "adjust",
  z: "seed",
  o: "transfer-out",
  i: "transfer-in",
} as const;

/** What moved. `retake` is the confirmation of an expired reservation; transfers are between buckets. */
export type MovementKind = (typeof kinds)[keyof typeof kinds];

/** How much more of a sku there is. */
export interface Change {
  readonly sku: string;
  readonly onHand: number;
  readonly reserved: number;
}

/** One entry of the log. */
export interface Movement extends Cursor {
  readonly kind: MovementKind;
  /** Server time in epoch milliseconds. */
  readonly atMs: number;
  /** Id of the operation, or of the reservation. */
  readonly id: string;
  readonly orderId: string | undefined;
  /** Of an adjustment. */
  readonly reason: string | undefined;
  readonly changes: readonly Change[];
}

function changeOf(kind: MovementKind, sku: string, numbers: readonly number[]): Change {
  const [first = 0, second = 0] = numbers;
  const name = unescapeWord(sku);
  switch (kind) {
    case "decrement":
    case "retake":
    case "transfer-out":
      return { sku: name, onHand: -first, reserved: 0 };
    case "restock":
    case "adjust":
    case "seed":
    case "transfer-in":
      return { sku: name, onHand: first, reserved: 0 };
    case "reserve":
      return { sku: name, onHand: 0, reserved: first };
    case "release":
    case "expire":
      return { sku: name, onHand: 0, reserved: -first };
    case "confirm":
      return { sku: name, onHand: first === 0 ? 0 : -first, reserved: -second };
  }
}

/** The time of founding in a form `1:4:1763776543123456`. */
export function foundedOf(form: string): string {
  return form.split(":")[2] ?? "";
}

/** The cursor of an entry. */
export function cursorOf(form: string, sequence: number, entry: string): Cursor {
  if (sequence === 0) return startCursor;
  const [head = "", id = ""] = entry.split(" ", 2);
  return { sequence, stamp: `${foundedOf(form)}.${head}.${id}` };
}

/** The cursor of "sequence entry". */
export function cursorOfHead(form: string, head: string): Cursor {
  if (head === "" || head.startsWith("0 ")) return startCursor;
  const space = head.indexOf(" ");
  return cursorOf(form, Number(head.slice(0, space)), head.slice(space + 1));
}

/** How the entry of a cursor begins; empty at the start. */
export function entryStart({ sequence, stamp }: Cursor): string {
  if (sequence === 0) return "";
  const first = stamp.indexOf(".");
  const second = stamp.indexOf(".", first + 1);
  return `${stamp.slice(first + 1, second)} ${stamp.slice(second + 1)} `;
}

/** The time of founding in a cursor. */
export function foundedIn({ stamp }: Cursor): string {
  return stamp.slice(0, stamp.indexOf("."));
}

/** @throws UnexpectedReplyError when it is no movement of this version */
export function decodeMovement(call: string, form: string, sequence: number, entry: string): Movement {
  const [head = "", id = "", reference = "", ...words] = entry.split(" ");
  const kind = kinds[head[0] as keyof typeof kinds];
  if (kind === undefined || !/^\d{16}$/u.test(head.slice(1))) {
    throw new UnexpectedReplyError(call, "a movement of this version", entry);
  }
  const width = kind === "confirm" ? 3 : 2;
  const changes: Change[] = [];
  for (let at = 0; at + width <= words.length; at += width) {
    changes.push(changeOf(kind, words[at] as string, words.slice(at + 1, at + width).map(Number)));
  }
  const named = reference === none ? undefined : unescapeWord(reference);
  return {
    ...cursorOf(form, sequence, entry),
    kind,
    atMs: Math.floor(Number(head.slice(1)) / 1_000),
    id: unescapeWord(id),
    orderId: kind === "adjust" ? undefined : named,
    reason: kind === "adjust" ? named : undefined,
    changes,
  };
}

/**
 * Checks a cursor of a caller.
 * @throws TypeError, RangeError naming the field
 */
export function checkCursor(field: string, cursor: Cursor): Cursor {
  optionsObject(field, cursor);
  const sequence = integer(`${field}.sequence`, cursor.sequence, { min: 0, max: Number.MAX_SAFE_INTEGER });
  const { stamp } = cursor;
  if (typeof stamp !== "string" || (sequence > 0 && !/^\d*\.[a-z]\d{16}\./u.test(stamp))) {
    throw new TypeError(`${field}.stamp must be that of a movement, got ${JSON.stringify(stamp)}`);
  }
  return { sequence, stamp: sequence === 0 ? "" : stamp };
}
