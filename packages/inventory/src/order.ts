/** What callers hand over to be carried out once: ids, baskets and the rest, checked and ready to be sent. */
import { integer, integerOr, leaseRangeMs, optionsObject, text } from "@holdfast/core";
import { basket } from "./lines.ts";
import type { Basket, Line } from "./lines.ts";
import { escapeWord, none } from "./packed-text.ts";

/** When an id was made, for ids that do not say so themselves. */
export interface Issued {
  /**
   * When the order was made, by any clock. With it an id older than `rememberMs` is refused for ever (V8); without it, as long as it is
   * still known. An id that is a UUID of version 7 carries its time itself.
   */
  readonly issuedAt?: Date | number | undefined;
}

/** One step: what is taken is gone. */
export interface DecrementRequest extends Issued {
  /** 1 to 256 bytes; decides first, so a repeat takes nothing. */
  readonly operationId: string;
  readonly lines: readonly Line[];
  /** Take what there is instead of nothing. Default false. */
  readonly allowPartial?: boolean | undefined;
}

/** Two steps: what is reserved is confirmed, released, or returned when the hold expires. */
export interface ReserveRequest extends Issued {
  /** 1 to 256 bytes; decides first. Another basket is another reservation. */
  readonly reservationId: string;
  /** Goes into the movements. 1 to 256 bytes. */
  readonly orderId?: string | undefined;
  readonly lines: readonly Line[];
  /** Length of the hold in milliseconds, 50 to 86,400,000. Default the instance's, for the first one under an id. */
  readonly holdMs?: number | undefined;
  /** Reserve what there is instead of nothing. Default false. */
  readonly allowPartial?: boolean | undefined;
}

/** Goods that arrived. */
export interface RestockRequest extends Issued {
  readonly operationId: string;
  readonly lines: readonly Line[];
}

/** A correction; quantities may be below 0, never below what is available. */
export interface AdjustRequest extends Issued {
  readonly operationId: string;
  readonly lines: readonly Line[];
  /** Goes into the movements. 1 to 256 bytes. */
  readonly reason: string;
}

/** An id as the scripts get it. */
export interface CheckedId {
  /** As the caller gave it. */
  readonly given: string;
  readonly word: string;
  /** Epoch milliseconds, 0 when unknown. */
  readonly bornMs: number;
}

/** An order as apply.lua gets it. */
export interface Order {
  readonly id: CheckedId;
  readonly operation: "d" | "v" | "k" | "j";
  /** 0 for what is no reservation. */
  readonly holdMs: number;
  /** Whether the caller named the length: a client's own may change from one deployment to the next. */
  readonly holdGiven?: boolean;
  readonly flag: "a" | "-";
  /** Order id or reason as a word. */
  readonly reference: string;
  readonly basket: Basket;
}

const timeRangeMs = { min: 1, max: 8_640_000_000_000 };
const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/iu;

/** @throws TypeError, RangeError naming the field */
export function checkId(field: string, value: unknown, issuedAt?: Date | number): CheckedId {
  const given = text(field, value);
  let bornMs = 0;
  if (issuedAt !== undefined) {
    const atMs = issuedAt instanceof Date ? issuedAt.getTime() : issuedAt;
    bornMs = Math.floor(integer("issuedAt", atMs, timeRangeMs));
  } else if (given.length === 36 && given[14] === "7" && uuid7.test(given)) {
    const atMs = Number.parseInt(given.slice(0, 8) + given.slice(9, 13), 16);
    // One that says it is of a time which no script could take is an id as any other.
    if (atMs >= timeRangeMs.min && atMs <= timeRangeMs.max) bornMs = atMs;
  }
  return { given, word: escapeWord(given), bornMs };
}

/** A choice, false unless it was made. @throws TypeError naming the field */
export function choice(field: string, value: unknown): boolean {
  if (value !== undefined && typeof value !== "boolean") {
    throw new TypeError(`${field} must be true or false, got ${typeof value}`);
  }
  return value === true;
}

function flagOf(allowPartial: unknown): Order["flag"] {
  return choice("allowPartial", allowPartial) ? "a" : "-";
}

/** @throws TypeError, RangeError naming the field */
export function decrementOrder(request: DecrementRequest): Order {
  optionsObject("request", request);
  const { operationId, issuedAt, lines, allowPartial } = request;
  const id = checkId("operationId", operationId, issuedAt);
  return { id, operation: "d", holdMs: 0, flag: flagOf(allowPartial), reference: none, basket: basket(lines) };
}

/** @throws TypeError, RangeError naming the field */
export function reserveOrder(request: ReserveRequest, defaultHoldMs: number): Order {
  optionsObject("request", request);
  const { reservationId, issuedAt, lines, orderId, allowPartial, holdMs } = request;
  return {
    id: checkId("reservationId", reservationId, issuedAt),
    operation: "v",
    holdMs: integerOr(defaultHoldMs, "holdMs", holdMs, leaseRangeMs),
    holdGiven: holdMs !== undefined,
    flag: flagOf(allowPartial),
    reference: orderId === undefined ? none : escapeWord(text("orderId", orderId)),
    basket: basket(lines),
  };
}

/** @throws TypeError, RangeError naming the field */
export function restockOrder(request: RestockRequest): Order {
  optionsObject("request", request);
  const { operationId, issuedAt, lines } = request;
  const id = checkId("operationId", operationId, issuedAt);
  return { id, operation: "k", holdMs: 0, flag: "-", reference: none, basket: basket(lines) };
}

/** @throws TypeError, RangeError naming the field */
export function adjustOrder(request: AdjustRequest): Order {
  optionsObject("request", request);
  const { operationId, issuedAt, lines, reason } = request;
  const id = checkId("operationId", operationId, issuedAt);
  const reference = escapeWord(text("reason", reason));
  return { id, operation: "j", holdMs: 0, flag: "-", reference, basket: basket(lines, true) };
}
