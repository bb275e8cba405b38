/**
 * Feeds a worker from one shard: decides when to look, keeps two lanes of claims in flight while there is a burst, sleeps until the next
 * deadline otherwise. A hint re-arms the sleep; nothing depends on it, since no sleep is longer than `pollMs` (T8).
 */
import { backoffMs, LeaseKeeper } from "@holdfast/core";
import type { RenewalOutcome, RenewedLease, TimerHandle, WakeUpSubscription } from "@holdfast/core";
import { Batch, LiveFiring } from "./firing.ts";
import { Lane } from "./lane.ts";
import type { Claimed } from "./lane.ts";
import { decodeRecord } from "./record.ts";
import { extendScript, reapScript } from "./scripts.ts";
import { Settlements } from "./settlement.ts";
import type { WorkerContext } from "./worker-context.ts";

/** Two requests under way: while the server executes one, the worker digests the other. */
const laneCount = 2;
/** Most timers, and most acknowledgements, in one claim: about 1 ms of the server's time. */
export const claimMax = 100;
const extendMax = 100;
const reapMax = 200;
const retry = { baseMs: 25, delayMaxMs: 1_000, jitter: 0.5 };
const lapseError = "the lease ended without an answer: the process that ran the handler died, hung, or was cut off";

/** What a feeder needs from its worker. */
export interface FeederHost {
  /** Takes up to `wanted` places for timers that a claim may bring; the feeder gives back what the claim did not use. */
  reserve(wanted: number): number;
  giveBack(places: number): void;
  /** Takes over claimed firings, whose places are reserved. */
  accept(firings: readonly LiveFiring<unknown>[]): void;
  /** Something may have become idle. */
  changed(): void;
}

/** One shard's supply of firings. */
export class Feeder {
  readonly settlements: Settlements;
  readonly #context: WorkerContext<unknown>;
  readonly #shard: number;
  readonly #host: FeederHost;
  readonly #keeper: LeaseKeeper<LiveFiring<unknown>>;
  readonly #lanes: readonly Lane[];
  #acknowledgements: LiveFiring<unknown>[] = [];
  #subscription: WakeUpSubscription | undefined;
  #timer: TimerHandle | undefined;
  #wakeAtMs = Infinity;
  #hintedMs = Infinity;
  /** Server time in ms minus monotonic time, by the last answer. */
  #offsetMs: number | undefined;
  #mayBeDue = false;
  #burst = false;
  #claiming = false;
  #pumping = false;
  #reaping = false;
  #failures = 0;
  #closed = false;

  constructor(context: WorkerContext<unknown>, shard: number, host: FeederHost) {
    const { access, timer, workerId } = context;
    this.#context = context;
    this.#shard = shard;
    this.#host = host;
    this.settlements = new Settlements(access, shard, timer, (error) => this.#trouble("settle", error, 1, 0));
    this.#keeper = new LeaseKeeper({
      clock: timer.clock,
      batchMax: extendMax,
      renew: (leases) => this.#extend(leases),
      onRenewalFailed: (_, error) => this.#trouble("extend", error, 1, 0),
      onEnd: (lease, end) => {
        if (end === "released" || end === "closed") return;
        context.counts.lost += 1;
        const { data, token } = lease;
        context.events.emit(() => ({ type: "lost", timer: access.name, id: data.id, token, reason: end }));
      },
    });
    this.#lanes = Array.from({ length: laneCount }, (_, index) => new Lane(access, shard, `${workerId}.${index}`));
  }

  /** Nothing is under way, nothing waits to be acknowledged, and nothing was due at the last look. */
  get idle(): boolean {
    return !this.#mayBeDue && this.#settled && !this.#reaping && this.#failures === 0;
  }

  /** Every ended firing has been told to the server. */
  get told(): boolean {
    return this.#settled;
  }

  get #settled(): boolean {
    return (
      this.#acknowledgements.length === 0 &&
      this.settlements.open === 0 &&
      this.#lanes.every((lane) => !lane.busy && lane.pending === undefined)
    );
  }

  /** Begins to claim. */
  start(): void {
    const { access } = this.#context;
    this.#claiming = true;
    this.#mayBeDue = true;
    this.#subscription = access.connection.wakeUps.listen(access.keys(this.#shard).wake, (hint) => this.#hinted(hint));
    this.pump();
  }

  /** Claims no more; what is under way is answered, what has ended is still told. */
  stopClaiming(): void {
    this.#claiming = false;
    this.#mayBeDue = false;
    this.#subscription?.close();
    this.#subscription = undefined;
    this.#disarm();
  }

  /** Sends nothing more. */
  close(): void {
    this.stopClaiming();
    this.#acknowledgements = [];
    this.#closed = true;
    this.settlements.close();
    this.#keeper.close();
  }

  /** A firing has ended well. */
  acknowledge(firing: LiveFiring<unknown>): void {
    this.#acknowledgements.push(firing);
    this.pumpSoon();
  }

  /** Looks for work for the lanes once the present turn is over: by then more has ended. */
  pumpSoon(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    process.nextTick(() => {
      this.#pumping = false;
      this.pump();
    });
  }

  /** Gives idle lanes what there is to do. */
  pump(): void {
    if (this.#closed || this.#failures > 0) return;
    for (const [index, lane] of this.#lanes.entries()) {
      if (lane.busy) continue;
      // The second lane is for bursts; otherwise what has ended waits for the first, and goes with more like it.
      if (index > 0 && !this.#burst && this.#acknowledgements.length < claimMax) continue;
      const hasAcknowledgements = this.#acknowledgements.length > 0;
      const limit = this.#claiming && (this.#mayBeDue || hasAcknowledgements) ? this.#host.reserve(claimMax) : 0;
      if (limit === 0 && !hasAcknowledgements) continue;
      const acknowledged = this.#acknowledgements.splice(0, claimMax);
      void this.#send(lane, limit, acknowledged);
    }
  }

  async #send(lane: Lane, limit: number, acknowledged: readonly LiveFiring<unknown>[]): Promise<void> {
    const { leaseMs } = this.#context.options;
    if (limit > 0) {
      this.#mayBeDue = this.#burst;
      this.#hintedMs = Infinity;
      this.#disarm();
    }
    for (let failures = 0; ;) {
      try {
        const claimed = await lane.send({ limit, leaseMs, acknowledged });
        this.#recovered(failures);
        this.#digest(claimed);
        return;
      } catch (error) {
        failures += 1;
        this.#failures += 1;
        await this.#pause(error, failures);
        if (this.#closed) return this.#host.giveBack(limit);
      }
    }
  }

  async #pause(error: unknown, failures: number): Promise<void> {
    const { clock, random } = this.#context.timer;
    const delayMs = Math.max(1, Math.min(this.#context.options.pollMs, backoffMs(retry, failures, random)));
    this.#trouble("claim", error, failures, delayMs);
    await new Promise<void>((resolve) => {
      clock.setTimer(resolve, delayMs);
    });
  }

  #recovered(failures: number): void {
    if (failures === 0) return;
    this.#failures -= failures;
    if (this.#failures > 0) return;
    this.#mayBeDue = this.#claiming;
    const { access, events } = this.#context;
    events.emit(() => ({ type: "recovered", timer: access.name, shard: this.#shard, failures }));
  }

  #digest({ request, reply, sentAt }: Claimed): void {
    const { access, counts, events, timer, options } = this.#context;
    if (reply.nowUs > 0) this.#offsetMs = reply.nowUs / 1_000 - timer.clock.monotonicMs();
    for (const id of reply.refused) {
      const firing = request.acknowledged.find((one) => one.id === id);
      if (firing !== undefined) void this.conclude(firing);
    }
    const count = reply.timers.length / 2;
    this.#host.giveBack(request.limit - count);
    if (request.limit > 0) {
      this.#burst = count > 0 && reply.nextUs !== undefined && reply.nextUs <= reply.nowUs;
      this.#mayBeDue = this.#claiming && this.#burst;
    }
    if (count > 0) {
      counts.claimed += count;
      events.emit(() => ({ type: "claimed", timer: access.name, shard: this.#shard, count }));
      const { token, leaseEnd, nowUs } = reply;
      const batch = new Batch(this.#keeper, timer.clock, {
        timer: access.name,
        token,
        leaseEnd,
        leaseMs: options.leaseMs,
        nowUs,
        sentAt,
      });
      const firings: LiveFiring<unknown>[] = [];
      for (let index = 0; index < count; index += 1) {
        const id = reply.timers[index * 2] as string;
        const dueUs = Number(reply.timers[index * 2 + 1]);
        const text = reply.records[index] ?? "";
        firings.push(
          new LiveFiring(batch, id, dueUs, decodeRecord(text) ?? unreadable(text), reply.notes[index] ?? null),
        );
      }
      this.#host.accept(firings);
    }
    if (reply.trouble !== "") void this.#reap();
    if (request.limit > 0) this.#sleepUntil(reply.nextUs);
    this.pumpSoon();
    this.#host.changed();
  }

  /** A timer of this shard is due again in so many milliseconds; its hint may get lost. */
  expectIn(delayMs: number): void {
    this.#wakeBy(this.#context.timer.clock.monotonicMs() + delayMs);
  }

  /** Acknowledges what could not be acknowledged in passing. */
  async conclude(firing: LiveFiring<unknown>): Promise<void> {
    const settled = await this.settlements.settle(firing, { verb: "done" });
    if (settled === "lost") this.stale(firing);
    this.#host.changed();
  }

  /** The server refused what this worker said about a firing: the lease was another's by then. */
  stale(firing: LiveFiring<unknown>): void {
    const { access, counts, events } = this.#context;
    counts.stale += 1;
    events.emit(() => ({ type: "stale", timer: access.name, id: firing.id, token: firing.token }));
  }

  async #extend(leases: readonly RenewedLease<LiveFiring<unknown>>[]): Promise<readonly RenewalOutcome[]> {
    const { access, options } = this.#context;
    const outcomes = await access.run(
      this.#shard,
      async ({ keys, layout }, timeoutMs) => {
        const items: (string | number)[] = [];
        for (const { data: firing } of leases) {
          // From here on, only its token tells the lease from another.
          firing.plain = false;
          items.push(
            firing.id,
            firing.batch.leaseEnd,
            firing.token,
            firing.started ? firing.attempt : firing.attempt - 1,
          );
        }
        return access.connection.run(
          extendScript,
          keys,
          { layout, leaseUs: options.leaseMs * 1_000, items },
          {
            operation: `timer.extend ${access.name}`,
            operationId: "extend",
            timeoutMs: Math.min(timeoutMs, options.leaseMs),
          },
        );
      },
      true,
    );
    return outcomes.split("").map((letter) => (letter === "r" ? "renewed" : letter === "c" ? "cancelled" : "lost"));
  }

  async #reap(): Promise<void> {
    if (this.#reaping || this.#closed) return;
    this.#reaping = true;
    const { access, counts, events, options, timer } = this.#context;
    try {
      const { lapsed, buried } = await access.run(
        this.#shard,
        async ({ keys, layout }, timeoutMs) =>
          access.connection.run(
            reapScript,
            keys,
            {
              layout,
              limit: reapMax,
              attemptsMax: options.attemptsMax,
              leaseUs: options.leaseMs * 1_000,
              error: lapseError,
            },
            { operation: `timer.reap ${access.name}`, operationId: timer.random.id(), timeoutMs },
          ),
        true,
      );
      if (lapsed > 0) {
        counts.lapsed += lapsed;
        events.emit(() => ({ type: "lapsed", timer: access.name, shard: this.#shard, count: lapsed }));
        this.#mayBeDue = this.#claiming;
      }
      for (const id of buried) {
        counts.dead += 1;
        events.emit(() => ({ type: "dead", timer: access.name, id, attempts: options.attemptsMax, why: lapseError }));
      }
    } catch (error) {
      this.#trouble("reap", error, 1, 0);
    } finally {
      this.#reaping = false;
      this.pumpSoon();
      this.#host.changed();
    }
  }

  #hinted(hint: string | null): void {
    if (!this.#claiming) return;
    const dueMs = hint === null ? Number.NaN : Number(hint);
    if (!Number.isFinite(dueMs) || this.#offsetMs === undefined) {
      this.#look();
      return;
    }
    this.#hintedMs = Math.min(this.#hintedMs, dueMs);
    this.#wakeBy(dueMs - this.#offsetMs);
  }

  /** Sleeps until the earliest deadline known, at most `pollMs`. */
  #sleepUntil(nextUs: number | undefined): void {
    if (!this.#claiming || this.#mayBeDue || this.#offsetMs === undefined) return;
    const { timer, options } = this.#context;
    const nextMs = Math.min(nextUs === undefined ? Infinity : nextUs / 1_000, this.#hintedMs);
    this.#wakeBy(Math.min(nextMs - this.#offsetMs, timer.clock.monotonicMs() + options.pollMs));
  }

  /** @param atMs monotonic milliseconds */
  #wakeBy(atMs: number): void {
    if (!this.#claiming || atMs >= this.#wakeAtMs) return;
    this.#disarm();
    this.#wakeAtMs = atMs;
    const { clock } = this.#context.timer;
    const delayMs = Math.ceil(atMs - clock.monotonicMs());
    this.#timer = clock.setTimer(() => {
      this.#disarm();
      this.#look();
    }, delayMs);
  }

  #look(): void {
    this.#mayBeDue = this.#claiming;
    this.pump();
    // Without a free place no claim was sent, and the next look comes when one is free; the poll stays armed for the rest.
    if (this.#mayBeDue) this.#wakeBy(this.#context.timer.clock.monotonicMs() + this.#context.options.pollMs);
  }

  #disarm(): void {
    if (this.#timer !== undefined) this.#context.timer.clock.clearTimer(this.#timer);
    this.#timer = undefined;
    this.#wakeAtMs = Infinity;
  }

  #trouble(during: "claim" | "settle" | "extend" | "reap", error: unknown, failures: number, retryInMs: number): void {
    const { access, events } = this.#context;
    events.emit(() => ({
      type: "trouble",
      timer: access.name,
      shard: this.#shard,
      during,
      error,
      failures,
      retryInMs,
    }));
  }
}

/** A record that this version cannot read: fails when its payload is decoded, like any payload that does not decode. */
function unreadable(text: string): ReturnType<typeof decodeRecord> & {} {
  return {
    kind: "s",
    generation: 0,
    dueAtMs: 0,
    operationId: "",
    head: "",
    payloadText: text === "" ? "{" : `{${text}`,
  };
}
