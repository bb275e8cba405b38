/**
 * Brings back timers that the caller's own records hold and Redis has lost: after a failover that took writes back, after a process that
 * died between its own commit and the schedule. What fired, was cancelled or was given up since stays so.
 */
import { HoldfastError } from "@holdfast/core";
import { CallParts } from "./call-parts.ts";
import { bulkMax } from "./chunks.ts";
import { ReconcileWindowError } from "./errors.ts";
import { shardOf } from "./keys.ts";
import type { ResolvedTimerOptions } from "./options.ts";
import { newOperationId } from "./schedule-request.ts";
import type { ScheduleItem } from "./schedule-request.ts";
import { restoreScript } from "./scripts.ts";
import { bodyOf } from "./scheduling.ts";
import type { ShardAccess } from "./shard-access.ts";

/** What a reconcile came to, in numbers of items. */
export interface ReconcileReport {
  /** Were missing and are set again. */
  readonly restored: number;
  /** Were pending or firing. */
  readonly present: number;
  /** Had fired or been cancelled after `asOfMs`. */
  readonly ended: number;
  /** Were given up after `asOfMs`. */
  readonly dead: number;
}

const words = { s: "restored", p: "present", e: "ended", d: "dead" } as const;

/** One reconcile: collects items per shard and sends them in bounded scripts. */
export class Reconciliation {
  readonly #access: ShardAccess;
  readonly #options: ResolvedTimerOptions<unknown>;
  readonly #asOfMs: number;
  readonly #batches: ScheduleItem[][];
  readonly #report = { restored: 0, present: 0, ended: 0, dead: 0 };
  readonly #parts: CallParts;

  /** @param asOfMs when the items were pending by the caller's records, in epoch milliseconds on the server's clock */
  constructor(access: ShardAccess, options: ResolvedTimerOptions<unknown>, asOfMs: number) {
    this.#access = access;
    this.#options = options;
    this.#asOfMs = asOfMs;
    this.#batches = Array.from({ length: access.shards }, () => []);
    this.#parts = new CallParts({
      operation: `timer.reconcile ${access.name}`,
      operationId: newOperationId(options.random),
      advice: "reconcile again: what is restored by now is present then",
    });
  }

  /** Carries it out. @param items what was pending */
  async run(items: AsyncIterable<ScheduleItem>): Promise<ReconcileReport> {
    try {
      for await (const item of items) await this.#add(item);
    } catch (error) {
      // What failed on the caller's side is told as it is, unless it says that nothing was done.
      if (!this.#parts.failed && error instanceof HoldfastError && error.effect === "none") this.#parts.fail(error);
      throw this.#parts.failed ? this.#parts.failure : error;
    }
    for (const shard of this.#batches.keys()) await this.#send(shard);
    return this.#report;
  }

  /** Adds an item; sends its batch when that is full. */
  async #add(item: ScheduleItem): Promise<void> {
    const shard = shardOf(item.id, this.#access.shards);
    const batch = this.#batches[shard] as ScheduleItem[];
    // No id twice in a script: the second finds the first.
    if (batch.length === bulkMax || batch.some(({ id }) => id === item.id)) await this.#send(shard, true);
    (this.#batches[shard] as ScheduleItem[]).push(item);
  }

  async #send(shard: number, isMore = false): Promise<void> {
    const batch = this.#batches[shard] as ScheduleItem[];
    if (batch.length === 0) return;
    this.#batches[shard] = [];
    try {
      await this.#sendBatch(shard, batch);
    } catch (error) {
      this.#parts.fail(error);
      if (isMore || this.#batches.some(({ length }) => length > 0)) this.#parts.cutShort();
      throw this.#parts.failure;
    }
  }

  async #sendBatch(shard: number, batch: readonly ScheduleItem[]): Promise<void> {
    const { connection, name } = this.#access;
    const { operationId } = batch[0] as ScheduleItem;
    const answer = await this.#access.run(shard, ({ keys, layout }, timeoutMs) =>
      connection.runConfirmed(
        restoreScript,
        keys,
        {
          layout,
          publish: connection.publishCommand,
          asOfUs: this.#asOfMs * 1_000,
          items: batch.flatMap((item) => [item.id, item.when, bodyOf(item)]),
        },
        { operation: `timer.reconcile ${name}`, operationId, timeoutMs, durability: this.#options.durability },
        (reply) => reply?.kind !== "window",
      ),
    );
    if (answer.kind === "window") {
      throw new ReconcileWindowError(
        name,
        this.#asOfMs,
        Math.ceil(answer.earliestUs / 1_000),
        Math.floor(answer.nowUs / 1_000),
      );
    }
    for (const letter of answer.answers) this.#report[words[letter as keyof typeof words]] += 1;
    if (this.#report.restored > 0) this.#parts.begin();
  }
}
