/**
 * Reads the movement log of one bucket, and tells whether it still is the log that a cursor was read from (V6). Each page begins with the
 * movement read last: another one in its place means that the log forked, none at all that movements were lost.
 */
import { ambientRemainingMs, integerOr, signal as checkSignal, sleep } from "@holdfast/core";
import type { Clock } from "@holdfast/core";
import type { Bucket } from "./bucket.ts";
import { ForkedLogError, MovementGapError } from "./errors.ts";
import { checkCursor, cursorOf, decodeMovement, foundedIn, foundedOf, startCursor } from "./movement.ts";
import type { Cursor, Movement } from "./movement.ts";
import { choice } from "./order.ts";
import type { MovementsOptions } from "./requests.ts";
import { readScript } from "./scripts.ts";
import type { PageReply } from "./scripts.ts";

/** How to read. */
export interface ReadOptions {
  readonly after: Cursor;
  readonly pageMax: number;
  /** Milliseconds between two looks when there is nothing new; without it reading ends there. */
  readonly pollMs: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveReadOptions({ after, follow, pageMax, pollMs, signal }: MovementsOptions): ReadOptions {
  checkSignal("signal", signal);
  const everyMs = integerOr(250, "pollMs", pollMs, { min: 10, max: 60_000 });
  return {
    after: checkCursor("after", after ?? startCursor),
    pageMax: integerOr(500, "pageMax", pageMax, { min: 1, max: 10_000 }),
    pollMs: choice("follow", follow) ? everyMs : undefined,
    signal,
  };
}

/**
 * @param entry what the log has under the cursor's number, or null
 * @param first the first movement there is from that number on, or null
 * @throws ForkedLogError, MovementGapError when the log is not the cursor's
 */
export function checkLog(
  resource: string,
  cursor: Cursor,
  form: string,
  entry: string | null,
  first: number | null,
): void {
  const { sequence, stamp } = cursor;
  if (sequence === 0) return;
  if (foundedOf(form) !== foundedIn(cursor)) {
    throw new MovementGapError(resource, sequence, first, "the inventory was lost since, or founded anew");
  }
  if (entry !== null) {
    if (cursorOf(form, sequence, entry).stamp !== stamp) throw new ForkedLogError(resource, sequence, stamp, entry);
    return;
  }
  if (first === null) throw new ForkedLogError(resource, sequence, stamp, null);
  throw new MovementGapError(resource, sequence, first, "they were cut off");
}

/** The log of one bucket. */
export class MovementLog {
  readonly #bucket: Bucket;
  readonly #clock: Clock;

  constructor(bucket: Bucket, clock: Clock) {
    this.#bucket = bucket;
    this.#clock = clock;
  }

  /**
   * One page.
   * @throws ForkedLogError, MovementGapError, NewerFormatError
   */
  async page(after: Cursor, pageMax: number): Promise<Movement[]> {
    const { keys, resource, connection } = this.#bucket;
    const { sequence } = after;
    const call = this.#bucket.call("movements", undefined, "none");
    const reply = await connection.run(
      readScript,
      { stock: keys.stock, log: keys.log },
      { sequence: Math.max(sequence, 1), count: sequence === 0 ? pageMax : pageMax + 1 },
      call,
    );
    const { form, entries } = reply;
    if (form !== "") this.#bucket.checkFormat(form);
    const first = entries[0]?.[0] ?? null;
    if (sequence === 0 && first !== null && first !== 1) {
      throw new MovementGapError(resource, 1, first, "the first ones were cut off; begin at a baseline");
    }
    const known = first === sequence ? (entries[0]?.[1] ?? null) : null;
    checkLog(resource, after, form, known, first);
    return this.#decoded(call.operation, reply, sequence);
  }

  /** Movements in order from a cursor on; following ends with the ambient deadline, and with the inventory's close. */
  async *read(options: ReadOptions, isClosed: () => boolean): AsyncGenerator<Movement, void, undefined> {
    const { after, pageMax, pollMs, signal } = options;
    let cursor = after;
    for (;;) {
      signal?.throwIfAborted();
      const movements = await this.page(cursor, pageMax);
      yield* movements;
      cursor = movements.at(-1) ?? cursor;
      if (movements.length === pageMax) continue;
      if (pollMs === undefined || isClosed()) return;
      const leftMs = ambientRemainingMs();
      // The work that reads has to be done by now: nobody waits for what comes later.
      if (leftMs === 0) return;
      await sleep(this.#clock, Math.min(pollMs, leftMs), signal);
      if (isClosed()) return;
    }
  }

  #decoded(operation: string, { form, entries }: PageReply, sequence: number): Movement[] {
    const movements: Movement[] = [];
    let expected = sequence + 1;
    for (const [number, entry] of entries) {
      if (number <= sequence) continue;
      if (number !== expected) throw new MovementGapError(this.#bucket.resource, expected, number, "they were deleted");
      movements.push(decodeMovement(operation, form, number, entry));
      expected += 1;
    }
    return movements;
  }
}
