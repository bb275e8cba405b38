/**
 * Moves timers to another number of shards without losing or doubling any (T11). Every shard is drained first: nothing is leased, changed
 * or added while running firings end. Then it is sealed, and its timers are copied to where they belong and removed where they were; no
 * copy can fire before all shards have the new layout. Whoever dies on the way is followed by the next caller: each step may be repeated,
 * and two may do it at once.
 */
import { ambientRemainingMs, cameLate, sleep } from "@holdfast/core";
import { ShardsMismatchError, ShardsMovingError } from "./errors.ts";
import { shardKeys, shardOf } from "./keys.ts";
import type { ShardKeys } from "./keys.ts";
import type { ResolvedTimerOptions } from "./options.ts";
import { discardScript, moveScript, packScript, storeScript } from "./move-scripts.ts";
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
/** Attempts of timers whose worker died meanwhile are judged later, by a worker. */
const attemptsMax = 9_999;

type Step = "drain" | "seal" | "finish";

/** One move from one number of shards to another. */
export class Migration {
  readonly #access: ShardAccess;
  readonly #options: ResolvedTimerOptions<unknown>;
  readonly #from: number;
  readonly #to: number;
  readonly #keys: readonly ShardKeys[];
  readonly #layouts: string[] = [];
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
   */
  async run(waitMs: number): Promise<MigrationReport> {
    const { clock } = this.#options;
    const giveUpAtMs = clock.monotonicMs() + Math.min(waitMs, ambientRemainingMs());
    for (const shard of this.#keys.keys()) await this.#step(shard, "drain");
    for (const shard of this.#keys.keys()) {
      for (
        let reply = await this.#step(shard, "seal");
        reply.kind === "draining";
        reply = await this.#lookAgain(shard, giveUpAtMs)
      ) {
        if (clock.monotonicMs() > giveUpAtMs) throw new ShardsMovingError(this.#access.name, this.#to);
        await this.#reap(shard, reply.layout);
        await sleep(clock, lookAgainMs);
      }
    }
    for (let shard = 0; shard < this.#from; shard += 1) {
      const { due, data, dead, deadData } = this.#keys[shard] as ShardKeys;
      await this.#carry(shard, "due", due, data);
      await this.#carry(shard, "dead", dead, deadData);
    }
    // Shard 0 last: as long as it is sealed, whoever comes knows that something is left to do.
    for (const shard of [...this.#keys.keys()].toReversed()) await this.#step(shard, "finish");
    return { from: this.#from, to: this.#to, moved: this.#moved };
  }

  /** A request under an ambient deadline ends with it: when that is noticed first, it is still running firings that were waited for. */
  async #lookAgain(shard: number, giveUpAtMs: number): Promise<MoveReply> {
    try {
      return await this.#step(shard, "seal");
    } catch (error) {
      if (!cameLate(error) || this.#options.clock.monotonicMs() < giveUpAtMs) throw error;
      throw new ShardsMovingError(this.#access.name, this.#to, { cause: error });
    }
  }

  async #step(shard: number, step: Step): Promise<MoveReply> {
    const { connection, name } = this.#access;
    const { commandTimeoutMs: timeoutMs, random } = this.#options;
    const reply = await connection.run(
      moveScript,
      this.#keys[shard] as ShardKeys,
      { step, from: this.#from, to: this.#to, floor: this.#floor },
      { operation: `timer.migrateShards ${name}`, operationId: random.id(), timeoutMs },
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

  /** Leases of vanished workers end here, since no worker claims any more. */
  async #reap(shard: number, layout: string): Promise<void> {
    const { connection, name } = this.#access;
    const { commandTimeoutMs: timeoutMs, random } = this.#options;
    await connection.run(
      reapScript,
      this.#keys[shard] as ShardKeys,
      { layout, limit: scanCount, attemptsMax, leaseUs: 50_000, error: "" },
      { operation: `timer.migrateShards ${name}`, operationId: random.id(), timeoutMs },
    );
  }

  /** Copies what belongs elsewhere, then removes it; a shard that another caller has finished meanwhile answers undefined. */
  async #carry(shard: number, part: "due" | "dead", index: string, bodies: string): Promise<void> {
    const { connection, name } = this.#access;
    const { commandTimeoutMs: timeoutMs, random } = this.#options;
    const operation = `timer.migrateShards ${name}`;
    const { notes, later, state } = this.#keys[shard] as ShardKeys;
    const layout = this.#layouts[shard] as string;
    let cursor = "0";
    do {
      const packed = await connection.run(
        packScript,
        { index, bodies, notes, later, state },
        { layout, cursor, count: scanCount },
        { operation, timeoutMs },
      );
      if (packed === undefined) return;
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
          { operation, operationId: random.id(), timeoutMs },
        );
        if (stored === undefined) return;
        await connection.run(
          discardScript,
          { index, bodies, notes, later, state },
          { layout, items: ids },
          { operation, operationId: random.id(), timeoutMs },
        );
        this.#moved += ids.length;
      }
    } while (cursor !== "0");
  }
}
