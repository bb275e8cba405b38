/**
 * Reservations over several inventories, which may lie in several Cluster slots or on several servers: no script spans them, so this is a
 * sequence of steps, each of which may be the last one that a process lives to see.
 *
 * Reserve: one place after the other, in an order that all callers share; the first "no" undoes the others. Whatever a dead process left
 * behind expires. Confirm: first all holds are extended, then all are confirmed, so that none expires between the first and the last.
 * Both are resumed by calling them again with the same ids.
 */
import {
  ambientRemainingMs,
  integerOr,
  leaseRangeMs,
  NotReplicatedError,
  optionsObject,
  systemRandom,
} from "@holdfast/core";
import type { Inventory } from "./inventory.ts";
import { checkId, reserveOrder } from "./order.ts";
import type { ReserveRequest } from "./order.ts";
import { halfway, idle, unfinished } from "./failures.ts";
import type { ConfirmResult, ExtendResult, Reserved, Shortage } from "./results.ts";

/** One place of a reservation. */
export interface ReservePart extends Omit<ReserveRequest, "allowPartial"> {
  readonly stock: Inventory;
}

/** One place of a confirmation. */
export interface ConfirmPart {
  readonly stock: Inventory;
  readonly reservationId: string;
}

/** What became of a reservation over several places. */
export type ReserveAcrossResult =
  /** All are reserved, in the order asked for; the first hold to end ends at `expiresAtMs`. */
  | { readonly kind: "reserved"; readonly expiresAtMs: number; readonly parts: readonly Reserved[] }
  /** One place said no; the others were given back. */
  | { readonly kind: "insufficient"; readonly inventory: string; readonly shortages: readonly Shortage[] }
  /** One place was short and still returning due holds; the others were given back. Try again with new ids. */
  | { readonly kind: "busy"; readonly inventory: string }
  /**
   * Under these ids something was released or has expired before; the others were given back. Use new ids. With `confirmed` a place is sold
   * that others would have had to be sold with, and nothing was given back: `confirmAcross` with these ids goes on.
   */
  | { readonly kind: "ended"; readonly inventory: string; readonly state: "released" | "expired" | "confirmed" };

/** What became of one place. */
export interface PartOutcome {
  readonly inventory: string;
  readonly reservationId: string;
  readonly kind: ConfirmResult["kind"] | ExtendResult["kind"];
}

/** What became of a confirmation over several places. */
export type ConfirmAcrossResult =
  | { readonly kind: "confirmed"; readonly parts: readonly PartOutcome[] }
  /** At least one is not held any more and none was confirmed: nothing was done but extending the others. */
  | { readonly kind: "not-held"; readonly parts: readonly PartOutcome[] }
  /**
   * Some are confirmed, by this or an earlier call, and others could not be had any more. For a person, or a refund; but while a part is
   * `busy`, which it may be after it was asked many times, call again.
   */
  | { readonly kind: "incomplete"; readonly parts: readonly PartOutcome[] };

function checkParts(parts: readonly { readonly stock: Inventory; readonly reservationId: string }[]): void {
  if (!Array.isArray(parts) || parts.length === 0) throw new TypeError("parts must be an array of at least one part");
  const seen = new Set<string>();
  for (const [index, part] of parts.entries()) {
    optionsObject(`parts[${index}]`, part);
    const { stock, reservationId } = part as ConfirmPart;
    if (typeof stock?.reserve !== "function") throw new TypeError(`parts[${index}].stock must be an Inventory`);
    checkId(`parts[${index}].reservationId`, reservationId);
    const key = JSON.stringify([stock.name, reservationId]);
    if (seen.has(key))
      throw new RangeError(
        `parts[${index}]: ${stock.name} has the id ${reservationId} already; put its lines into one part`,
      );
    seen.add(key);
  }
}

/** How often a place that is busy is asked again: each time it returns a hundred holds. */
const busyMax = 50;

type Call = "reserveAcross" | "confirmAcross";

function adviceOf(call: Call): string {
  return `call ${call} again with the same parts to go on`;
}

function goOn(call: Call, reservationId: string, error: unknown): unknown {
  const why = "another place has, or may have, done its part";
  return unfinished(error, `${call} ${reservationId}`, reservationId, why, adviceOf(call));
}

/** A place that has done its part says nothing of the others. */
function notAll(call: Call, reservationId: string, error: unknown): unknown {
  return halfway(error, `${call} ${reservationId}`, reservationId, adviceOf(call));
}

/**
 * Reserves in all places, or in none.
 * @throws TypeError, RangeError before anything is asked; DifferentRequestError and what else `reserve` throws; OutcomeUnknownError also when a place
 *   does not answer after another has reserved. Call again with the same ids to go on where it stopped; what is never gone on with expires
 */
export async function reserveAcross(parts: readonly ReservePart[]): Promise<ReserveAcrossResult> {
  checkParts(parts);
  for (const part of parts) reserveOrder(part, leaseRangeMs.max);
  // In one order for everybody, so that two callers who want the same never give back to each other for ever.
  const order = [...parts.entries()].toSorted(([, a], [, b]) => (a.stock.name < b.stock.name ? -1 : 1));
  const done: Reserved[] = [];
  const undo = async (places: typeof order): Promise<void> => {
    // What cannot be released now expires.
    await Promise.allSettled(places.map(([, { stock, reservationId }]) => stock.release({ reservationId })));
  };
  for (const [step, [index, { stock, ...request }]] of order.entries()) {
    const stopped = (error: unknown): never => {
      throw step === 0 ? error : goOn("reserveAcross", request.reservationId, error);
    };
    const halted = (error: unknown): never => stopped(notAll("reserveAcross", request.reservationId, error));
    const isLast = step === order.length - 1;
    const result = await stock.reserve(request).catch(isLast ? stopped : halted);
    const inventory = stock.name;
    if (result.kind === "reserved" && result.state !== "released" && result.state !== "expired") {
      done[index] = result;
      continue;
    }
    const sold = done.findIndex((part) => part?.state === "confirmed");
    const asking = sold < 0 && result.kind === "reserved";
    const confirmed = asking ? await soldIn(order.slice(step + 1)).catch(halted) : parts[sold]?.stock;
    if (confirmed !== undefined) return { kind: "ended", inventory: confirmed.name, state: "confirmed" };
    // What ended may have been given back by a process that died before it came to the places behind.
    await undo(result.kind === "reserved" ? order.toSpliced(step, 1) : order.slice(0, step));
    switch (result.kind) {
      case "reserved":
        return { kind: "ended", inventory, state: result.state as "released" | "expired" };
      case "insufficient":
        return { kind: "insufficient", inventory, shortages: result.shortages };
      case "busy":
        return { kind: "busy", inventory };
    }
  }
  return { kind: "reserved", expiresAtMs: Math.min(...done.map(({ expiresAtMs }) => expiresAtMs)), parts: done };
}

/** A place that is confirmed, asked of places that are given up anyway: what is absent there stays so. */
async function soldIn(places: readonly (readonly [number, ReservePart])[]): Promise<Inventory | undefined> {
  for (const [, { stock, reservationId }] of places) {
    const outcome = await stock.outcome(reservationId);
    if (outcome.kind === "reserved" && outcome.state === "confirmed") return stock;
  }
  return undefined;
}

/**
 * Confirms in all places. Nothing is confirmed before every hold is known to last; once one is confirmed, the others are taken again if
 * they expired meanwhile.
 * @param options `extendMs`: how long all holds are to last from now, 50 to 86,400,000, default 60,000
 * @throws TypeError, RangeError and what `extend` and `confirm` throw; OutcomeUnknownError also when a place does not answer while another
 *   confirms. Call again to go on where it stopped
 */
export async function confirmAcross(
  parts: readonly ConfirmPart[],
  options: { readonly extendMs?: number | undefined } = {},
): Promise<ConfirmAcrossResult> {
  checkParts(parts);
  optionsObject("options", options);
  const holdMs = integerOr(60_000, "extendMs", options.extendMs, leaseRangeMs);
  const extended = await Promise.all(
    parts.map(async ({ stock, reservationId }): Promise<PartOutcome> => {
      const extending = stock.extend({ reservationId, holdMs, operationId: systemRandom.id() });
      const { kind } = await extending.catch((error: unknown) => {
        throw notAll("confirmAcross", reservationId, error);
      });
      return { inventory: stock.name, reservationId, kind };
    }),
  );
  const begun = extended.some(({ kind }) => kind === "already-confirmed");
  const lasting = extended.every(({ kind }) => kind === "extended" || kind === "already-confirmed");
  if (!lasting && !begun) return { kind: "not-held", parts: extended };
  // All are waited for: what one place fails with says nothing of those that are still confirming.
  const ends = await Promise.allSettled(
    parts.map(async ({ stock, reservationId }): Promise<PartOutcome> => {
      const again = (): Promise<ConfirmResult> => stock.confirm({ reservationId, retakeIfExpired: true });
      let { kind } = await again();
      // Short, and due holds are still being returned: that is no "no" yet.
      for (let round = 0; kind === "busy" && round < busyMax && ambientRemainingMs() > 0; round += 1) {
        ({ kind } = await again());
      }
      return { inventory: stock.name, reservationId, kind };
    }),
  );
  const confirmed: PartOutcome[] = [];
  const allIdle = ends.every((end) => end.status === "rejected" && idle(end.reason));
  const allDone = ends.every((end) =>
    end.status === "rejected" ? end.reason instanceof NotReplicatedError : isSold(end.value),
  );
  for (const [index, end] of ends.entries()) {
    if (end.status === "rejected") {
      const { reservationId } = parts[index] as ConfirmPart;
      if (allIdle || allDone) throw end.reason;
      throw goOn("confirmAcross", reservationId, notAll("confirmAcross", reservationId, end.reason));
    }
    confirmed.push(end.value);
  }
  return { kind: confirmed.every(isSold) ? "confirmed" : "incomplete", parts: confirmed };
}

function isSold({ kind }: PartOutcome): boolean {
  return kind === "confirmed" || kind === "already-confirmed";
}
