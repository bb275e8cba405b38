/**
 * Timers that outlive the process that set them: a deadline and a payload in Redis, delivered at least once by any worker.
 *
 * This file is the client's side: schedule, cancel, look. Workers are in worker.ts.
 */
import { callback, Coalescer, ClosedError, Connection, EventSink, OutcomeUnknownError, text } from "@holdfast/core";
import type { RedisLike } from "@holdfast/core";
import { PendingLimitError, SupersededError } from "./errors.ts";
import { timerChannel } from "./events.ts";
import type { TimerEvent } from "./events.ts";
import { resourceOf, shardOf } from "./keys.ts";
import { resolveTimerOptions, resolveWorkerOptions } from "./options.ts";
import type { ResolvedTimerOptions, TimerOptions, WorkerOptions } from "./options.ts";
import { PayloadCodec } from "./payload.ts";
import { decodeAnswer } from "./record.ts";
import { checkOperationId, whenOf } from "./schedule-request.ts";
import type { ScheduleItem, ScheduleRequest, ScheduleResult } from "./schedule-request.ts";
import { cancelScript, scheduleScript } from "./scripts.ts";
import { ShardAccess } from "./shard-access.ts";
import { TimerWorker } from "./worker.ts";
import type { FiringHandler } from "./worker.ts";

/** What became of a cancel. */
export interface CancelResult {
  /** `cancelled`: it will not fire. `firing`: a delivery may be running; it is the last. `absent`: there was none. */
  readonly kind: "cancelled" | "firing" | "absent";
}

/** What accompanies a call that changes something. */
export interface OperationOptions {
  /** Names the call; give it again to learn the outcome of a call whose answer was lost. */
  readonly operationId?: string | undefined;
}

interface CancelItem {
  readonly id: string;
  readonly operationId: string;
}

/** Single calls of one tick that share a script. More was slower: client and server fall into lockstep. */
const coalesceMax = 32;
/** Timers in one script of scheduleMany: about 2 ms of the server's time. */
const bulkMax = 250;
/** Scripts of scheduleMany on their way at a time. */
const bulkFlights = 4;

const resultKinds = { s: "scheduled", r: "replaced", f: "firing", k: "kept" } as const;

/** Timers of one name. */
export class DurableTimer<Payload = undefined> implements AsyncDisposable {
  readonly name: string;
  readonly #options: ResolvedTimerOptions<Payload>;
  readonly #access: ShardAccess;
  readonly #events: EventSink<TimerEvent>;
  readonly #codec: PayloadCodec<Payload>;
  readonly #schedules: readonly Coalescer<ScheduleItem, string>[];
  readonly #cancels: readonly Coalescer<CancelItem, string>[];
  readonly #workers = new Set<TimerWorker<Payload>>();
  #closed = false;

  /**
   * Makes a client; talks to Redis with the first call.
   * @param redis an ioredis client without keyPrefix; never closed by the timer
   * @param name the set of timers; 1 to 256 bytes
   * @throws TypeError, RangeError naming the field, the allowed range and the value got
   */
  constructor(redis: RedisLike, name: string, options: TimerOptions<Payload> = {}) {
    this.name = text("name", name);
    this.#options = resolveTimerOptions(options);
    const { clock, onEvent, shards, payload, payloadBytesMax } = this.#options;
    this.#events = new EventSink(timerChannel, onEvent);
    this.#codec = new PayloadCodec(payload, payloadBytesMax);
    this.#access = new ShardAccess(Connection.of(redis, clock), name, this.#options, (shard) =>
      this.#events.emit(() => ({ type: "founded", timer: name, shard })),
    );
    const indexes = Array.from({ length: shards }, (_, index) => index);
    this.#schedules = indexes.map((shard) => new Coalescer(coalesceMax, (items) => this.#sendSchedules(shard, items)));
    this.#cancels = indexes.map((shard) => new Coalescer(coalesceMax, (items) => this.#sendCancels(shard, items)));
  }

  /**
   * Sets a timer; when one with this id is pending, `ifExists` decides.
   * @returns what stands now: its deadline and generation
   * @throws TypeError, RangeError for bad input, PayloadError, PendingLimitError, SupersededError, ShardsMismatchError and what every
   *   call of Redis throws (RedisUnavailableError, OutcomeUnknownError, …)
   */
  async schedule(request: ScheduleRequest<Payload>): Promise<ScheduleResult> {
    const item = this.#item(request);
    if (this.#codec.checks) await this.#codec.validate(this.#resource(item.id), request.payload);
    const coalescer = this.#schedules[shardOf(item.id, this.#access.shards)] as Coalescer<ScheduleItem, string>;
    try {
      return this.#result(item, await this.#placed(item, (again) => coalescer.add(again)));
    } catch (error) {
      throw named(error, "timer.schedule", item.id, item.operationId);
    }
  }

  /**
   * Sets many timers with few requests, in order; the same id may come more than once.
   * @returns one result per request, in order
   * @throws as schedule. When one request is refused or its outcome is unknown, others may have been carried out: repeat the whole call,
   *   with the same `operationId` to get the first answers.
   */
  async scheduleMany(
    requests: readonly ScheduleRequest<Payload>[],
    options: OperationOptions = {},
  ): Promise<ScheduleResult[]> {
    const { clock, random } = this.#options;
    const askedAtMs = clock.monotonicMs();
    const operationId = options.operationId === undefined ? random.id() : checkOperationId(options.operationId);
    const seen = new Map<string, number>();
    const items = requests.map((request) => {
      const times = seen.get(request.id) ?? 0;
      seen.set(request.id, times + 1);
      return this.#item(request, askedAtMs, times === 0 ? operationId : `${operationId}.${times}`);
    });
    if (this.#codec.checks) {
      await Promise.all(
        items.map((item, index) => this.#codec.validate(this.#resource(item.id), requests[index]?.payload)),
      );
    }
    const answers: string[] = Array.from({ length: items.length });
    const byShard = Map.groupBy(items.keys(), (index) =>
      shardOf((items[index] as ScheduleItem).id, this.#access.shards),
    );
    try {
      await Promise.all([...byShard].map(([shard, indexes]) => this.#sendInBulk(shard, items, indexes, answers)));
    } catch (error) {
      throw named(error, "timer.scheduleMany", this.name, operationId);
    }
    return items.map((item, index) => this.#result(item, answers[index] as string));
  }

  /**
   * Takes a timer back.
   * @throws TypeError, RangeError, and what every call of Redis throws
   */
  async cancel(id: string, options: OperationOptions = {}): Promise<CancelResult> {
    this.#assertOpen();
    text("id", id);
    const operationId =
      options.operationId === undefined ? this.#options.random.id() : checkOperationId(options.operationId);
    const coalescer = this.#cancels[shardOf(id, this.#access.shards)] as Coalescer<CancelItem, string>;
    try {
      return { kind: (await coalescer.add({ id, operationId })) as CancelResult["kind"] };
    } catch (error) {
      throw named(error, "timer.cancel", id, operationId);
    }
  }

  /**
   * Makes a worker that runs a function for each timer that is due. It does nothing before `start()`.
   * @param options of the worker; may be left out
   * @param handler runs at least once per timer; must be safe to run twice
   * @throws TypeError, RangeError
   */
  worker(handler: FiringHandler<Payload>): TimerWorker<Payload>;
  worker(options: WorkerOptions, handler: FiringHandler<Payload>): TimerWorker<Payload>;
  worker(first: WorkerOptions | FiringHandler<Payload>, second?: FiringHandler<Payload>): TimerWorker<Payload> {
    this.#assertOpen();
    const [options, handler] = typeof first === "function" ? [{}, first] : [first, second];
    callback("handler", handler);
    const worker = new TimerWorker<Payload>({
      timer: this.#options,
      worker: resolveWorkerOptions(options),
      access: this.#access,
      events: this.#events,
      codec: this.#codec,
      handler: handler as FiringHandler<Payload>,
      onStopped: () => this.#workers.delete(worker),
    });
    this.#workers.add(worker);
    return worker;
  }

  /** Stops the workers made here, with no grace, and refuses further calls. The redis client stays open. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#workers].map((worker) => worker.stop({ graceMs: 0 })));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #item(
    request: ScheduleRequest<Payload>,
    askedAtMs = this.#options.clock.monotonicMs(),
    operationId?: string,
  ): ScheduleItem {
    this.#assertOpen();
    const when = whenOf(request, this.#options);
    const id = text("id", request.id);
    return {
      id,
      operationId:
        request.operationId === undefined
          ? (operationId ?? this.#options.random.id())
          : checkOperationId(request.operationId),
      when,
      payloadText: this.#codec.encode(this.#resource(id), request.payload),
      askedAtMs,
    };
  }

  /** Sends an item, and once more when it may have been asked after the cancellation that refused it: the reply brought a better clock. */
  async #placed(item: ScheduleItem, send: (item: ScheduleItem) => Promise<string>): Promise<string> {
    const answer = await send(item);
    return answer.startsWith("x") ? send(item) : answer;
  }

  #result(item: ScheduleItem, answer: string): ScheduleResult {
    if (answer.startsWith("x")) throw new SupersededError(this.#resource(item.id));
    if (answer === "p") throw new PendingLimitError(this.#resource(item.id), this.#options.pendingMax);
    if (answer === "d") {
      throw new RangeError(
        `at must lie within delayMaxMs (${this.#options.delayMaxMs}) from now on the server's clock, got ${item.when.slice(2)}`,
      );
    }
    const decoded = decodeAnswer(answer);
    if (decoded === null)
      throw new TypeError(`timer ${this.name}: the stored answer ${JSON.stringify(answer)} is not understood`);
    return {
      kind: resultKinds[decoded.kind as keyof typeof resultKinds],
      dueAtMs: decoded.dueAtMs,
      generation: decoded.generation,
    };
  }

  async #sendInBulk(
    shard: number,
    items: readonly ScheduleItem[],
    indexes: readonly number[],
    answers: string[],
  ): Promise<void> {
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
    const repeats = chunks.length > Math.ceil(indexes.length / bulkMax);
    let next = 0;
    const flight = async (): Promise<void> => {
      while (next < chunks.length) {
        const chunk = chunks[next++] as number[];
        const part = chunk.map((index) => items[index] as ScheduleItem);
        const got = await this.#sendSchedules(shard, part);
        for (const [place, index] of chunk.entries()) {
          const answer = got[place] as string;
          answers[index] = answer.startsWith("x")
            ? ((await this.#sendSchedules(shard, [items[index] as ScheduleItem]))[0] as string)
            : answer;
        }
      }
    };
    // An id that comes again must not overtake its first.
    await Promise.all(Array.from({ length: repeats ? 1 : bulkFlights }, flight));
  }

  /** Sends items of one shard; an id that comes twice goes into a script of its own, behind the first. */
  async #sendSchedules(shard: number, items: readonly ScheduleItem[]): Promise<readonly string[]> {
    return inOrderOnce(items, (part) =>
      this.#access.run(shard, async ({ keys, layout }, timeoutMs) => {
        const { connection, name } = this.#access;
        const { delayMaxMs, shardPendingMax, durability } = this.#options;
        const list: string[] = [];
        let askedAtMs = Infinity;
        for (const item of part) {
          list.push(item.id, item.operationId, item.when, item.payloadText);
          if (item.askedAtMs < askedAtMs) askedAtMs = item.askedAtMs;
        }
        const reply = await connection.run(
          scheduleScript,
          keys,
          { layout, publish: connection.publishCommand, pendingMax: shardPendingMax, delayMaxMs, items: list },
          {
            operation: `timer.schedule ${name}`,
            operationId: (part[0] as ScheduleItem).operationId,
            timeoutMs,
            askedAtMs,
            durability,
          },
        );
        if (reply !== undefined) connection.observeTime(keys.due, reply.nowUs);
        return reply?.answers;
      }),
    );
  }

  async #sendCancels(shard: number, items: readonly CancelItem[]): Promise<readonly string[]> {
    return inOrderOnce(items, (part) =>
      this.#access.run(shard, async ({ keys, layout }, timeoutMs) => {
        const { connection, name } = this.#access;
        const reply = await connection.run(
          cancelScript,
          keys,
          { layout, items: part.flatMap(({ id, operationId }) => [id, operationId]) },
          {
            operation: `timer.cancel ${name}`,
            operationId: (part[0] as CancelItem).operationId,
            timeoutMs,
            durability: this.#options.durability,
          },
        );
        if (reply !== undefined) connection.observeTime(keys.due, reply.nowUs);
        return reply?.answers;
      }),
    );
  }

  #resource(id: string): string {
    return resourceOf(this.name, id);
  }

  #assertOpen(): void {
    if (this.#closed) throw new ClosedError(`timer ${this.name}`);
  }
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
function named(error: unknown, operation: string, id: string, operationId: string): unknown {
  if (!(error instanceof OutcomeUnknownError)) return error;
  return new OutcomeUnknownError(`${operation} ${id}`, operationId, { cause: error, why: "its request was lost" });
}
