/**
 * Counting: levels, seeding from a count, and comparing with a ledger. Nothing here overwrites what was sold meanwhile: a seed is refused
 * when anything moved since its cursor, a comparison follows the log to where Redis stands.
 */
import { ambientRemainingMs, integer, optionsObject, text, underOwnId } from "@holdfast/core";
import type { Bucket } from "./bucket.ts";
import { markOf } from "./batch.ts";
import { checkOperation } from "./answers.ts";
import { DifferentRequestError, IdForgottenError, StockOverflowError } from "./errors.ts";
import { cursorOfHead, entryStart, startCursor } from "./movement.ts";
import type { Cursor } from "./movement.ts";
import { checkLog, MovementLog } from "./movement-log.ts";
import type { CheckedId } from "./order.ts";
import type { ResolvedInventoryOptions } from "./options.ts";
import { escapeWord, unescapeWord } from "./packed-text.ts";
import { decodeRecord } from "./record.ts";
import type { Level, SeedResult } from "./results.ts";
import { seedScript } from "./scripts.ts";
import { halfway, unfinished } from "./failures.ts";

/** What is on hand, by sku: an object, or entries. */
export type Snapshot = Readonly<Record<string, number>> | Iterable<{ readonly sku: string; readonly onHand: number }>;

/** A sku of which Redis has another number than the ledger. */
export interface Drift {
  readonly sku: string;
  readonly expected: number;
  readonly found: number;
}

/** A comparison. `cursor` is where Redis stood. */
export interface Reconciliation {
  readonly drift: readonly Drift[];
  readonly compared: number;
  readonly cursor: Cursor;
}

/** Skus of one script: about 2 ms of the server's time. */
export const skusMax = 1_000;
const pageMax = 500;
const scanMax = 500;

/** @throws TypeError, RangeError naming the sku */
export function checkSnapshot(snapshot: Snapshot): Map<string, number> {
  optionsObject("snapshot", Array.isArray(snapshot) ? {} : snapshot);
  const entries: Iterable<readonly [string, number]> =
    Symbol.iterator in snapshot
      ? Array.from(snapshot as Iterable<{ sku: string; onHand: number }>, ({ sku, onHand }) => [sku, onHand] as const)
      : Object.entries(snapshot);
  const counts = new Map<string, number>();
  for (const [sku, onHand] of entries) {
    const word = escapeWord(text("snapshot: a sku", sku));
    if (counts.has(word)) throw new RangeError(`snapshot must have each sku once, got ${JSON.stringify(sku)} twice`);
    counts.set(word, integer(`snapshot[${JSON.stringify(sku)}]`, onHand, { min: 0, max: Number.MAX_SAFE_INTEGER }));
  }
  return counts;
}

/** Counting in one bucket. */
export class StockTaking {
  readonly bucket: Bucket;
  readonly log: MovementLog;
  readonly #options: ResolvedInventoryOptions;

  constructor(bucket: Bucket, options: ResolvedInventoryOptions) {
    this.bucket = bucket;
    this.log = new MovementLog(bucket, options.clock);
    this.#options = options;
  }

  /**
   * Levels of escaped skus by sku, and where the log stands. Due holds are returned first; once the ambient deadline has passed, as many
   * as one script returns.
   */
  async levels(skus: readonly string[]): Promise<{ readonly levels: Map<string, Level>; readonly cursor: Cursor }> {
    const levels = new Map<string, Level>();
    let cursor: Cursor = startCursor;
    for (let from = 0; from === 0 || from < skus.length; from += skusMax) {
      const part = skus.slice(from, from + skusMax);
      let reply = await this.bucket.levels(part);
      while (reply.left && ambientRemainingMs() > 0) reply = await this.bucket.levels(part);
      for (const [index, sku] of part.entries()) {
        const [available = 0, reserved = 0] = reply.counters.slice(index * 2, index * 2 + 2);
        levels.set(unescapeWord(sku), { onHand: available + reserved, reserved, available });
      }
      cursor = cursorOfHead(reply.form, reply.head);
    }
    return { levels, cursor };
  }

  /** Skus, in no order; one that comes twice while the hash grows is left to the caller. */
  async *skus(): AsyncGenerator<string, void, undefined> {
    const { connection, keys } = this.bucket;
    const call = this.bucket.call("skus", undefined, "none");
    let cursor = "0";
    do {
      const reply = await connection.read("HSCAN", [keys.stock, cursor, "COUNT", scanMax], call);
      const [next, fields] = reply as [string, string[] | Record<string, string>];
      const names = Array.isArray(fields) ? fields.filter((_, index) => index % 2 === 0) : Object.keys(fields);
      for (const field of names) if (!field.includes("#")) yield unescapeWord(field);
      cursor = next;
    } while (cursor !== "0");
  }

  /**
   * Sets what is on hand, up to 1,000 skus in one step; more in several, each only if nothing moved since the one before.
   * @throws ForkedLogError, MovementGapError when the log is not the cursor's; DifferentRequestError, IdForgottenError, StockOverflowError
   */
  async seed(counts: ReadonlyMap<string, number>, ifCursor: Cursor, operation: CheckedId): Promise<SeedResult> {
    const all = [...counts];
    let cursor = ifCursor;
    for (let from = 0; from === 0 || from < all.length; from += skusMax) {
      const part = all.slice(from, from + skusMax);
      // No id of a caller is such a word: in those a percent sign is followed by the two digits of a byte.
      const id = from === 0 ? operation : { ...operation, word: `${operation.word}%p${from / skusMax}` };
      const result = await this.#seedPart(part, cursor, id).catch((error: unknown) => {
        const { given } = operation;
        const call = this.bucket.call("seed", given, given).operation;
        const isLast = from + skusMax >= all.length;
        const ended = isLast ? error : halfway(error, call, given);
        throw from === 0 ? ended : unfinished(ended, call, given, `${from} skus are set, the others are not`);
      });
      if (result.kind !== "seeded") return result;
      ({ cursor } = result);
    }
    return { kind: "seeded", cursor };
  }

  /** Whether anything is remembered under an id. */
  async knows({ word, given }: CheckedId): Promise<boolean> {
    const { connection, keys } = this.bucket;
    const call = this.bucket.call("seed", given, "none");
    const asked = [keys.recordsA, keys.recordsB].map((key) => connection.read("HGET", [key, word], call));
    return (await Promise.all(asked)).some((record) => typeof record === "string");
  }

  /**
   * Compares what is on hand with what a ledger says at a cursor, following the log from there to where Redis stands.
   * @throws ForkedLogError, MovementGapError
   */
  async reconcile(expected: ReadonlyMap<string, number>, at: Cursor): Promise<Reconciliation> {
    const wanted = new Map([...expected].map(([sku, onHand]) => [unescapeWord(sku), onHand]));
    const drift: Drift[] = [];
    let cursor = at;
    const skus = [...expected.keys()];
    for (let from = 0; from === 0 || from < skus.length; from += skusMax) {
      const part = skus.slice(from, from + skusMax);
      const { levels, cursor: head } = await this.levels(part);
      cursor = await this.#follow(cursor, head, wanted);
      for (const [sku, { onHand }] of levels) {
        const count = wanted.get(sku) ?? 0;
        if (count !== onHand) drift.push({ sku, expected: count, found: onHand });
      }
    }
    return { drift, compared: expected.size, cursor };
  }

  /** Applies the movements between two places of the log. */
  async #follow(from: Cursor, upTo: Cursor, counts: Map<string, number>): Promise<Cursor> {
    let cursor = from;
    while (cursor.sequence < upTo.sequence || (cursor === from && cursor.sequence > 0)) {
      const movements = await this.log.page(cursor, Math.max(1, Math.min(pageMax, upTo.sequence - cursor.sequence)));
      for (const { sequence, changes } of movements) {
        if (sequence > upTo.sequence) break;
        for (const { sku, onHand } of changes) {
          const before = counts.get(sku);
          if (before !== undefined) counts.set(sku, before + onHand);
        }
      }
      const last = movements.findLast(({ sequence }) => sequence <= upTo.sequence);
      if (last === undefined) return cursor;
      cursor = { sequence: last.sequence, stamp: last.stamp };
    }
    return cursor;
  }

  async #seedPart(part: readonly (readonly [string, number])[], cursor: Cursor, id: CheckedId): Promise<SeedResult> {
    const { keys, resource } = this.bucket;
    const { keepMs, rememberMs } = this.#options;
    const content = markOf(part.map(([sku, onHand]) => `${sku} ${onHand}`).join(" "));
    const { stock, recordsA, recordsB, due, log } = keys;
    const call = this.bucket.call("seed", id.given, id.given);
    const args = {
      ...this.bucket.common(),
      keepMs,
      rememberMs,
      id: id.word,
      bornMs: id.bornMs,
      content,
      sequence: cursor.sequence,
      known: entryStart(cursor),
      lines: part.flat(),
    };
    const reply = this.bucket.accepted(
      await this.bucket.ran(seedScript, { stock, recordsA, recordsB, due, log }, args, call).catch((error: unknown) => {
        throw underOwnId(error, call.operation, id.given);
      }),
    );
    if (reply.unconfirmed !== undefined && (reply.kind === "seeded" || reply.kind === "known"))
      throw underOwnId(reply.unconfirmed, call.operation, id.given);
    switch (reply.kind) {
      case "forgotten":
        throw new IdForgottenError(resource, id.given, rememberMs);
      case "overflow":
        throw new StockOverflowError(resource, unescapeWord(reply.sku));
      case "below-reserved":
        // Some of what is reserved was due: it is returned now, which is a movement.
        if (reply.left) return { kind: "moved", cursor: (await this.levels([reply.sku])).cursor };
        return { kind: "below-reserved", sku: unescapeWord(reply.sku), reserved: reply.reserved };
      case "known": {
        const record = decodeRecord(call.operation, reply.record);
        checkOperation(resource, id, record, "seed");
        if (record.content !== content) {
          throw new DifferentRequestError(resource, id.given, "snapshot", "another content");
        }
        return { kind: "seeded", cursor: cursorOfHead(reply.form, record.head) };
      }
      case "seeded":
        return { kind: "seeded", cursor: cursorOfHead(reply.form, reply.head) };
      case "moved": {
        const now = cursorOfHead(reply.form, reply.head);
        if (now.sequence <= cursor.sequence) {
          const entry = now.sequence === cursor.sequence ? reply.head.slice(reply.head.indexOf(" ") + 1) : null;
          checkLog(resource, cursor, reply.form, entry, null);
        } else if (cursor.sequence > 0) {
          await this.log.page(cursor, 1);
        }
        return { kind: "moved", cursor: now };
      }
    }
  }
}
