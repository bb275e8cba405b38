/**
 * Timers that outlive the process that set them: a deadline and a payload in Redis, delivered at least once by any worker.
 *
 * This file is the client's side: schedule, cancel, look. How requests are batched is in scheduling.ts, what fires is in worker.ts.
 */
import {
  callback,
  ClosedError,
  Connection,
  EventSink,
  integer,
  integerOr,
  optionsObject,
  signal as checkSignal,
  text,
} from "@holdfast/core";
import type { RedisLike } from "@holdfast/core";
import { DeadLetters } from "./dead-letters.ts";
import { ShardsMismatchError } from "./errors.ts";
import { timerChannel } from "./events.ts";
import type { TimerEvent } from "./events.ts";
import { shardOf } from "./keys.ts";
import type { FiringHandler } from "./handlers.ts";
import { Migration } from "./migration.ts";
import type { MigrationReport } from "./migration.ts";
import { resolveTimerOptions, resolveWorkerOptions } from "./options.ts";
import type { ResolvedTimerOptions, TimerOptions, WorkerOptions } from "./options.ts";
import { PayloadCodec } from "./payload.ts";
import { Reconciliation } from "./reconciliation.ts";
import type { ReconcileReport } from "./reconciliation.ts";
import { checkOperationId, newOperationId, whenOf } from "./schedule-request.ts";
import type { OperationOptions, ScheduleItem, ScheduleRequest, ScheduleResult } from "./schedule-request.ts";
import { Scheduling } from "./scheduling.ts";
import { getScript, hastenScript, statsScript } from "./scripts.ts";
import { ShardAccess } from "./shard-access.ts";
import { storedTimer, totalStats } from "./stored-timer.ts";
import type { StoredTimer, TimerStats } from "./stored-timer.ts";
import { refuseUnconfirmed } from "./unconfirmed.ts";
import { TimerWorker } from "./worker.ts";

/** What became of a cancel. */
export interface CancelResult {
  /** `cancelled`: it will not fire. `firing`: a delivery may be running; it is the last. `absent`: there was none. */
  readonly kind: "cancelled" | "firing" | "absent";
}

/** What became of a fireNow. */
export interface FireNowResult {
  /** `due`: it fires as soon as a worker has a place. `firing`: it does already. `absent`: there is none. */
  readonly kind: "due" | "firing" | "absent";
}

/** Timers of one name. */
export class DurableTimer<Payload = undefined> implements AsyncDisposable {
  readonly name: string;
  /** Timers that were given up. */
  readonly dead: DeadLetters;
  readonly #options: ResolvedTimerOptions<Payload>;
  readonly #access: ShardAccess;
  readonly #events: EventSink<TimerEvent>;
  readonly #codec: PayloadCodec<Payload>;
  readonly #scheduling: Scheduling;
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
    const { clock, onEvent, payload, payloadBytesMax } = this.#options;
    this.#events = new EventSink(timerChannel, onEvent);
    this.#codec = new PayloadCodec(name, payload, payloadBytesMax);
    this.#access = new ShardAccess(Connection.of(redis, clock), name, this.#options, (shard) =>
      this.#events.emit(() => ({ type: "founded", timer: name, shard })),
    );
    this.#scheduling = new Scheduling(this.#access, this.#options);
    this.dead = new DeadLetters(this.#access, this.#options, () => this.#assertOpen());
  }

  /**
   * Sets a timer; when one with this id is pending, `ifExists` decides.
   * @returns what stands now: its deadline and generation
   * @throws TypeError, RangeError for bad input, PayloadError, PendingLimitError, SupersededError, ShardsMismatchError and what every
   *   call of Redis throws (RedisUnavailableError, OutcomeUnknownError, …)
   */
  async schedule(request: ScheduleRequest<Payload>): Promise<ScheduleResult> {
    const item = this.#item(request);
    if (this.#codec.checks) await this.#codec.validate(item.id, request.payload);
    return this.#scheduling.one(item);
  }

  /**
   * Sets many timers with few requests; the same id may come more than once.
   * @returns one result per request, in order
   * @throws as schedule. When one request is refused or its outcome is unknown, others may have been carried out: repeat the whole call,
   *   with the same `operationId` to get the first answers. Where some were, the error has the effect "possible": an OutcomeUnknownError with
   *   the failure as cause, or the refusal that no repeat changes.
   */
  async scheduleMany(
    requests: readonly ScheduleRequest<Payload>[],
    options: OperationOptions = {},
  ): Promise<ScheduleResult[]> {
    const operationId = this.#operationId(options);
    if (!Array.isArray(requests)) throw new TypeError(`requests must be an array, got ${typeof requests}`);
    const askedAtMs = this.#options.clock.monotonicMs();
    const items = requests.map((request) => this.#item(request, askedAtMs, operationId));
    if (this.#codec.checks) {
      await Promise.all(items.map((item, index) => this.#codec.validate(item.id, requests[index]?.payload)));
    }
    return this.#scheduling.many(items, operationId, (index) => requests[index]?.operationId !== undefined);
  }

  /**
   * Takes a timer back.
   * @throws TypeError, RangeError, and what every call of Redis throws
   */
  async cancel(id: string, options: OperationOptions = {}): Promise<CancelResult> {
    const operationId = this.#operationId(options);
    return { kind: (await this.#scheduling.cancel(text("id", id), operationId)) as CancelResult["kind"] };
  }

  /** Makes a pending timer due now. */
  async fireNow(id: string, options: OperationOptions = {}): Promise<FireNowResult> {
    const operationId = this.#operationId(options);
    const { connection, shards } = this.#access;
    const call = { operation: `timer.fireNow ${text("id", id)}`, operationId };
    const [kind] = await this.#access.runAs(shardOf(id, shards), call, ({ keys, layout }, callOptions) =>
      connection.runJudged(
        hastenScript,
        keys,
        { layout, publish: connection.publishCommand, id, operation: operationId },
        callOptions,
        (words, error) => refuseUnconfirmed(words, ["due", "firing"], error, call),
      ),
    );
    return { kind: kind as FireNowResult["kind"] };
  }

  /** Looks at one timer; null when it is neither pending nor firing. */
  async get(id: string): Promise<StoredTimer<Payload> | null> {
    this.#assertOpen();
    const { connection, shards } = this.#access;
    const found = await this.#access.run(shardOf(text("id", id), shards), ({ keys, layout }, timeoutMs) =>
      connection.run(getScript, keys, { layout, id }, { operation: `timer.get ${id}`, timeoutMs }),
    );
    return found === null
      ? null
      : storedTimer(id, found, (payloadText) => this.#codec.decode(id, payloadText) as Payload);
  }

  /** Counts the timers of all shards. */
  async stats(): Promise<TimerStats> {
    this.#assertOpen();
    const { connection, shards } = this.#access;
    const ofShards = await Promise.all(
      Array.from({ length: shards }, (_, shard) =>
        this.#access.run(shard, ({ keys, layout }, timeoutMs) =>
          connection.run(statsScript, keys, { layout }, { operation: `timer.stats ${this.name}`, timeoutMs }),
        ),
      ),
    );
    return totalStats(ofShards);
  }

  /**
   * Sets again what the caller's own records say was pending and Redis does not have. Never brings back what fired, was cancelled or was
   * given up after `asOfMs`, as far as Redis still knows: where it has lost everything since, what had ended before the loss may come back.
   * @param pending items as for schedule; with `at` their own deadlines are kept
   * @param options asOfMs: a time, in epoch milliseconds on the server's clock, at which all of them were pending; take it before the
   *   records are read. It may lie `rememberMs` in the past.
   * @throws ReconcileWindowError when it lies outside of what the server remembers, and as schedule. What was done stays done: an error that
   *   comes after something was restored has the effect "possible", and is an OutcomeUnknownError where reconciling again may go on.
   */
  async reconcile(
    pending: AsyncIterable<ScheduleRequest<Payload>> | Iterable<ScheduleRequest<Payload>>,
    options: { readonly asOfMs: number },
  ): Promise<ReconcileReport> {
    this.#assertOpen();
    optionsObject("options", options);
    const asOfMs = integer("asOfMs", options.asOfMs, { min: 0, max: 8_640_000_000_000 });
    return new Reconciliation(this.#access, this.#options, asOfMs).run(this.#itemsOf(pending));
  }

  async *#itemsOf(
    pending: AsyncIterable<ScheduleRequest<Payload>> | Iterable<ScheduleRequest<Payload>>,
  ): AsyncGenerator<ScheduleItem> {
    for await (const request of pending) {
      const item = this.#item(request);
      if (this.#codec.checks) await this.#codec.validate(item.id, request.payload);
      yield item;
    }
  }

  /**
   * Moves all timers to this client's number of shards. Meanwhile every other call answers ShardsMovingError; running firings end first.
   * A caller that died half-way is followed by the next one; so is a move of which a failover has taken back what it did on one of the shards.
   * @param options waitMs: longest wait for running firings to end, in milliseconds; default 60,000. signal: ends that wait
   * @throws ShardsMovingError when they did not, the signal's reason, what every call of Redis throws (as OutcomeUnknownError, with it as
   *   cause, where it had no effect): the move has begun, call it again. ShardsMismatchError when it is on its way elsewhere
   */
  async migrateShards(
    options: { readonly waitMs?: number | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<MigrationReport> {
    this.#assertOpen();
    optionsObject("options", options);
    const { signal } = options;
    checkSignal("signal", signal);
    signal?.throwIfAborted();
    const waitMs = integerOr(60_000, "waitMs", options.waitMs, { min: 0, max: 86_400_000 });
    const from = await this.#access.shardsStored();
    if (from.shards === this.#access.shards && !from.moving) return { from: from.shards, to: from.shards, moved: 0 };
    if (from.moving && from.to !== this.#access.shards)
      throw new ShardsMismatchError(this.name, this.#access.shards, from.to);
    return new Migration(this.#access, this.#options, from.shards).run(waitMs, signal);
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
    given?: string,
  ): ScheduleItem {
    this.#assertOpen();
    const when = whenOf(request, this.#options);
    const id = text("id", request.id);
    const operationId =
      request.operationId === undefined
        ? (given ?? newOperationId(this.#options.random))
        : checkOperationId(request.operationId);
    const payloadText = this.#codec.encode(id, request.payload);
    return { id, operationId, when, payloadText, askedAtMs, sighting: this.#access.sightingFor(id) };
  }

  #operationId(options: OperationOptions): string {
    this.#assertOpen();
    optionsObject("options", options);
    return options.operationId === undefined
      ? newOperationId(this.#options.random)
      : checkOperationId(options.operationId);
  }

  #assertOpen(): void {
    if (this.#closed) throw new ClosedError(`timer ${this.name}`);
  }
}
