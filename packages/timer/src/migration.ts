/**
 * Moves timers to another number of shards without losing or doubling any (T11). Every shard is drained first: nothing is leased, changed
 * or added while running firings end. Then it is sealed, and its timers are copied to where they belong and removed where they were, with what
 * is remembered of them, so that a repeat finds its answer (K1). No copy can fire before all shards have the new layout. Whoever dies on the
 * way is followed by the next caller: each step may be repeated, and two may do it at once.
 */
import { ambientRemainingMs, cameLate, saysNoEffect, sleep } from "@holdfast/core";
import type { CallOptions } from "@holdfast/core";
import { inPart } from "./call-parts.ts";
import { ShardsMismatchError, ShardsMovingError } from "./errors.ts";
import { shardKeys, shardOf } from "./keys.ts";
import type { ShardKeys } from "./keys.ts";
import type { ResolvedTimerOptions } from "./options.ts";
import {
  discardScript,
  forgetScript,
  moveScript,
  packScript,
  recollectScript,
  remindScript,
  storeScript,
} from "./move-scripts.ts";
import type { MoveReply } from "./move-scripts.ts";
import { reapScript } from "./scripts.ts";
import type { ShardAccess } from "./shard-access.ts";

/** What a migration came to. */
export interface MigrationReport {
  readonly from: number;
  readonly to: number;
  /** Timers and dead letters that changed their shard. */
  readonly moved: number;
}

const scanCount = 200;
const lookAgainMs = 50;
const advice = "call migrateShards() again, since nothing fires before it has come to its end";
/** Attempts of timers whose worker died meanwhile are judged later, by a worker. */
const attemptsMax = 9_999;

type Step = "look" | "drain" | "seal" | "finish";

/** One move from one number of shards to another. */
export class Migration {
  readonly #access: ShardAccess;
  readonly #options: ResolvedTimerOptions<unknown>;
  readonly #from: number;
  readonly #to: number;
  readonly #keys: readonly ShardKeys[];
  readonly #layouts: string[] = [];
  #isBegun = false;
  #floor = "0";
  #moved = 0;

  constructor(access: ShardAccess, options: ResolvedTimerOptions<unknown>, from: number) {
    this.#access = access;
    this.#options = options;
    this.#from = from;
    this.#to = access.shards;
    const count = Math.max(this.#from, this.#to);
    this.#keys = Array.from({ length: count }, (_, shard) => shardKeys(options.prefix, access.name, shard));
  }

  /**
   * Carries it through.
   * @param waitMs longest wait for running firings to end, in milliseconds; an ambient deadline shortens it
   * @param signal ends that wait
   */
  async run(waitMs: number, signal?: AbortSignal): Promise<MigrationReport> {
    try {
      return await this.#run(waitMs, signal);
    } catch (error) {
      const isReason = signal?.aborted === true && error === signal.reason;
      const call = { operation: this.#operation, operationId: this.#options.random.id(), advice };
      // From the first drain on nothing fires, and nobody is to hear that nothing was done, or all of it.
      const isBegun = this.#isBegun || !saysNoEffect(error);
      throw isReason || !isBegun ? error : inPart(error, call);
    }
  }

  async #run(waitMs: number, signal?: AbortSignal): Promise<MigrationReport> {
    const { clock } = this.#options;
    const giveUpAtMs = clock.monotonicMs() + Math.min(waitMs, ambientRemainingMs());
    const shards = [...this.#keys.keys()];
    for (const shard of shards) await this.#step(shard, "look");
    for (const shard of shards.slice(0, this.#from)) {
      await this.#step(shard, "drain");
      this.#isBegun = true;
    }
    // Again where others came further with one of the shards meanwhile: what they have sealed anew since is carried over before it is finished.
    do await this.#seal(shards, giveUpAtMs, signal);
    while (!(await this.#carryAll(shards)));
    // Shard 0 last: as long as it is sealed, whoever comes knows that something is left to do.
    for (const shard of shards.toReversed()) {
      const { kind } = await this.#step(shard, "finish");
      // A failover has taken back that it was sealed, or lost it: what was not carried over yet is seen by the next call.
      if (kind !== "finished") throw this.#stillRunning();
    }
    return { from: this.#from, to: this.#to, moved: this.#moved };
  }

  async #seal(shards: readonly number[], giveUpAtMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { clock } = this.#options;
    for (const shard of shards) {
      for (
        let reply = await this.#step(shard, "seal");
        reply.kind === "draining";
        reply = await this.#lookAgain(shard, giveUpAtMs)
      ) {
        if (clock.monotonicMs() > giveUpAtMs) throw this.#stillRunning();
        await this.#reap(shard, reply.layout, giveUpAtMs, signal);
        await sleep(clock, lookAgainMs, signal);
      }
    }
  }

  /** Of all shards: a failover may have taken back on one beyond the number so far that it was given up. False when one has another layout by now. */
  async #carryAll(shards: readonly number[]): Promise<boolean> {
    for (const shard of shards) {
      const { due, data, dead, deadData } = this.#keys[shard] as ShardKeys;
      const isCarried =
        (await this.#carry(shard, "due", due, data)) &&
        (await this.#carry(shard, "dead", dead, deadData)) &&
        // What is known where it is carried to is not replaced, so the younger goes first.
        (await this.#carryMemory(shard, "young")) &&
        (await this.#carryMemory(shard, "old"));
      if (!isCarried) return false;
    }
    return true;
  }

  /** What accompanies each request. A copy counts when replicas have it, too: where it came from it is removed next. */
  get #call(): CallOptions {
    const { commandTimeoutMs: timeoutMs, durability, random } = this.#options;
    return { operation: this.#operation, operationId: random.id(), timeoutMs, durability };
  }

  get #operation(): string {
    return `timer.migrateShards ${this.#access.name}`;
  }

  /** A request under an ambient deadline ends with it: when that is noticed first, it is still running firings that were waited for. */
  async #lookAgain(shard: number, giveUpAtMs: number): Promise<MoveReply> {
    try {
      return await this.#step(shard, "seal");
    } catch (error) {
      if (!cameLate(error) || this.#options.clock.monotonicMs() < giveUpAtMs) throw error;
      throw this.#stillRunning(error);
    }
  }

  #stillRunning(cause?: unknown): ShardsMovingError {
    return new ShardsMovingError(this.#access.name, this.#to, { cause, effect: "possible" });
  }

  async #step(shard: number, step: Step): Promise<MoveReply> {
    const { connection, name } = this.#access;
    const unused = shard < this.#from ? "0" : "1";
    const known = this.#layouts[shard] ?? "";
    const reply = await connection.run(
      moveScript,
      this.#keys[shard] as ShardKeys,
      { step, from: this.#from, to: this.#to, floor: this.#floor, unused, known },
      // A look leaves nothing that replicas could have.
      step === "look" ? { ...this.#call, durability: undefined } : this.#call,
    );
    if (reply.kind === "other") {
      const stored = Number.parseInt(reply.layout.split(":")[1] ?? "", 10);
      throw new ShardsMismatchError(name, this.#to, stored);
    }
    this.#layouts[shard] = reply.layout;
    // Also of a shard that a caller who died after it had finished: what this one knows of the others' floors stands there only (K5).
    if ("floor" in reply && reply.floor > this.#floor) this.#floor = reply.floor;
    return reply;
  }

  /**
   * Leases of vanished workers end here, since no worker claims any more. What is due before them is not claimed either, so all that is due
   * is seen, however much it is.
   */
  async #reap(shard: number, layout: string, giveUpAtMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { connection } = this.#access;
    const { clock } = this.#options;
    let passedUs = "0";
    do {
      const reply = await connection.run(
        reapScript,
        this.#keys[shard] as ShardKeys,
        { layout, limit: scanCount, attemptsMax, leaseUs: 50_000, error: "", passedUs },
        this.#call,
      );
      if (reply === undefined) return;
      ({ passedUs } = reply);
      signal?.throwIfAborted();
    } while (passedUs !== "0" && clock.monotonicMs() < giveUpAtMs);
  }

  /** Copies what belongs elsewhere, then removes it. False when a shard is not as this caller knows it any more. */
  async #carry(shard: number, part: "due" | "dead", index: string, bodies: string): Promise<boolean> {
    const { connection } = this.#access;
    const { notes, later, state } = this.#keys[shard] as ShardKeys;
    const layout = this.#layouts[shard] as string;
    let cursor = "0";
    do {
      const packed = await connection.run(
        packScript,
        { index, bodies, notes, later, state },
        { layout, cursor, count: scanCount },
        this.#call,
      );
      if (packed === undefined) return false;
      cursor = packed.cursor;
      const leaving = new Map<number, { readonly ids: string[]; readonly items: string[] }>();
      for (let at = 0; at < packed.timers.length; at += 2) {
        const id = packed.timers[at] as string;
        const target = shardOf(id, this.#to);
        if (target === shard) continue;
        const group = leaving.get(target) ?? { ids: [], items: [] };
        leaving.set(target, group);
        const place = at / 2;
        const own = part === "due";
        group.ids.push(id);
        group.items.push(
          id,
          packed.timers[at + 1] as string,
          packed.bodies[place] as string,
          own ? (packed.notes[place] as string) : "",
          own ? (packed.followings[place] as string) : "",
        );
      }
      for (const [target, { ids, items }] of leaving) {
        const to = this.#keys[target] as ShardKeys;
        const targetIndex =
          part === "due" ? { index: to.due, bodies: to.data } : { index: to.dead, bodies: to.deadData };
        const stored = await connection.run(
          storeScript,
          { ...targetIndex, notes: to.notes, later: to.later, state: to.state },
          { layout: this.#layouts[target] as string, part, items },
          this.#call,
        );
        if (stored === undefined) return false;
        const from = { index, bodies, notes, later, state };
        await connection.run(discardScript, from, { layout, part, items: ids }, this.#call);
        this.#moved += ids.length;
      }
    } while (cursor !== "0");
    return true;
  }

  /** As `carry`, of what the shard remembers of ids; the last claims of workers end with its layout. */
  async #carryMemory(shard: number, half: "young" | "old"): Promise<boolean> {
    const { connection } = this.#access;
    const from = this.#keys[shard] as ShardKeys;
    const layout = this.#layouts[shard] as string;
    let cursor = "0";
    do {
      const part = await connection.run(recollectScript, from, { layout, half, cursor, count: scanCount }, this.#call);
      if (part === undefined) return false;
      cursor = part.cursor;
      const leaving = new Map<number, string[]>();
      for (let at = 0; at < part.records.length; at += 2) {
        const [field, value] = [part.records[at] as string, part.records[at + 1] as string];
        const id = idInMemory(field);
        const target = id === null ? shard : shardOf(id, this.#to);
        if (target === shard) continue;
        const items = leaving.get(target) ?? [];
        leaving.set(target, items);
        items.push(field, value);
      }
      for (const [target, items] of leaving) {
        const to = { layout: this.#layouts[target] as string, leastUs: part.keepUs, items };
        const reminded = await connection.run(remindScript, this.#keys[target] as ShardKeys, to, this.#call);
        if (reminded === undefined) return false;
        const fields = items.filter((_, index) => index % 2 === 0);
        await connection.run(forgetScript, from, { layout, items: fields }, this.#call);
      }
    } while (cursor !== "0");
    return true;
  }
}

/** The id of a field of memory.lua: behind its kind, or behind an operation and a space; null for the request of a lane. */
function idInMemory(field: string): string | null {
  if (field.startsWith("w")) return null;
  return field.startsWith("i") || field.startsWith("x") ? field.slice(1) : field.slice(field.indexOf(" ") + 1);
}
