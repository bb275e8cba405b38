/**
 * Timers that were given up: to be looked at, tried again, or thrown away. They stay until then, or until another timer of the same id dies:
 * an id has one letter, its last.
 */
import { integerOr, optionsObject, text } from "@holdfast/core";
import { shardOf } from "./keys.ts";
import type { ResolvedTimerOptions } from "./options.ts";
import { decodeRecord } from "./record.ts";
import { checkOperationId } from "./schedule-request.ts";
import type { OperationOptions } from "./schedule-request.ts";
import { dropScript, listDeadScript, redriveScript } from "./scripts.ts";
import type { ShardAccess } from "./shard-access.ts";
import { refuseUnconfirmed } from "./unconfirmed.ts";

/** A timer that was given up. */
export interface DeadLetter {
  readonly id: string;
  /** As it was scheduled, by its JSON; undefined when it cannot be read (then see `payloadText`). */
  readonly payload: unknown;
  readonly payloadText: string;
  /** Attempts that had begun. */
  readonly attempts: number;
  /** Name and message of the last error. */
  readonly error: string;
  /** When it was given up, in epoch milliseconds on the server's clock. */
  readonly diedAtMs: number;
  readonly generation: number;
  readonly dueAtMs: number;
}

/** The dead letters of one timer. */
export class DeadLetters {
  readonly #access: ShardAccess;
  readonly #options: ResolvedTimerOptions<unknown>;
  readonly #assertOpen: () => void;

  /** @param assertOpen throws ClosedError once the timer was closed */
  constructor(access: ShardAccess, options: ResolvedTimerOptions<unknown>, assertOpen: () => void) {
    this.#access = access;
    this.#options = options;
    this.#assertOpen = assertOpen;
  }

  /**
   * Reads dead letters, the oldest first.
   * @param options limit: most letters, 1 to 10,000; default 1,000
   */
  async list(options: { readonly limit?: number | undefined } = {}): Promise<DeadLetter[]> {
    this.#assertOpen();
    optionsObject("options", options);
    const limit = integerOr(1_000, "limit", options.limit, { min: 1, max: 10_000 });
    const { connection, name, shards } = this.#access;
    const ofShards = await Promise.all(
      Array.from({ length: shards }, (_, shard) =>
        this.#access.run(shard, ({ keys, layout }, timeoutMs) =>
          connection.run(listDeadScript, keys, { layout, limit }, { operation: `timer.dead.list ${name}`, timeoutMs }),
        ),
      ),
    );
    const letters = ofShards.flat().map(([id, timeUs, attempts, error, record]) => {
      const decoded = decodeRecord(record as string);
      const payloadText = decoded?.payloadText ?? "";
      return {
        id: id as string,
        payload: parsed(payloadText),
        payloadText,
        attempts: Number(attempts),
        error: error as string,
        diedAtMs: Math.floor(Number(timeUs) / 1_000),
        generation: decoded?.generation ?? 0,
        dueAtMs: decoded?.dueAtMs ?? 0,
      };
    });
    return letters.toSorted((a, b) => a.diedAtMs - b.diedAtMs).slice(0, limit);
  }

  /** Makes a dead letter a timer again, due now, with all its attempts. `exists`: a timer with this id is pending or firing. */
  async redrive(
    id: string,
    options: OperationOptions = {},
  ): Promise<{ readonly kind: "redriven" | "absent" | "exists" }> {
    const operationId = this.#operationId(id, options);
    const { connection, name } = this.#access;
    const call = { operation: `timer.dead.redrive ${name}`, operationId };
    const [kind] = await this.#access.runAs(shardOf(id, this.#access.shards), call, ({ keys, layout }, callOptions) =>
      connection.runJudged(
        redriveScript,
        keys,
        { layout, publish: connection.publishCommand, id, operation: operationId },
        callOptions,
        (words, error) => refuseUnconfirmed(words, ["redriven"], error, call),
      ),
    );
    return { kind: kind as "redriven" | "absent" | "exists" };
  }

  /** Throws a dead letter away. */
  async drop(id: string, options: OperationOptions = {}): Promise<{ readonly kind: "dropped" | "absent" }> {
    const operationId = this.#operationId(id, options);
    const { connection, name } = this.#access;
    const call = { operation: `timer.dead.drop ${name}`, operationId };
    const [kind] = await this.#access.runAs(shardOf(id, this.#access.shards), call, ({ keys, layout }, callOptions) =>
      connection.run(dropScript, keys, { layout, id, operation: operationId }, callOptions),
    );
    return { kind: kind as "dropped" | "absent" };
  }

  #operationId(id: string, options: OperationOptions): string {
    this.#assertOpen();
    text("id", id);
    optionsObject("options", options);
    return options.operationId === undefined ? this.#options.random.id() : checkOperationId(options.operationId);
  }
}

function parsed(payloadText: string): unknown {
  if (payloadText === "") return undefined;
  try {
    return JSON.parse(payloadText) as unknown;
  } catch {
    // An undecodable payload may be the reason of its death; payloadText has it.
    return undefined;
  }
}
