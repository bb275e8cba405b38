/** From what the scripts answer to what calls answer, with the check that an id was not used for something else (V2). */
import type { StoredOperation, StoredRecord } from "./record.ts";
import { DifferentRequestError, ExceedsReservationError, IdSealedError } from "./errors.ts";
import type { Line } from "./lines.ts";
import type { CheckedId, Order } from "./order.ts";
import { none, unescapeWord } from "./packed-text.ts";
import type { Insufficient, OutcomeResult, Reserved, Shortage } from "./results.ts";

const operationNames = { d: "decrement", v: "reserve", k: "restock", j: "adjust" } as const;

/** The lines of a basket as callers see them. */
export function linesOfOrder({ basket }: Order): Line[] {
  return basket.skus.map((sku, index) => ({ sku: unescapeWord(sku), quantity: basket.quantities[index] as number }));
}

/** A "no" with every line that was short. */
export function insufficient({ operation, asked, available }: StoredRecord): Insufficient {
  const shortages: Shortage[] = [];
  for (const [index, { sku, quantity }] of asked.entries()) {
    // An adjustment asks for less than nothing where it takes; what it brings is never short.
    const [wanted, there] = [operation === "adjust" ? -quantity : quantity, available[index] ?? 0];
    if (there < wanted) shortages.push({ sku, wanted, available: there });
  }
  return { kind: "insufficient", shortages };
}

/** A reservation as it stands; a hold that is past its end is expired, whether or not its units were returned yet. */
export function reserved(record: StoredRecord, nowMs: number): Reserved {
  const past = record.state === "held" && record.endMs <= nowMs;
  const state = past ? "expired" : (record.state as Reserved["state"]);
  return { kind: "reserved", state, expiresAtMs: record.endMs, lines: record.taken };
}

/** @throws IdSealedError; DifferentRequestError when the id was used for another operation */
export function checkOperation(
  resource: string,
  id: CheckedId,
  record: StoredRecord,
  operation: StoredOperation,
): void {
  if (record.state === "sealed") throw new IdSealedError(resource, id.given);
  if (record.operation !== operation) {
    throw new DifferentRequestError(resource, id.given, "operation", `${record.operation}, now ${operation}`);
  }
}

function sameLines(lines: readonly Line[], asked: readonly Line[]): boolean {
  return (
    lines.length === asked.length &&
    lines.every(({ sku, quantity }, index) => asked[index]?.sku === sku && asked[index].quantity === quantity)
  );
}

function wordsOf(lines: readonly Line[]): string {
  return lines.map(({ sku, quantity }) => `${sku} ${quantity}`).join(", ");
}

/** @throws DifferentRequestError when the operation that confirmed has confirmed something else */
export function checkConfirmed(
  resource: string,
  operationId: string,
  { taken, confirmed }: StoredRecord,
  lines: readonly Line[] = taken,
): void {
  if (sameLines(lines, confirmed)) return;
  const detail = `${wordsOf(confirmed)}, now ${wordsOf(lines)}`;
  throw new DifferentRequestError(resource, operationId, "lines", detail);
}

/** @throws IdSealedError, DifferentRequestError naming what differs */
export function checkSame(resource: string, order: Order, record: StoredRecord): void {
  const { id, operation, flag, holdMs, holdGiven, reference } = order;
  checkOperation(resource, id, record, operationNames[operation]);
  const differ = (field: DifferentRequestError["field"], before: unknown, now: unknown): never => {
    throw new DifferentRequestError(resource, id.given, field, `${String(before)}, now ${String(now)}`);
  };
  const lines = linesOfOrder(order);
  if (!sameLines(lines, record.asked)) differ("lines", wordsOf(record.asked), wordsOf(lines));
  const named = reference === none ? undefined : unescapeWord(reference);
  if (named !== record.reference) differ(operation === "j" ? "reason" : "orderId", record.reference, named);
  if (holdGiven === true && holdMs !== record.holdMs) differ("holdMs", record.holdMs, holdMs);
  if ((flag === "a") !== record.allowPartial) differ("allowPartial", record.allowPartial, flag === "a");
}

/** The shortages of an expired reservation that was not to be had again. */
export function missingOf(record: StoredRecord): Insufficient {
  const { missing } = record;
  const shortages: Shortage[] = [];
  for (let at = 0; at + 2 < missing.length; at += 3) {
    const [wanted, available] = [Number(missing[at + 1]), Number(missing[at + 2])];
    if (available < wanted) shortages.push({ sku: unescapeWord(missing[at] as string), wanted, available });
  }
  return { kind: "insufficient", shortages };
}

/** Which line of a partial confirmation is more than is held. */
export function exceeded(resource: string, id: CheckedId, record: StoredRecord, lines: readonly Line[]): Error {
  for (const { sku, quantity } of lines) {
    const held = record.taken.find((line) => line.sku === sku)?.quantity ?? 0;
    if (quantity > held) return new ExceedsReservationError(resource, id.given, sku, quantity, held);
  }
  return new ExceedsReservationError(resource, id.given, "", 0, 0);
}

/** What a record says to whoever asks for the outcome of its id. */
export function outcomeOf(record: StoredRecord, nowMs: number): OutcomeResult {
  if (record.state === "sealed" || record.state === "forwarded") return { kind: "absent" };
  if (record.state === "insufficient") return insufficient(record);
  switch (record.operation) {
    case "reserve":
      return reserved(record, nowMs);
    case "decrement":
      return { kind: "decremented", lines: record.taken };
    case "restock":
      return { kind: "restocked", lines: record.taken };
    case "adjust":
      return { kind: "adjusted", lines: record.taken };
    case "extend":
      return { kind: "extended", reservationId: record.reference ?? "", expiresAtMs: record.endMs };
    case "seed":
      return { kind: "seeded" };
    case "none":
      return { kind: "absent" };
  }
}
