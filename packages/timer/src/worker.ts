/**
 * Runs a handler for each timer that is due: at most `concurrencyMax` at a time, claims no more than it has places for plus one batch
 * (T10), and only while handlers are so short that the batch does not wait.
 */
import {
  ambientRemainingMs,
  integer,
  onAbort,
  optionsObject,
  signal as checkSignal,
  withoutAmbientDeadline,
} from "@holdfast/core";
import type { EventSink, TimerHandle } from "@holdfast/core";
import { NotIdleError } from "./errors.ts";
import type { TimerEvent } from "./events.ts";
import { Grace } from "./grace.ts";
import { claimMax, Feeder } from "./feeder.ts";
import type { FeederHost } from "./feeder.ts";
import type { LiveFiring } from "./firing.ts";
import { Handlers } from "./handlers.ts";
import type { FiringHandler } from "./handlers.ts";
import { shardOf } from "./keys.ts";
import type { ResolvedTimerOptions, ResolvedWorkerOptions } from "./options.ts";
import type { PayloadCodec } from "./payload.ts";
import type { ShardAccess } from "./shard-access.ts";
import { Watchers } from "./watchers.ts";
import { noCounts } from "./worker-context.ts";
import type { WorkerContext, WorkerCounts } from "./worker-context.ts";

/** What a stop came to. */
export interface StopReport {
  /** Handlers that ended well or not during the stop. */
  readonly finished: number;
  /** Handlers that still ran when the grace was over; their timers fire elsewhere when their leases end. */
  readonly unfinished: number;
  /** Firings given back unstarted. */
  readonly released: number;
  /** False when the server did not hear of everything in time: some timers fire again when their leases end. */
  readonly told: boolean;
}

interface WorkerParts<Payload> {
  readonly timer: ResolvedTimerOptions<Payload>;
  readonly worker: ResolvedWorkerOptions;
  readonly access: ShardAccess;
  readonly events: EventSink<TimerEvent>;
  readonly codec: PayloadCodec<Payload>;
  readonly handler: FiringHandler<Payload>;
  readonly onStopped: () => void;
}

/** Claimed firings that wait for a place for longer are given back: another worker may have one. */
const waitMaxMs = 100;
/** A batch is claimed ahead only when the handlers are so short that it does not wait longer than this. */
const aheadMs = 20;

/** A worker of one timer. */
export class TimerWorker<Payload> implements AsyncDisposable {
  readonly #context: WorkerContext<Payload>;
  readonly #handlers: Handlers<Payload>;
  readonly #onStopped: () => void;
  readonly #feeders: readonly Feeder[];
  #waiting: LiveFiring<Payload>[] = [];
  #waitTimer: TimerHandle | undefined;
  #reserved = 0;
  #state: "new" | "running" | "stopping" | "stopped" = "new";
  #stopping: Promise<StopReport> | undefined;
  readonly #grace: Grace;
  #releasing = 0;
  #pumping = false;
  /** The shard that is served first. */
  #turn = 0;
  readonly #watchers = new Watchers();

  /** Made by `DurableTimer.worker`. */
  constructor(parts: WorkerParts<Payload>) {
    const { timer, worker: options, access, events, codec } = parts;
    const counts = noCounts();
    this.#context = { workerId: timer.random.id(), timer, options, access, events, codec, counts };
    this.#handlers = new Handlers(this.#context, parts.handler, {
      feederOf: (firing) => this.#feederOf(firing),
      release: (firing) => this.#release(firing),
      mayBegin: () => this.#state === "running",
      ended: () => this.#next(),
    });
    this.#onStopped = parts.onStopped;
    this.#grace = new Grace(timer.clock);
    const host: FeederHost = {
      reserve: (wanted) => this.#reserve(wanted),
      giveBack: (places) => this.#giveBack(places),
      accept: (firings) => this.#accept(firings as readonly LiveFiring<Payload>[]),
      changed: () => this.#watchers.look(),
      pumpSoon: () => this.#pumpSoon(),
      succeeded: (firing) => this.#handlers.succeeded(firing as LiveFiring<Payload>),
      failed: (firing, error) => this.#handlers.failed(firing as LiveFiring<Payload>, error),
    };
    const context = this.#context as WorkerContext<unknown>;
    this.#feeders = Array.from({ length: timer.shards }, (_, shard) => new Feeder(context, shard, host));
  }

  /** Begins to claim. Resolves at once: a server that is away delays the firing, not the start. */
  async start(): Promise<void> {
    if (this.#state === "running") return;
    if (this.#state !== "new") throw new TypeError("a worker that was stopped does not start again; make a new one");
    this.#state = "running";
    // The worker outlives whoever starts it, and their deadline.
    withoutAmbientDeadline(() => {
      for (const feeder of this.#feeders) feeder.start();
    });
  }

  /** What it has done so far; a copy. */
  counts(): Readonly<WorkerCounts> & { readonly running: number; readonly waiting: number } {
    return { ...this.#context.counts, running: this.#handlers.running, waiting: this.#waiting.length };
  }

  /**
   * Resolves when nothing is due, nothing runs, and everything that ended has been told to the server. Timers of the future do not count.
   * @throws the signal's reason, NotIdleError when the ambient deadline comes first
   */
  async idle(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    optionsObject("options", options);
    const { signal } = options;
    checkSignal("signal", signal);
    const isIdle = (): boolean => this.#isIdle();
    const leftMs = ambientRemainingMs();
    if (leftMs === Infinity) return this.#watchers.until(isIdle, signal);
    const { access, timer } = this.#context;
    const hurry = new AbortController();
    const onDeadline = (): void =>
      hurry.abort(new NotIdleError(access.name, this.#handlers.running, this.#waiting.length));
    const deadline = timer.clock.setTimer(onDeadline, leftMs);
    if (signal?.aborted === true) hurry.abort(signal.reason);
    // Ended when done: what AbortSignal.any leaves on a signal that lives long is not.
    const caller = signal === undefined ? undefined : onAbort(signal, () => hurry.abort(signal.reason));
    await this.#watchers.until(isIdle, hurry.signal).finally(() => {
      timer.clock.clearTimer(deadline);
      caller?.cancel();
    });
  }

  /**
   * Claims no more, gives back what has not begun, waits for running handlers at most `graceMs`, then aborts their signals. Ends within
   * `graceMs` whether or not Redis answers. Safe to repeat: the grace that is over first ends all stops, with one report.
   * @param options graceMs: milliseconds, 0 to 86,400,000
   */
  stop(options: { readonly graceMs: number } = { graceMs: 10_000 }): Promise<StopReport> {
    optionsObject("options", options);
    const graceMs = integer("graceMs", options.graceMs, { min: 0, max: 86_400_000 });
    this.#grace.shortenTo(graceMs);
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop({ graceMs: 10_000 });
  }

  async #stop(): Promise<StopReport> {
    this.#state = "stopping";
    for (const feeder of this.#feeders) feeder.stopClaiming();
    const finishedBefore = this.#handlers.finished;
    const releasedBefore = this.#context.counts.released;
    this.#releaseWaiting();
    const isDone = (): boolean => this.#handlers.running === 0 && this.#isTold();
    const told = await this.#watchers.until(isDone, this.#grace.signal).then(
      () => true,
      () => isDone(),
    );
    this.#grace.end();
    this.#state = "stopped";
    const unfinished = this.#handlers.running;
    this.#handlers.abandon();
    for (const feeder of this.#feeders) feeder.close();
    this.#onStopped();
    this.#watchers.look();
    return {
      finished: this.#handlers.finished - finishedBefore,
      unfinished,
      released: this.#context.counts.released - releasedBefore,
      told: told || this.#isTold(),
    };
  }

  #isIdle(): boolean {
    return (
      this.#handlers.running + this.#waiting.length + this.#releasing === 0 &&
      this.#feeders.every((feeder) => feeder.idle)
    );
  }

  #isTold(): boolean {
    return this.#waiting.length + this.#releasing === 0 && this.#feeders.every((feeder) => feeder.told);
  }

  #reserve(wanted: number): number {
    const { concurrencyMax } = this.#context.options;
    const taken = this.#handlers.running + this.#waiting.length + this.#reserved;
    const free = concurrencyMax - taken;
    const { durationMs } = this.#handlers;
    const ahead =
      this.#waiting.length > 0 || durationMs === undefined
        ? 0
        : Math.floor((aheadMs * concurrencyMax) / Math.max(durationMs, 0.01));
    const places = Math.max(0, Math.min(wanted, free + Math.min(ahead, claimMax)));
    this.#reserved += places;
    return places;
  }

  #giveBack(places: number): void {
    this.#reserved -= places;
    // Another shard may have found no place meanwhile.
    if (places > 0 && this.#feeders.length > 1) this.#pumpSoon();
  }

  #pumpSoon(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    process.nextTick(this.#pump);
  }

  /** Serves the shards in turn, from the one after the last that got places: a burst on one of them makes none of the others wait. */
  readonly #pump = (): void => {
    this.#pumping = false;
    const first = this.#turn;
    const { length } = this.#feeders;
    for (let index = 0; index < length; index += 1) {
      const shard = (first + index) % length;
      if ((this.#feeders[shard] as Feeder).pump()) this.#turn = (shard + 1) % length;
    }
  };

  #accept(firings: readonly LiveFiring<Payload>[]): void {
    this.#reserved -= firings.length;
    for (const firing of firings) {
      if (this.#state !== "running") this.#release(firing);
      else if (this.#handlers.running < this.#context.options.concurrencyMax) this.#begin(firing);
      else this.#waiting.push(firing);
    }
    if (this.#waiting.length > 0 && this.#waitTimer === undefined) {
      this.#waitTimer = this.#context.timer.clock.setTimer(() => {
        this.#waitTimer = undefined;
        this.#handlers.durationMs = waitMaxMs;
        this.#releaseWaiting();
      }, waitMaxMs);
    }
  }

  #begin(firing: LiveFiring<Payload>): void {
    if (firing.isOver(this.#context.timer.clock)) {
      // Somebody else may run it by now (T3). It was never begun, so it is given back as far as it is still ours.
      this.#release(firing);
      return;
    }
    this.#handlers.begin(firing);
  }

  /** A place is free, or something was told: more may begin. */
  #next(): void {
    const { concurrencyMax } = this.#context.options;
    while (this.#waiting.length > 0 && this.#handlers.running < concurrencyMax)
      this.#begin(this.#waiting.shift() as LiveFiring<Payload>);
    if (this.#waiting.length === 0 && this.#waitTimer !== undefined) {
      this.#context.timer.clock.clearTimer(this.#waitTimer);
      this.#waitTimer = undefined;
    }
    this.#pumpSoon();
    this.#watchers.look();
  }

  #releaseWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const firing of waiting) this.#release(firing);
  }

  /** Gives an unstarted firing back: due at once, no attempt spent (T7). */
  #release(firing: LiveFiring<Payload>): void {
    const { access, counts, events } = this.#context;
    counts.released += 1;
    this.#releasing += 1;
    events.emit(() => ({ type: "released", timer: access.name, id: firing.id }));
    firing.leave();
    const settling = this.#feederOf(firing).settlements.settle(firing, { verb: "release" });
    void settling.then(() => {
      this.#releasing -= 1;
      this.#watchers.look();
    });
  }

  #feederOf(firing: LiveFiring<Payload>): Feeder {
    return this.#feeders[shardOf(firing.id, this.#feeders.length)] as Feeder;
  }
}
