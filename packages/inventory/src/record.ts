/** What the server remembers under an id, decoded. The form is written down in scripts/shared/holds.lua. */
import { UnexpectedReplyError } from "@holdfast/core";
import { linesOf } from "./lines.ts";
import type { Line } from "./lines.ts";
import { none, unescapeWord } from "./packed-text.ts";

const operations = {
  d: "decrement",
  v: "reserve",
  k: "restock",
  j: "adjust",
  e: "extend",
  z: "seed",
  "-": "none",
} as const;
const states = {
  h: "held",
  c: "confirmed",
  r: "released",
  x: "expired",
  y: "expired",
  n: "insufficient",
  t: "done",
  s: "sealed",
  f: "forwarded",
} as const;

/** What an id was used for. */
export type StoredOperation = (typeof operations)[keyof typeof operations];

/** A record. Fields that its operation does not have are empty. */
export interface StoredRecord {
  readonly operation: StoredOperation;
  readonly state: (typeof states)[keyof typeof states];
  /** Server time of the last change in epoch milliseconds. */
  readonly changedAtMs: number;
  /** End of the hold in epoch milliseconds on the server's clock; 0 for none. */
  readonly endMs: number;
  readonly holdMs: number;
  readonly allowPartial: boolean;
  /** The order id of a reservation, the reason of an adjustment, the reservation of an extension. */
  readonly reference: string | undefined;
  /** As asked for. */
  readonly asked: readonly Line[];
  /** What is, or was, held or taken. */
  readonly taken: readonly Line[];
  /** What was confirmed; as `taken` unless it was a part. */
  readonly confirmed: readonly Line[];
  /** For an expired reservation that was not to be had again: sku, wanted and available in turn. */
  readonly missing: readonly string[];
  /** What was available of each line when the answer was no. */
  readonly available: readonly number[];
  /** Mark of the content of a seed. */
  readonly content: string;
  /** Where the log stood after a seed: number and beginning of its newest movement. */
  readonly head: string;
}

/** Splits a list of words at "#". */
function lists(words: readonly string[]): string[][] {
  const found: string[][] = [[]];
  for (const word of words) {
    if (word === none) found.push([]);
    else found.at(-1)?.push(word);
  }
  return found;
}

const blank = {
  endMs: 0,
  holdMs: 0,
  allowPartial: false,
  reference: undefined,
  asked: [],
  taken: [],
  confirmed: [],
  missing: [],
  available: [],
  content: "",
  head: "",
};

/** @throws UnexpectedReplyError when it is no record of this version */
export function decodeRecord(call: string, record: string): StoredRecord {
  const words = record.split(" ");
  const head = words[0] as string;
  const state = states[head[0] as keyof typeof states];
  const operation = operations[head[1] as keyof typeof operations];
  const changedAtMs = Number(head.slice(2));
  if (state === undefined || operation === undefined || !/^\d{13}$/u.test(head.slice(2))) {
    throw new UnexpectedReplyError(call, "a record of this version", record);
  }
  const base = { ...blank, operation, state, changedAtMs };
  if (state === "sealed" || state === "forwarded") return base;
  if (operation === "seed") return { ...base, content: words[1] ?? "", head: words.slice(2).join(" ") };
  if (operation === "extend") {
    const [, endMs, reservation = "", holdMs] = words;
    return { ...base, endMs: Number(endMs), holdMs: Number(holdMs), reference: unescapeWord(reservation) };
  }
  if (operation === "reserve" && !(/^\d+$/u.test(words[1] ?? "") && /^\d+$/u.test(words[2] ?? ""))) {
    throw new UnexpectedReplyError(call, "a record of this version", record);
  }
  const at = operation === "reserve" ? 4 : 1;
  const [asked = [], second = [], third = [], fourth = []] = lists(words.slice(at + 2));
  const reference = words[at + 1] === none ? undefined : unescapeWord(words[at + 1] ?? "");
  const shared = {
    ...base,
    ...(operation === "reserve" ? { endMs: Number(words[1]), holdMs: Number(words[2]) } : {}),
    allowPartial: words[at] === "a",
    reference,
    asked: linesOf(asked),
  };
  if (state === "insufficient") return { ...shared, available: linesOf(second).map(({ quantity }) => quantity) };
  const taken = second.length > 0 ? linesOf(second) : shared.asked;
  if (head[0] === "y") return { ...shared, taken, missing: fourth.length > 0 ? fourth : third };
  return { ...shared, taken, confirmed: third.length > 0 ? linesOf(third) : taken };
}
