/**
 * A reader of the movement log whose position is stored in Redis. What all consumers have behind them is cut off the log; a consumer that
 * is not needed any more is removed, or the log grows.
 */
import { checkLog } from "./movement-log.ts";
import type { MovementLog } from "./movement-log.ts";
import type { Bucket, Unconfirmed } from "./bucket.ts";
import { ambientRemainingMs, HoldfastError, UnexpectedReplyError } from "@holdfast/core";
import type { CallOptions, EventSink } from "@holdfast/core";
import type { InventoryEvent } from "./events.ts";
import { checkCursor, entryStart, startCursor } from "./movement.ts";
import type { Cursor, Movement } from "./movement.ts";
import { commitScript } from "./scripts.ts";
import type { CommitReply } from "./scripts.ts";

/** Options of a consumer. */
export interface ConsumerOptions {
  /** Bucket of a spread inventory. Default 0. */
  readonly bucket?: number | undefined;
  /** Most movements of one page, 1 to 10,000. Default 500. */
  readonly pageMax?: number | undefined;
}

/** What became of a commit. `behind`: another process of this consumer has come further, or, for a reset, has moved it meanwhile. */
export interface CommitResult {
  readonly kind: "committed" | "behind";
  readonly cursor: Cursor;
}

/** What became of a removal. `behind`: another process of this consumer has moved it meanwhile, so it is needed; nothing was done. */
export interface RemoveResult {
  readonly kind: "removed" | "behind";
}

/** About how many movements one script cuts off. */
const trimMax = 1_000;

/** The cursor of "sequence stamp". @throws UnexpectedReplyError when it is none */
function positionOf(call: string, position: string): Cursor {
  const space = position.indexOf(" ");
  if (!/^\d+ /u.test(position)) throw new UnexpectedReplyError(call, "a position", position);
  return { sequence: Number(position.slice(0, space)), stamp: position.slice(space + 1) };
}

/** One consumer of one bucket's log. */
export class MovementConsumer {
  readonly name: string;
  readonly #inventory: string;
  readonly #bucket: Bucket;
  readonly #log: MovementLog;
  readonly #pageMax: number;
  readonly #events: EventSink<InventoryEvent>;
  readonly #assertOpen: () => void;

  /** Made by an inventory. */
  constructor(
    name: string,
    inventory: string,
    bucket: Bucket,
    log: MovementLog,
    pageMax: number,
    events: EventSink<InventoryEvent>,
    assertOpen: () => void,
  ) {
    this.name = name;
    this.#inventory = inventory;
    this.#bucket = bucket;
    this.#log = log;
    this.#pageMax = pageMax;
    this.#events = events;
    this.#assertOpen = assertOpen;
  }

  /**
   * Where it stands; before the first movement when it has never committed.
   * @throws what every call of Redis throws
   */
  async position(): Promise<Cursor> {
    const found = await this.#stored();
    return found === "" ? startCursor : positionOf(this.#call("position").operation, found);
  }

  /**
   * The next movements after its position, at most a page of them. The same ones again until they are committed.
   * @throws ForkedLogError, MovementGapError when the log is not the one its position was read from
   */
  async next(): Promise<readonly Movement[]> {
    return this.#log.page(await this.position(), this.#pageMax);
  }

  /**
   * Stores how far it has come; never moves back. Cuts off what all consumers have behind them, and keeps the last movement consumed.
   * @throws TypeError, RangeError; ForkedLogError, MovementGapError when the log does not have the cursor's movement
   */
  async commit(cursor: Cursor): Promise<CommitResult> {
    return this.#commit(checkCursor("cursor", cursor), "f", "");
  }

  /**
   * Moves it anywhere, also back: after a fork or a gap was repaired. It begins anew at the given cursor, unless another process moves it at
   * the same time.
   * @throws as commit
   */
  async reset(cursor: Cursor): Promise<CommitResult> {
    const anywhere = checkCursor("cursor", cursor);
    return this.#commit(anywhere, "r", await this.#stored());
  }

  /** Forgets it: the log is not kept for it any more. */
  async remove(): Promise<RemoveResult> {
    const { kind } = await this.#commit(startCursor, "d", await this.#stored());
    return { kind: kind === "committed" ? "removed" : "behind" };
  }

  /** Its position as it is stored, empty when it has none. */
  async #stored(): Promise<string> {
    this.#assertOpen();
    const { connection, keys } = this.#bucket;
    const found = await connection.read("HGET", [keys.positions, this.name], this.#call("position"));
    return typeof found === "string" ? found : "";
  }

  async #commit(cursor: Cursor, mode: "f" | "r" | "d", was: string): Promise<CommitResult> {
    this.#assertOpen();
    const { keys, resource } = this.#bucket;
    const { sequence, stamp } = cursor;
    const args = {
      consumer: this.name,
      sequence,
      stamp,
      known: entryStart(cursor),
      mode: mode as string,
      was,
      trimMax,
    };
    const ask = (step: typeof args): Promise<CommitReply & Unconfirmed> =>
      this.#bucket.ran(
        commitScript,
        { stock: keys.stock, log: keys.log, positions: keys.positions },
        step,
        this.#call("commit"),
      );
    const reply = await ask(args);
    if (reply.kind === "committed" && reply.unconfirmed !== undefined) throw reply.unconfirmed;
    // What one script leaves would add up: a reader may come further with one commit than a script cuts off. Whoever moves or removes the
    // consumer meanwhile is not to find that undone.
    const more = { ...args, mode: mode === "d" ? mode : "r", was: mode === "d" ? "" : `${sequence} ${stamp}` };
    // It only frees memory: where it fails, what was asked for is done, and the next commit goes on with it.
    const stopped = (error: unknown): undefined => {
      if (!(error instanceof HoldfastError)) throw error;
      return undefined;
    };
    let last: typeof reply | undefined = reply;
    while (last?.kind === "committed" && last.more && last.unconfirmed === undefined && ambientRemainingMs() > 0)
      last = await ask(more).catch(stopped);
    if (reply.kind === "elsewhere") {
      checkLog(resource, cursor, reply.form, reply.found === "" ? null : reply.found, reply.next);
      throw new TypeError(`cursor must be that of a movement, got ${JSON.stringify(cursor)}`);
    }
    if (reply.kind === "committed" && mode !== "d") {
      this.#events.emit(() => ({
        type: "committed",
        inventory: this.#inventory,
        bucket: this.#bucket.index,
        consumer: this.name,
        sequence,
      }));
    }
    return { kind: reply.kind, cursor: positionOf(this.#call("commit").operation, reply.position) };
  }

  #call(verb: string): CallOptions {
    return this.#bucket.call(verb, this.name, "none");
  }
}
