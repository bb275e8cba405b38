/**
 * Sends schedules and cancellations: those of one tick share a script per shard, `scheduleMany` goes out in large scripts. Each item has
 * its own operation id and its own answer.
 */
import { Coalescer, OutcomeUnknownError } from "@holdfast/core";
import { PendingLimitError, SupersededError } from "./errors.ts";
import { resourceOf, shardOf } from "./keys.ts";
import type { ResolvedTimerOptions } from "./options.ts";
import { decodeAnswer } from "./record.ts";
import type { ScheduleItem, ScheduleResult } from "./schedule-request.ts";
import { cancelScript, scheduleScript } from "./scripts.ts";
import type { ShardAccess } from "./shard-access.ts";

interface CancelItem {
  readonly id: string;
  readonly operationId: string;
}

/** Single calls of one tick that share a script. More was slower: client and server fall into lockstep. */
const coalesceMax = 32;
/** Timers in one script of scheduleMany: about 2 ms of the server's time. */
export const bulkMax = 250;
/** Scripts of scheduleMany on their way at a time, per shard. */
const bulkFlights = 4;

const resultKinds = { s: "scheduled", r: "replaced", f: "firing", k: "kept" } as const;

/** The sending side of one timer. */
export class Scheduling {
  readonly #access: ShardAccess;
  readonly #options: ResolvedTimerOptions<unknown>;
  readonly #schedules: readonly Coalescer<ScheduleItem, string>[];
  readonly #cancels: readonly Coalescer<CancelItem, string>[];

  constructor(access: ShardAccess, options: ResolvedTimerOptions<unknown>) {
    this.#access = access;
    this.#options = options;
    const indexes = Array.from({ length: access.shards }, (_, index) => index);
    this.#schedules = indexes.map((shard) => new Coalescer(coalesceMax, (items) => this.#sendSchedules(shard, items)));
    this.#cancels = indexes.map((shard) => new Coalescer(coalesceMax, (items) => this.#sendCancels(shard, items)));
  }

  /** Sends one item; an item that was refused for a cancellation goes once more, with the better clock that the reply brought. */
  async one(item: ScheduleItem): Promise<ScheduleResult> {
    const coalescer = this.#schedules[shardOf(item.id, this.#access.shards)] as Coalescer<ScheduleItem, string>;
    try {
      const answer = await coalescer.add(item);
      return this.#result(item, answer.startsWith("x") ? await coalescer.add(item) : answer);
    } catch (error) {
      throw named(error, `timer.schedule ${item.id}`, item.operationId);
    }
  }

  /** Sends many items, those of one id in order. */
  async many(items: readonly ScheduleItem[], operationId: string): Promise<ScheduleResult[]> {
    const answers: string[] = Array.from({ length: items.length });
    const { shards, name } = this.#access;
    const byShard = Map.groupBy(items.keys(), (index) => shardOf((items[index] as ScheduleItem).id, shards));
    try {
      await Promise.all([...byShard].map(([shard, indexes]) => this.#sendInBulk(shard, items, indexes, answers)));
    } catch (error) {
      throw named(error, `timer.scheduleMany ${name}`, operationId);
    }
    return items.map((item, index) => this.#result(item, answers[index] as string));
  }

  /** Sends one cancellation; resolves to its word. */
  async cancel(id: string, operationId: string): Promise<string> {
    const coalescer = this.#cancels[shardOf(id, this.#access.shards)] as Coalescer<CancelItem, string>;
    try {
      return await coalescer.add({ id, operationId });
    } catch (error) {
      throw named(error, `timer.cancel ${id}`, operationId);
    }
  }

  #result(item: ScheduleItem, answer: string): ScheduleResult {
    const resource = resourceOf(this.#access.name, item.id);
    if (answer.startsWith("x")) throw new SupersededError(resource);
    if (answer === "p") throw new PendingLimitError(resource, this.#options.pendingMax);
    if (answer === "d") {
      const { delayMaxMs } = this.#options;
      throw new RangeError(
        `at must lie within delayMaxMs (${delayMaxMs}) from now on the server's clock, got ${item.when.slice(2)}`,
      );
    }
    const decoded = decodeAnswer(answer);
    if (decoded === null)
      throw new TypeError(`${resource}: the stored answer ${JSON.stringify(answer)} is not understood`);
    const { kind, dueAtMs, generation } = decoded;
    return { kind: resultKinds[kind as keyof typeof resultKinds], dueAtMs, generation };
  }

  async #sendInBulk(
    shard: number,
    items: readonly ScheduleItem[],
    indexes: readonly number[],
    answers: string[],
  ): Promise<void> {
    const chunks = chunksOf(items, indexes);
    let next = 0;
    const flight = async (): Promise<void> => {
      while (next < chunks.length) {
        const chunk = chunks[next++] as readonly number[];
        const part = chunk.map((index) => items[index] as ScheduleItem);
        const got = await this.#sendSchedules(shard, part);
        for (const [place, index] of chunk.entries()) answers[index] = got[place] as string;
        const refused = chunk.filter((index) => answers[index]?.startsWith("x"));
        if (refused.length === 0) continue;
        const again = await this.#sendSchedules(
          shard,
          refused.map((index) => items[index] as ScheduleItem),
        );
        for (const [place, index] of refused.entries()) answers[index] = again[place] as string;
      }
    };
    // An id that comes again must not overtake its first.
    const repeats = chunks.length > Math.ceil(indexes.length / bulkMax);
    await Promise.all(Array.from({ length: repeats ? 1 : bulkFlights }, flight));
  }

  async #sendSchedules(shard: number, items: readonly ScheduleItem[]): Promise<readonly string[]> {
    return inOrderOnce(items, (part) =>
      this.#access.run(shard, async (open, timeoutMs) => {
        const { keys, layout } = open;
        const { connection, name } = this.#access;
        const { delayMaxMs, shardPendingMax, durability } = this.#options;
        const list: string[] = [];
        let askedAtMs = Infinity;
        let knownUs = Infinity;
        for (const item of part) {
          list.push(item.id, item.operationId, item.when, item.payloadText);
          if (item.askedAtMs < askedAtMs) askedAtMs = item.askedAtMs;
          const { sighting } = item;
          knownUs = sighting?.layout === layout ? Math.min(knownUs, sighting.us) : 0;
        }
        const { operationId } = part[0] as ScheduleItem;
        const reply = await connection.run(
          scheduleScript,
          keys,
          { layout, knownUs, publish: connection.publishCommand, pendingMax: shardPendingMax, delayMaxMs, items: list },
          { operation: `timer.schedule ${name}`, operationId, timeoutMs, askedAtMs, durability },
        );
        if (reply !== undefined) this.#access.answered(open, reply.nowUs);
        return reply?.answers;
      }),
    );
  }

  async #sendCancels(shard: number, items: readonly CancelItem[]): Promise<readonly string[]> {
    return inOrderOnce(items, (part) =>
      this.#access.run(shard, async (open, timeoutMs) => {
        const { keys, layout } = open;
        const { connection, name } = this.#access;
        const { operationId } = part[0] as CancelItem;
        const reply = await connection.run(
          cancelScript,
          keys,
          { layout, items: part.flatMap((item) => [item.id, item.operationId]) },
          { operation: `timer.cancel ${name}`, operationId, timeoutMs, durability: this.#options.durability },
        );
        if (reply !== undefined) this.#access.answered(open, reply.nowUs);
        return reply?.answers;
      }),
    );
  }
}

/** Cuts the items of one shard into scripts of bounded size in which no id comes twice. */
function chunksOf(items: readonly ScheduleItem[], indexes: readonly number[]): readonly (readonly number[])[] {
  const chunks: number[][] = [];
  let ids = new Set<string>();
  for (const index of indexes) {
    const { id } = items[index] as ScheduleItem;
    let chunk = chunks.at(-1);
    if (chunk === undefined || chunk.length === bulkMax || ids.has(id)) {
      chunk = [];
      chunks.push(chunk);
      ids = new Set();
    }
    chunk.push(index);
    ids.add(id);
  }
  return chunks;
}

/** Sends items so that no script sees an id twice, each part after the one before it. */
async function inOrderOnce<Item extends { readonly id: string }>(
  items: readonly Item[],
  send: (part: readonly Item[]) => Promise<readonly string[]>,
): Promise<readonly string[]> {
  const ids = new Set<string>();
  for (const [index, { id }] of items.entries()) {
    if (ids.has(id)) {
      const first = await send(items.slice(0, index));
      return [...first, ...(await inOrderOnce(items.slice(index), send))];
    }
    ids.add(id);
  }
  return send(items);
}

/** A lost answer of a shared request, as the caller of one part of it needs it: under its own operation id. */
export function named(error: unknown, operation: string, operationId: string): unknown {
  if (!(error instanceof OutcomeUnknownError) || error.operationId === operationId) return error;
  return new OutcomeUnknownError(operation, operationId, { cause: error, why: "the request that carried it was lost" });
}
