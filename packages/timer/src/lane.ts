/**
 * A lane sends one claim at a time and repeats it, unchanged but for its bound, until it is answered: the server then gives the same batch
 * (K7), and no acknowledgement is lost or applied to somebody else's lease.
 */
import { now } from "@holdfast/core";
import type { Instant } from "@holdfast/core";
import { claimScript } from "./claim.ts";
import type { ClaimReply } from "./claim.ts";
import type { LiveFiring } from "./firing.ts";
import { runsOf } from "./runs.ts";
import type { ShardAccess } from "./shard-access.ts";

/** A claim as it is sent. */
export interface ClaimRequest {
  readonly limit: number;
  readonly leaseMs: number;
  readonly acknowledged: readonly LiveFiring<unknown>[];
}

/** An answered claim. */
export interface Claimed {
  readonly request: ClaimRequest;
  readonly reply: ClaimReply;
  /** Just before the request that was answered was sent for the first time. */
  readonly sentAt: Instant;
}

const emptyReply = {
  token: 0,
  leaseEnd: "",
  nextUs: undefined,
  trouble: "",
  refused: [],
  timers: [],
  deadlines: [],
  notes: [],
};

/** One lane of a worker on one shard. */
export class Lane {
  readonly #access: ShardAccess;
  readonly #shard: number;
  readonly #name: string;
  #sequence = 0;
  /** The request that was sent and not answered. */
  #pending: { readonly request: ClaimRequest; readonly sentAt: Instant } | undefined;
  /** From the sending of a request until its answer is digested, which whoever digests it says: it is nobody's knowledge before. */
  busy = false;

  /** @param name worker and lane; no two lanes on the server have the same */
  constructor(access: ShardAccess, shard: number, name: string) {
    this.#access = access;
    this.#shard = shard;
    this.#name = name;
  }

  /**
   * Sends a request, or the pending one again.
   * @throws whatever the call of Redis throws; the request then is pending
   */
  async send(request: ClaimRequest): Promise<Claimed> {
    const { connection, name } = this.#access;
    if (this.#pending === undefined) {
      this.#sequence += 1;
      // The lease counts from the first sending: a later one may be answered with what the first has done.
      this.#pending = { request, sentAt: now(connection.clock) };
    }
    const { request: sent, sentAt } = this.#pending;
    this.busy = true;
    const reply = await this.#access.run(
      this.#shard,
      async (open, timeoutMs) => {
        return connection.run(
          claimScript,
          open.keys,
          {
            layout: open.layout,
            lane: this.#name,
            sequence: this.#sequence,
            limit: sent.limit,
            leaseUs: sent.leaseMs * 1_000,
            ackCount: sent.acknowledged.length,
            acks: acknowledgements(sent.acknowledged),
          },
          { operation: `timer.claim ${name}`, operationId: `${this.#name}.${this.#sequence}`, timeoutMs },
        );
      },
      true,
    );
    this.#pending = undefined;
    return { request: sent, reply: reply === "outrun" ? { ...emptyReply, nowUs: 0 } : reply, sentAt };
  }
}

function acknowledgements(firings: readonly LiveFiring<unknown>[]): string[] {
  const list: string[] = [];
  for (const [leaseEnd, run] of runsOf(firings, ({ batch }) => batch.leaseEnd)) {
    list.push(leaseEnd, String(run.length));
    for (const { id } of run) list.push(id);
    // From now on the operation that set the timer is remembered for as long as anything that has ended (K1).
    for (const { record } of run) list.push(record.head);
  }
  return list;
}
