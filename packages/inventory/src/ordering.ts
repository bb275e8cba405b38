/**
 * What orders do: sends them to the bucket that decides, and turns answers into results. The id decides first (V2): an answer that begins
 * with "=" is a record, of this request or of an earlier one under the same id, and tells.
 */
import { unconfirmedAnswer, underOwnId } from "@holdfast/core";
import {
  checkConfirmed,
  checkOperation,
  checkSame,
  exceeded,
  insufficient,
  linesOfOrder,
  missingOf,
  outcomeOf,
  reserved,
} from "./answers.ts";
import type { Answer, Unconfirmed } from "./bucket.ts";
import { DifferentRequestError, IdForgottenError, StockOverflowError } from "./errors.ts";
import { basket, linesOf } from "./lines.ts";
import type { Line } from "./lines.ts";
import type { ResolvedInventoryOptions } from "./options.ts";
import { checkId } from "./order.ts";
import type { CheckedId, Order } from "./order.ts";
import { unescapeWord } from "./packed-text.ts";
import { decodeRecord } from "./record.ts";
import type { StoredRecord } from "./record.ts";
import type {
  Busy,
  ConfirmResult,
  ExtendResult,
  Insufficient,
  OutcomeResult,
  ReleaseResult,
  Reserved,
} from "./results.ts";
import type { Stockroom } from "./stockroom.ts";

/** What an order came to, before its operation gives it a name. */
export type Applied =
  | { readonly kind: "done"; readonly lines: readonly Line[]; readonly reservation: Reserved | undefined }
  | Insufficient
  | Busy;

/** How to end a reservation. */
export interface SettleRequest {
  readonly reservationId: string;
  readonly operationId: string | undefined;
  readonly lines: readonly Line[] | undefined;
  readonly what: "c" | "k" | "r";
}

type ExtendReply = Awaited<ReturnType<Stockroom["extend"]>>;

/** How a reservation was ended, or not. */
interface Settled extends Unconfirmed {
  readonly id: CheckedId;
  readonly operationId: string;
  readonly part: Line[] | undefined;
  readonly answer: string;
}

const verbs = {
  d: "decrement",
  v: "reserve",
  k: "restock",
  j: "adjust",
  c: "confirm",
  r: "release",
  e: "extend",
  o: "outcome",
} as const;
const busy: Busy = { kind: "busy" };

/** What an order came to, as far as it stands: a reservation that is over is nothing to build on. */
function standing(applied: Applied): Applied["kind"] | "over" {
  if (applied.kind !== "done" || applied.reservation === undefined) return applied.kind;
  const { state } = applied.reservation;
  return state === "held" || state === "confirmed" ? "done" : "over";
}

/** The orders of one inventory. */
export class Ordering {
  readonly #stockroom: Stockroom;
  readonly #options: ResolvedInventoryOptions;
  readonly #resource: string;

  constructor(name: string, stockroom: Stockroom, options: ResolvedInventoryOptions) {
    this.#stockroom = stockroom;
    this.#options = options;
    this.#resource = `inventory:${name}`;
  }

  /** Carries out an order once. */
  apply(order: Order): Promise<Applied> {
    const { id, operation } = order;
    return this.#stockroom.apply(order).then(
      (answer) => {
        const applied = this.#applied(order, answer);
        if (answer.unconfirmed !== undefined)
          this.#confirmed(answer, { kind: standing(applied) }, ["done"], operation, id, id.given);
        return applied;
      },
      (error: unknown) => {
        throw this.#named(error, operation, id, id.given);
      },
    );
  }

  #applied(order: Order, { answer, nowMs }: Answer): Applied {
    const { id, operation, holdMs } = order;
    switch (answer.charAt(0)) {
      case "t":
        return { kind: "done", lines: linesOfOrder(order), reservation: undefined };
      case "h": {
        const lines = linesOfOrder(order);
        const reservation = { kind: "reserved", state: "held", expiresAtMs: Number(answer.slice(1)), lines } as const;
        return { kind: "done", lines, reservation };
      }
      case "b":
        return busy;
      case "f":
        throw new IdForgottenError(this.#resource, id.given, this.#options.rememberMs);
      case "o":
        throw new StockOverflowError(this.#resource, unescapeWord(answer.slice(1)));
      default: {
        const record = this.#record(operation, answer);
        checkSame(this.#resource, order, record);
        if (record.state === "insufficient") return insufficient(record);
        const reservation = holdMs === 0 ? undefined : reserved(record, nowMs);
        return { kind: "done", lines: record.taken, reservation };
      }
    }
  }

  /** Ends a reservation by confirming it. */
  async confirm(request: SettleRequest): Promise<ConfirmResult> {
    const settled = await this.#settle(request);
    const result = this.#confirmation(request, settled);
    // Nothing is noted of a reservation that is not there: it may still come.
    if (result.kind !== "absent") this.#settled(settled, result, ["confirmed", "already-confirmed"], "c");
    return result;
  }

  #confirmation(request: SettleRequest, { id, part, answer }: Settled): ConfirmResult {
    if (answer.charAt(0) === "b") return busy;
    if (answer.charAt(0) === "a") return { kind: "absent" };
    const record = this.#record("c", answer);
    switch (answer.charAt(0)) {
      case "c": {
        // Without a name of its own no other call confirms what this one did.
        const { operationId } = request;
        if (operationId !== undefined) checkConfirmed(this.#resource, operationId, record, part);
        return { kind: "confirmed", lines: record.confirmed };
      }
      case "C":
        return { kind: "already-confirmed", lines: record.confirmed };
      case "R":
        return { kind: "already-released" };
      case "x":
        return { kind: "expired" };
      case "i":
        return missingOf(record);
      case "e":
        throw exceeded(this.#resource, id, record, part ?? []);
      default:
        throw this.#otherOperation(id, record);
    }
  }

  /** Ends a reservation by giving it back. */
  async release(request: SettleRequest): Promise<ReleaseResult> {
    const settled = await this.#settle(request);
    const result = this.#release(settled);
    this.#settled(settled, result, ["released", "already-released"], "r");
    return result;
  }

  #release({ id, answer }: Settled): ReleaseResult {
    if (answer.charAt(0) === "a") return { kind: "absent" };
    const record = this.#record("r", answer);
    switch (answer.charAt(0)) {
      case "r":
        return { kind: "released", lines: record.taken };
      case "R":
        return { kind: "already-released", lines: record.taken };
      case "C":
        return { kind: "already-confirmed" };
      case "x":
        return { kind: "expired" };
      default:
        throw this.#otherOperation(id, record);
    }
  }

  /** Lets a hold last longer. */
  async extend(operation: CheckedId, reservation: CheckedId, holdMs: number): Promise<ExtendResult> {
    const reply = await this.#stockroom.extend(operation, reservation, holdMs).catch((error: unknown) => {
      throw this.#named(error, "e", reservation, operation.given);
    });
    const result = this.#extension(operation, reservation, holdMs, reply);
    if (result.kind !== "absent") this.#confirmed(reply, result, ["extended"], "e", reservation, operation.given);
    return result;
  }

  #extension(operation: CheckedId, reservation: CheckedId, holdMs: number, reply: ExtendReply): ExtendResult {
    switch (reply.kind) {
      case "forgotten":
        throw new IdForgottenError(this.#resource, operation.given, this.#options.rememberMs);
      case "extended":
        return { kind: "extended", expiresAtMs: reply.endMs };
      case "known": {
        const record = decodeRecord(this.#call("extend", operation), reply.record);
        checkOperation(this.#resource, operation, record, "extend");
        const differ = (field: DifferentRequestError["field"], before: unknown, now: unknown): Error =>
          new DifferentRequestError(this.#resource, operation.given, field, `${String(before)}, now ${String(now)}`);
        if (record.reference !== reservation.given) throw differ("reservationId", record.reference, reservation.given);
        if (record.holdMs !== holdMs) throw differ("holdMs", record.holdMs, holdMs);
        return { kind: "extended", expiresAtMs: record.endMs };
      }
      case "ended": {
        if (reply.record === "") return { kind: "absent" };
        const record = decodeRecord(this.#call("extend", reservation), reply.record);
        if (record.state === "sealed" || record.state === "insufficient") return { kind: "absent" };
        if (record.operation !== "reserve") throw this.#otherOperation(reservation, record);
        if (record.state === "confirmed") return { kind: "already-confirmed" };
        return { kind: record.state === "released" ? "already-released" : "expired" };
      }
    }
  }

  /** Tells what became of an id, and makes sure that nothing will when nothing did. */
  async outcome(id: CheckedId): Promise<OutcomeResult> {
    const reply = await this.#stockroom.outcome(id).catch((error: unknown) => {
      throw this.#named(error, "o", id, id.given);
    });
    if (reply.unconfirmed !== undefined && reply.kind !== "forgotten")
      throw this.#named(reply.unconfirmed, "o", id, id.given);
    if (reply.kind === "sealed") return { kind: "absent" };
    if (reply.kind === "forgotten") return { kind: "forgotten" };
    const record = decodeRecord(this.#call("outcome", id), reply.record);
    return outcomeOf(record, Math.floor(reply.nowUs / 1_000));
  }

  /** @returns the answer, and the part as it was sent: the caller's lines may have changed since */
  async #settle(request: SettleRequest): Promise<Settled> {
    const id = checkId("reservationId", request.reservationId);
    const operationId =
      request.operationId === undefined ? this.#options.random.id() : checkId("operationId", request.operationId).given;
    const part = request.lines === undefined ? undefined : basket(request.lines);
    const verb = request.what === "r" ? "r" : "c";
    const settlement = { id, what: request.what, operationId, part };
    try {
      const { answer, unconfirmed } = await this.#stockroom.settle(settlement);
      return { id, operationId, part: part && linesOf(part.text.split(" ")), answer, unconfirmed };
    } catch (error) {
      throw this.#named(error, verb, id, operationId);
    }
  }

  #settled(settled: Settled, result: { readonly kind: string }, done: readonly string[], verb: "c" | "r"): void {
    this.#confirmed(settled, result, done, verb, settled.id, settled.operationId);
  }

  /** @throws NotReplicatedError, OutcomeUnknownError when too few replicas have what the result says */
  #confirmed(
    { unconfirmed }: Unconfirmed,
    { kind }: { readonly kind: string },
    done: readonly string[],
    verb: keyof typeof verbs,
    id: CheckedId,
    operationId: string,
  ): void {
    if (unconfirmed === undefined || kind === "busy") return;
    throw done.includes(kind)
      ? this.#named(unconfirmed, verb, id, operationId)
      : unconfirmedAnswer(kind, unconfirmed, this.#call(verbs[verb], id), operationId);
  }

  #named(error: unknown, verb: keyof typeof verbs, id: CheckedId, operationId: string): unknown {
    return underOwnId(error, this.#call(verbs[verb], id), operationId);
  }

  #record(verb: keyof typeof verbs, answer: string): StoredRecord {
    return decodeRecord(`inventory.${verbs[verb]} ${this.#resource}`, answer.slice(1));
  }

  #otherOperation(id: CheckedId, record: StoredRecord): Error {
    return new DifferentRequestError(this.#resource, id.given, "operation", `${record.operation}, not a reservation`);
  }

  #call(verb: string, id: CheckedId): string {
    return `inventory.${verb} ${this.#resource} ${id.given}`;
  }
}
