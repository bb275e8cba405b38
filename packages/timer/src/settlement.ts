/**
 * Ends firings that cannot be acknowledged in passing: retries, dead letters, what is given back, and acknowledgements that claim left.
 * Repeats a settlement whose answer was lost, under its operation id, until it is known or the lease is long over.
 */
import { backoffMs, Coalescer, elapsedMs, now, sleep } from "@holdfast/core";
import type { Clock, Random } from "@holdfast/core";
import type { LiveFiring } from "./firing.ts";
import type { ResolvedTimerOptions } from "./options.ts";
import { settleScript } from "./scripts.ts";
import type { ShardAccess } from "./shard-access.ts";

/** What is to become of a firing. */
export type Verdict =
  | { readonly verb: "done" }
  | { readonly verb: "retry"; readonly delayMs: number }
  | { readonly verb: "release" }
  | { readonly verb: "dead"; readonly why: string };

/** What became of it; `unknown` when the server did not answer before the lease was over. */
export type Settled = "ended" | "pending" | "dead" | "lost" | "unknown";

interface Item {
  readonly firing: LiveFiring<unknown>;
  readonly verdict: Verdict;
  readonly operationId: string;
}

const itemsMax = 32;
/** The error of a dead letter is a message, not a log. */
const whyCharactersMax = 1_000;
const retry = { baseMs: 20, delayMaxMs: 1_000, jitter: 0.5 };

/** The settlements of one shard. */
export class Settlements {
  readonly #access: ShardAccess;
  readonly #shard: number;
  readonly #durability: ResolvedTimerOptions<unknown>["durability"];
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #onFailure: (error: unknown) => void;
  readonly #items: Coalescer<Item, string>;
  #open = 0;
  #closed = false;

  constructor(
    access: ShardAccess,
    shard: number,
    options: ResolvedTimerOptions<unknown>,
    onFailure: (error: unknown) => void,
  ) {
    this.#access = access;
    this.#shard = shard;
    this.#durability = options.durability;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#onFailure = onFailure;
    this.#items = new Coalescer(itemsMax, (items) => this.#send(items));
  }

  /** Settlements without an answer so far. */
  get open(): number {
    return this.#open;
  }

  /** What fails from now on is not tried again. */
  close(): void {
    this.#closed = true;
  }

  /** Carries out a verdict. Never rejects. */
  async settle(firing: LiveFiring<unknown>, verdict: Verdict): Promise<Settled> {
    const item: Item = { firing, verdict, operationId: this.#random.id() };
    const begunAt = now(this.#clock);
    this.#open += 1;
    try {
      for (let failures = 1; ; failures += 1) {
        try {
          return (await this.#items.add(item)) as Settled;
        } catch (error) {
          this.#onFailure(error);
          if (this.#closed) return "unknown";
          // Nothing prolongs the lease from here on but a renewal that is under way, no longer than a lease: it is over, and the timer due
          // elsewhere.
          if (elapsedMs(this.#clock, begunAt) > firing.batch.leaseMs * 2 && failures > 5) return "unknown";
          await sleep(this.#clock, Math.max(1, backoffMs(retry, failures, this.#random)));
        }
      }
    } finally {
      this.#open -= 1;
    }
  }

  async #send(items: readonly Item[]): Promise<readonly string[]> {
    return this.#access.run(
      this.#shard,
      async ({ keys, layout }, timeoutMs) => {
        const list: (string | number)[] = [];
        for (const { firing, verdict, operationId } of items) {
          const { id, batch, attempt, started } = firing;
          const detail =
            verdict.verb === "retry"
              ? verdict.delayMs
              : verdict.verb === "dead"
                ? verdict.why.slice(0, whyCharactersMax)
                : "";
          list.push(
            id,
            batch.leaseEnd,
            batch.token,
            operationId,
            verdict.verb,
            started ? attempt : attempt - 1,
            detail,
          );
        }
        const reply = await this.#access.connection.run(
          settleScript,
          keys,
          { layout, publish: this.#access.connection.publishCommand, items: list },
          {
            operation: `timer.settle ${this.#access.name}`,
            operationId: (items[0] as Item).operationId,
            timeoutMs,
            durability: this.#durability,
          },
        );
        return reply?.answers;
      },
      true,
    );
  }
}
