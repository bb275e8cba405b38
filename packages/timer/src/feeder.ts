/**
 * Feeds a worker from one shard: decides when to look, keeps two lanes of claims in flight while there is a burst, sleeps until the next
 * deadline otherwise. A hint re-arms the sleep; nothing depends on it, since no sleep is longer than `pollMs` (T8).
 */
import { backoffMs, sleep } from "@holdfast/core";
import type { LeaseKeeper, WakeUpSubscription } from "@holdfast/core";
import { Alarm } from "./alarm.ts";
import { firingKeeper } from "./firing-keeper.ts";
import { Batch, LiveFiring } from "./firing.ts";
import type { FiringOwner } from "./firing.ts";
import { Lane } from "./lane.ts";
import type { Claimed } from "./lane.ts";
import { RecordReader } from "./record.ts";
import type { TimerRecord } from "./record.ts";
import { Reaper } from "./reaper.ts";
import { Settlements } from "./settlement.ts";
import type { WorkerContext } from "./worker-context.ts";

/** Two requests under way: while the server executes one, the worker digests the other. */
const laneCount = 2;
/** Most timers, and most acknowledgements, in one claim: about 1 ms of the server's time. */
export const claimMax = 100;
const retry = { baseMs: 25, delayMaxMs: 1_000, jitter: 0.5 };

/** What a feeder needs from its worker, which also hears how handlers end. */
export interface FeederHost extends FiringOwner {
  /** Takes up to `wanted` places for timers that a claim may bring; the feeder gives back what the claim did not use. */
  reserve(wanted: number): number;
  giveBack(places: number): void;
  /** Takes over claimed firings, whose places are reserved. */
  accept(firings: readonly LiveFiring<unknown>[]): void;
  /** Something may have become idle. */
  changed(): void;
  /** Gives the lanes of all shards what there is to do once the present turn is over: by then more has ended. */
  pumpSoon(): void;
}

/** One shard's supply of firings. */
export class Feeder {
  readonly settlements: Settlements;
  readonly #context: WorkerContext<unknown>;
  readonly #shard: number;
  readonly #host: FeederHost;
  readonly #keeper: LeaseKeeper<LiveFiring<unknown>>;
  readonly #lanes: readonly Lane[];
  readonly #alarm: Alarm;
  readonly #reaper: Reaper;
  #acknowledgements: LiveFiring<unknown>[] = [];
  #subscription: WakeUpSubscription | undefined;
  #mayBeDue = false;
  #burst = false;
  #claiming = false;
  #failures = 0;
  #closed = false;

  constructor(context: WorkerContext<unknown>, shard: number, host: FeederHost) {
    const { access, timer, workerId } = context;
    this.#context = context;
    this.#shard = shard;
    this.#host = host;
    this.settlements = new Settlements(access, shard, timer, (error) => this.#trouble("settle", error, 1, 0));
    this.#keeper = firingKeeper(context, shard, (error) => this.#trouble("extend", error, 1, 0));
    this.#reaper = new Reaper(context, shard, {
      lapsed: () => {
        this.#mayBeDue = this.#claiming;
      },
      failed: (error) => this.#trouble("reap", error, 1, 0),
      ended: () => {
        this.#host.pumpSoon();
        this.#host.changed();
      },
    });
    this.#alarm = new Alarm(timer.clock, context.options.pollMs, () => this.#look());
    this.#lanes = Array.from({ length: laneCount }, (_, index) => new Lane(access, shard, `${workerId}.${index}`));
  }

  /** Nothing is under way, nothing waits to be acknowledged, and nothing was due at the last look. */
  get idle(): boolean {
    return this.#settled && !this.#reaper.busy && (this.#closed || (!this.#mayBeDue && this.#failures === 0));
  }

  /** Every ended firing has been told to the server. */
  get told(): boolean {
    return this.#settled;
  }

  get #settled(): boolean {
    return (
      this.#acknowledgements.length === 0 && this.settlements.open === 0 && this.#lanes.every((lane) => !lane.busy)
    );
  }

  /** Begins to claim. */
  start(): void {
    const { access } = this.#context;
    this.#claiming = true;
    this.#mayBeDue = true;
    this.#subscription = access.connection.wakeUps.listen(access.keys(this.#shard).wake, (hint) =>
      this.#alarm.hint(hint),
    );
    this.pump();
  }

  /** Claims no more; what is under way is answered, what has ended is still told. */
  stopClaiming(): void {
    this.#claiming = false;
    this.#mayBeDue = false;
    this.#subscription?.close();
    this.#subscription = undefined;
    this.#alarm.disarm();
  }

  /** Sends nothing more. */
  close(): void {
    this.stopClaiming();
    this.#acknowledgements = [];
    this.#closed = true;
    this.settlements.close();
    this.#keeper.close();
  }

  /** A firing has ended well. When nothing is sent any more, its timer fires again once its lease has ended. */
  acknowledge(firing: LiveFiring<unknown>): void {
    if (!this.#closed) this.#acknowledgements.push(firing);
    this.#host.pumpSoon();
  }

  /** Gives idle lanes what there is to do; returns whether places were taken for that. */
  pump(): boolean {
    if (this.#closed || this.#failures > 0) return false;
    let tookPlaces = false;
    for (const [index, lane] of this.#lanes.entries()) {
      if (lane.busy) continue;
      // The second lane is for bursts; otherwise what has ended waits for the first, and goes with more like it.
      if (index > 0 && !this.#burst && this.#acknowledgements.length < claimMax) continue;
      const hasAcknowledgements = this.#acknowledgements.length > 0;
      const limit = this.#claiming && (this.#mayBeDue || hasAcknowledgements) ? this.#host.reserve(this.#share) : 0;
      if (limit === 0 && !hasAcknowledgements) continue;
      // As many as come in one batch: what was claimed together is acknowledged together, which costs the server a fraction.
      const acknowledged = this.#acknowledgements.splice(0, this.#share);
      tookPlaces ||= limit > 0;
      void this.#send(lane, limit, acknowledged);
    }
    return tookPlaces;
  }

  /**
   * Most timers for one lane. In a burst, a worker with few places divides them and the batch that it may claim ahead evenly: of two
   * unequal requests the server waits for the one and the client for the other.
   */
  get #share(): number {
    const { concurrencyMax } = this.#context.options;
    return this.#burst ? Math.min(claimMax, Math.ceil((concurrencyMax + claimMax) / laneCount)) : claimMax;
  }

  async #send(lane: Lane, limit: number, acknowledged: readonly LiveFiring<unknown>[]): Promise<void> {
    const { leaseMs } = this.#context.options;
    if (limit > 0) {
      this.#mayBeDue = this.#burst;
      this.#alarm.reset();
    }
    let failures = 0;
    let claimed: Claimed | undefined;
    while (claimed === undefined) {
      try {
        claimed = await lane.send({ limit, leaseMs, acknowledged });
      } catch (error) {
        failures += 1;
        this.#failures += 1;
        await this.#pause(error, failures);
        if (this.#closed) return this.#leave(lane, limit);
      }
    }
    // What goes wrong from here on is no failed claim: asked for again, it would be answered with nothing.
    this.#recovered(failures);
    this.#digest(lane, claimed);
  }

  /** A claim is given up, since the worker has stopped. */
  #leave(lane: Lane, places: number): void {
    lane.busy = false;
    this.#host.giveBack(places);
    this.#host.changed();
  }

  async #pause(error: unknown, failures: number): Promise<void> {
    const { clock, random } = this.#context.timer;
    const delayMs = Math.max(1, Math.min(this.#context.options.pollMs, backoffMs(retry, failures, random)));
    this.#trouble("claim", error, failures, delayMs);
    await sleep(clock, delayMs);
  }

  #recovered(failures: number): void {
    if (failures === 0) return;
    this.#failures -= failures;
    if (this.#failures > 0) return;
    this.#mayBeDue = this.#claiming;
    const { access, events } = this.#context;
    events.emit(() => ({ type: "recovered", timer: access.name, shard: this.#shard, failures }));
  }

  #digest(lane: Lane, { request, reply, sentAt }: Claimed): void {
    const { access, counts, events, timer, options } = this.#context;
    this.#alarm.observe(reply.nowUs);
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
      const batch = new Batch(this.#keeper, this.#host, timer.clock, {
        timer: access.name,
        token,
        leaseEnd,
        leaseMs: options.leaseMs,
        nowUs,
        sentAt,
      });
      const firings: LiveFiring<unknown>[] = [];
      const records = new RecordReader();
      for (let index = 0; index < count; index += 1) {
        const [id, text] = [reply.timers[index * 2] as string, reply.timers[index * 2 + 1] as string];
        const record = records.read(text) ?? unreadable(text, nowUs);
        const deadline = reply.deadlines[index];
        const dueAtMs = deadline === undefined ? record.dueAtMs : Number(deadline) / 1_000;
        firings.push(new LiveFiring(batch, id, dueAtMs, record, reply.notes[index] ?? null));
      }
      this.#host.accept(firings);
    }
    lane.busy = false;
    if (reply.trouble !== "" && !this.#closed) void this.#reaper.reap();
    if (request.limit > 0 && this.#claiming && !this.#mayBeDue) this.#alarm.sleepUntil(reply.nextUs);
    this.#host.pumpSoon();
    this.#host.changed();
  }

  /** A timer of this shard is due again in so many milliseconds; its hint may get lost. */
  expectIn(delayMs: number): void {
    if (this.#claiming) this.#alarm.ringIn(delayMs);
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

  #look(): void {
    this.#mayBeDue = this.#claiming;
    this.pump();
    // Without a free place no claim was sent, and the next look comes when one is free; the poll stays armed for the rest.
    if (this.#mayBeDue) this.#alarm.ringIn(this.#context.options.pollMs);
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
function unreadable(text: string, nowUs: number): TimerRecord {
  return {
    kind: "s",
    generation: 0,
    dueAtMs: Math.floor(nowUs / 1_000),
    operationId: "",
    head: "",
    payloadText: text === "" ? "{" : `{${text}`,
  };
}
