/**
 * Sends schedules and cancellations: those of one tick share a script per shard, `scheduleMany` goes out in large scripts. Each item has
 * its own operation id and its own answer.
 */
import { Coalescer, nextStartMs, underOwnId, UnexpectedReplyError } from "@holdfast/core";
import type { NotReplicatedError } from "@holdfast/core";
import { CallParts } from "./call-parts.ts";
import { chunksOf } from "./chunks.ts";
import type { Chunk } from "./chunks.ts";
import { PendingLimitError, SupersededError } from "./errors.ts";
import { resourceOf, shardOf } from "./keys.ts";
import type { ResolvedTimerOptions } from "./options.ts";
import { decodeAnswer, RecordReader } from "./record.ts";
import type { Answer } from "./record.ts";
import { runsOf } from "./runs.ts";
import type { ScheduleItem, ScheduleResult } from "./schedule-request.ts";
import { cancelScript, scheduleScript } from "./scripts.ts";
import type { OpenShard, ShardAccess } from "./shard-access.ts";
import { inOrderOnce } from "./turns.ts";
import { unconfirmed } from "./unconfirmed.ts";

interface CancelItem {
  readonly id: string;
  readonly operationId: string;
}

/** Single calls of one tick that share a script. More was slower: client and server fall into lockstep. */
const coalesceMax = 32;
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
    const shard = shardOf(item.id, this.#access.shards);
    const coalescer = this.#schedules[shard] as Coalescer<ScheduleItem, string>;
    // Not when it was asked for: its payload may have been looked at since.
    const startMs = this.#options.clock.monotonicMs();
    try {
      const answer = await coalescer.add(item);
      const last = answer.startsWith("x") ? await this.#again(shard, item, startMs) : answer;
      return this.#result(item, last, decodeAnswer(last));
    } catch (error) {
      throw underOwnId(error, `timer.schedule ${item.id}`, item.operationId);
    }
  }

  /**
   * Sends many items, those of one id in order.
   * @param isNamed whether the item with an index has an operation of its own; the others share that of the call
   */
  async many(
    items: readonly ScheduleItem[],
    operationId: string,
    isNamed: (index: number) => boolean,
  ): Promise<ScheduleResult[]> {
    const results: ScheduleResult[] = Array.from({ length: items.length });
    const { shards, name } = this.#access;
    const byShard = Array.from({ length: shards }, (): number[] => []);
    items.forEach(({ id }, index) => (byShard[shardOf(id, shards)] as number[]).push(index));
    const parts = new CallParts({ operation: `timer.scheduleMany ${name}`, operationId });
    const sendShard = async (indexes: readonly number[], shard: number): Promise<void> => {
      const flights = new Set<Promise<unknown>>();
      // What is looked at while others are on their way costs no time of the server's.
      for (const chunk of chunksOf(items, indexes, isNamed)) {
        if (chunk.repeats) await Promise.all(flights);
        else if (flights.size === bulkFlights) await Promise.race(flights);
        if (parts.failed) {
          parts.cutShort();
          break;
        }
        const flight: Promise<unknown> = this.#sendChunk(shard, chunk, results, parts)
          .catch((error: unknown) => parts.fail(error))
          .finally(() => flights.delete(flight));
        flights.add(flight);
      }
      await Promise.all(flights);
    };
    await Promise.all(byShard.map(sendShard));
    // Only now, when nothing is under way any more.
    if (parts.failed) throw parts.failure;
    return results;
  }

  /** Sends one cancellation; resolves to its word. */
  async cancel(id: string, operationId: string): Promise<string> {
    const coalescer = this.#cancels[shardOf(id, this.#access.shards)] as Coalescer<CancelItem, string>;
    try {
      return await coalescer.add({ id, operationId });
    } catch (error) {
      throw underOwnId(error, `timer.cancel ${id}`, operationId);
    }
  }

  #result(item: ScheduleItem, answer: string, decoded: Answer | null): ScheduleResult {
    if (decoded === null) throw this.#refusal(item, answer);
    const { kind, dueAtMs, generation } = decoded;
    return { kind: resultKinds[kind as keyof typeof resultKinds], dueAtMs, generation };
  }

  #refusal(item: ScheduleItem, answer: string): Error {
    const resource = resourceOf(this.#access.name, item.id);
    if (answer.startsWith("x")) return new SupersededError(resource);
    if (answer === "p") return new PendingLimitError(resource, this.#options.pendingMax);
    if (answer === "d") {
      const { delayMaxMs } = this.#options;
      return new RangeError(
        `at must lie within delayMaxMs (${delayMaxMs}) from now on the server's clock, got ${item.when.slice(2)}`,
      );
    }
    const expected = answer === "u" ? "a timer of this version under its id" : "an answer of this version";
    return new UnexpectedReplyError(`timer.schedule ${item.id}`, expected, answer === "u" ? "another text" : answer);
  }

  /** Sends one script of scheduleMany; what was refused for a cancellation goes once more, as in `one`. */
  async #sendChunk(
    shard: number,
    { items, indexes }: Chunk,
    results: ScheduleResult[],
    parts: CallParts,
  ): Promise<void> {
    let answers = await this.#sendUnique(shard, items);
    if (answers.some(hasEffect)) parts.begin();
    const refused = items.filter((_, place) => isOvertaken(answers[place]));
    if (refused.length > 0) {
      const later = await this.#sendUnique(shard, refused);
      if (later.some(hasEffect)) parts.begin();
      const again = later.values();
      answers = answers.map((answer) => (isOvertaken(answer) ? (again.next().value as string | Error) : answer));
    }
    const unheard = answers.find((answer) => typeof answer !== "string");
    if (unheard !== undefined) parts.fail(unheard);
    const reader = new RecordReader();
    for (let place = 0; place < items.length; place += 1) {
      const answer = answers[place] as string | Error;
      if (typeof answer !== "string") continue;
      results[indexes[place] as number] = this.#result(items[place] as ScheduleItem, answer, reader.readAnswer(answer));
    }
  }

  /** Sends an item alone, in what is left of the time of its call. @param startMs when that began */
  async #again(shard: number, item: ScheduleItem, startMs: number): Promise<string> {
    const [answer] = await this.#sendUnique(shard, [item], nextStartMs(startMs, this.#options));
    if (answer instanceof Error) throw answer;
    return answer as string;
  }

  #sendSchedules(shard: number, items: readonly ScheduleItem[]): Promise<readonly (string | Error)[]> {
    return inOrderOnce(items, this.#options, (part, startMs) => this.#sendUnique(shard, part, startMs));
  }

  /** Sends items of which no two have one id. @param startMs as for `ShardAccess.run` */
  #sendUnique(shard: number, items: readonly ScheduleItem[], startMs?: number): Promise<readonly (string | Error)[]> {
    let askedAtMs = Infinity;
    for (const item of items) if (item.askedAtMs < askedAtMs) askedAtMs = item.askedAtMs;
    const list = inRuns(items);
    const { operationId } = items[0] as ScheduleItem;
    const { connection, name } = this.#access;
    const { delayMaxMs, shardPendingMax, durability } = this.#options;
    const schedule = async (open: OpenShard, timeoutMs: number): Promise<readonly (string | Error)[] | undefined> => {
      const { keys, layout } = open;
      const args = {
        layout,
        knownUs: knownUsOf(items, layout),
        publish: connection.publishCommand,
        pendingMax: shardPendingMax,
        delayMaxMs,
        items: list,
      };
      const call = { operation: `timer.schedule ${name}`, operationId, timeoutMs, askedAtMs, durability };
      const reply = await connection.runJudged(scheduleScript, keys, args, call, (judged, error) => {
        // A refusal is the answer, since nothing is noted of it.
        const told = (answer: string): string | Error => (isRefusal(answer) ? answer : error);
        return judged && { nowUs: judged.nowUs, answers: judged.answers.map(told) };
      });
      if (reply !== undefined) this.#access.answered(open, reply.nowUs);
      return reply?.answers;
    };
    return this.#access.run(shard, schedule, false, startMs);
  }

  #sendCancels(shard: number, items: readonly CancelItem[]): Promise<readonly (string | Error)[]> {
    return inOrderOnce(items, this.#options, (part, startMs) => this.#cancelUnique(shard, part, startMs));
  }

  /** Cancels items of which no two have one id. @param startMs as for `ShardAccess.run` */
  #cancelUnique(
    shard: number,
    items: readonly CancelItem[],
    startMs: number | undefined,
  ): Promise<readonly (string | Error)[]> {
    const { connection, name } = this.#access;
    const cancel = async (open: OpenShard, timeoutMs: number): Promise<readonly (string | Error)[] | undefined> => {
      const { keys, layout } = open;
      const { operationId } = items[0] as CancelItem;
      const reply = await connection.runJudged(
        cancelScript,
        keys,
        { layout, items: items.flatMap((item) => [item.id, item.operationId]) },
        { operation: `timer.cancel ${name}`, operationId, timeoutMs, durability: this.#options.durability },
        (judged, error) => {
          const told = (answer: string, index: number): Error => cancelUnconfirmed(answer, error, items[index]);
          return judged && { nowUs: judged.nowUs, answers: judged.answers.map(told) };
        },
      );
      if (reply !== undefined) this.#access.answered(open, reply.nowUs);
      return reply?.answers;
    };
    return this.#access.run(shard, cancel, false, startMs);
  }
}

/** Whether an item has set something by its answer; one that is kept has not. */
function hasEffect(answer: string | Error): boolean {
  return typeof answer === "string" && /^[srf]/u.test(answer);
}

/** Whether nothing was done for an item, and nothing is noted of that. */
function isRefusal(answer: string): boolean {
  return /^[xpdu]/u.test(answer);
}

/** Whether an item is refused for a cancellation. */
function isOvertaken(answer: string | Error | undefined): boolean {
  return typeof answer === "string" && answer.startsWith("x");
}

/** A delivery that may be running is not taken back. */
function cancelUnconfirmed(answer: string, error: NotReplicatedError, item: CancelItem | undefined): Error {
  const { id, operationId } = item as CancelItem;
  return unconfirmed(answer, ["cancelled", "absent"], error, { operation: `timer.cancel ${id}`, operationId });
}

/** As the scripts store and compare it. */
export function bodyOf({ operationId, payloadText }: ScheduleItem): string {
  return `${operationId} ${payloadText}`;
}

/** Items as schedule.lua takes them: in runs with the same `when`. */
function inRuns(items: readonly ScheduleItem[]): string[] {
  const list: string[] = [];
  for (const [when, run] of runsOf(items, (item) => item.when)) {
    list.push(when, String(run.length));
    for (const item of run) list.push(item.id, bodyOf(item));
  }
  return list;
}

/** A server time that had been seen when each of the items was asked for, or 0. */
function knownUsOf(items: readonly ScheduleItem[], layout: string): number {
  let knownUs = Infinity;
  for (const { sighting } of items) {
    if (sighting?.layout !== layout) return 0;
    if (sighting.us < knownUs) knownUs = sighting.us;
  }
  return knownUs;
}
