/**
 * Runs a handler for each timer that is due: at most `concurrencyMax` at a time, claims no more than it has places for plus one batch
 * (T10), and only while handlers are so short that the batch does not wait.
 */
import { backoffMs, integer, optionsObject, signal as checkSignal } from "@holdfast/core";
import type { EventSink, TimerHandle } from "@holdfast/core";
import { DeadLetterError, RetryInError } from "./errors.ts";
import type { TimerEvent } from "./events.ts";
import { claimMax, Feeder } from "./feeder.ts";
import type { FeederHost } from "./feeder.ts";
import type { Firing, LiveFiring } from "./firing.ts";
import { shardOf } from "./keys.ts";
import type { ResolvedTimerOptions, ResolvedWorkerOptions } from "./options.ts";
import type { PayloadCodec } from "./payload.ts";
import type { Verdict } from "./settlement.ts";
import type { ShardAccess } from "./shard-access.ts";
import type { WorkerContext, WorkerCounts } from "./worker-context.ts";

/** What runs when a timer is due. Runs at least once per timer; its effects must be safe to repeat. */
export type FiringHandler<Payload> = (firing: Firing<Payload>) => unknown;

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
  readonly #handler: FiringHandler<Payload>;
  readonly #onStopped: () => void;
  readonly #feeders: readonly Feeder[];
  readonly #running = new Set<LiveFiring<Payload>>();
  #waiting: LiveFiring<Payload>[] = [];
  #waitTimer: TimerHandle | undefined;
  #reserved = 0;
  #durationMs: number | undefined;
  #state: "new" | "running" | "stopping" | "stopped" = "new";
  #stopping: Promise<StopReport> | undefined;
  #finished = 0;
  #releasing = 0;
  #watchers: (() => void)[] = [];

  /** Made by `DurableTimer.worker`. */
  constructor(parts: WorkerParts<Payload>) {
    const { timer, worker: options, access, events, codec } = parts;
    const counts: WorkerCounts = {
      claimed: 0,
      fired: 0,
      retried: 0,
      dead: 0,
      lost: 0,
      stale: 0,
      released: 0,
      lapsed: 0,
    };
    this.#context = { workerId: timer.random.id(), timer, options, access, events, codec, counts };
    this.#handler = parts.handler;
    this.#onStopped = parts.onStopped;
    const host: FeederHost = {
      reserve: (wanted) => this.#reserve(wanted),
      giveBack: (places) => this.#giveBack(places),
      accept: (firings) => this.#accept(firings as readonly LiveFiring<Payload>[]),
      changed: () => this.#changed(),
    };
    const context = this.#context as WorkerContext<unknown>;
    this.#feeders = Array.from({ length: timer.shards }, (_, shard) => new Feeder(context, shard, host));
  }

  /** Begins to claim. Resolves at once: a server that is away delays the firing, not the start. */
  async start(): Promise<void> {
    if (this.#state === "running") return;
    if (this.#state !== "new") throw new TypeError("a worker that was stopped does not start again; make a new one");
    this.#state = "running";
    for (const feeder of this.#feeders) feeder.start();
  }

  /** What it has done so far; a copy. */
  counts(): Readonly<WorkerCounts> & { readonly running: number; readonly waiting: number } {
    return { ...this.#context.counts, running: this.#running.size, waiting: this.#waiting.length };
  }

  /**
   * Resolves when nothing is due, nothing runs, and everything that ended has been told to the server. Timers of the future do not count.
   * @throws the signal's reason
   */
  async idle(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { signal } = options;
    checkSignal("signal", signal);
    await this.#until(() => this.#isIdle(), signal);
  }

  /**
   * Claims no more, gives back what has not begun, waits for running handlers at most `graceMs`, then aborts their signals. Ends within
   * `graceMs` whether or not Redis answers. Safe to repeat.
   * @param options graceMs: milliseconds, 0 to 86,400,000
   */
  stop(options: { readonly graceMs: number } = { graceMs: 10_000 }): Promise<StopReport> {
    optionsObject("options", options);
    const graceMs = integer("graceMs", options.graceMs, { min: 0, max: 86_400_000 });
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop({ graceMs: 10_000 });
  }

  async #stop(graceMs: number): Promise<StopReport> {
    const { clock } = this.#context.timer;
    this.#state = "stopping";
    for (const feeder of this.#feeders) feeder.stopClaiming();
    const finishedBefore = this.#finished;
    const releasedBefore = this.#context.counts.released;
    this.#releaseWaiting();
    const grace = new AbortController();
    const timer = clock.setTimer(() => grace.abort(new Error("the grace is over")), graceMs);
    const isDone = (): boolean => this.#running.size === 0 && this.#isTold();
    const told = await this.#until(isDone, grace.signal).then(
      () => true,
      () => isDone(),
    );
    clock.clearTimer(timer);
    this.#state = "stopped";
    const unfinished = this.#running.size;
    for (const firing of this.#running) firing.abandon();
    for (const feeder of this.#feeders) feeder.close();
    this.#onStopped();
    return {
      finished: this.#finished - finishedBefore,
      unfinished,
      released: this.#context.counts.released - releasedBefore,
      told: told || this.#isTold(),
    };
  }

  #isIdle(): boolean {
    return (
      this.#running.size + this.#waiting.length + this.#releasing === 0 && this.#feeders.every((feeder) => feeder.idle)
    );
  }

  #isTold(): boolean {
    return this.#waiting.length + this.#releasing === 0 && this.#feeders.every((feeder) => feeder.told);
  }

  #until(isReached: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        this.#watchers = this.#watchers.filter((watcher) => watcher !== look);
        signal?.removeEventListener("abort", onAbort);
        settle();
      };
      const look = (): void => {
        if (isReached()) finish(resolve);
      };
      const onAbort = (): void => finish(() => reject(signal?.reason as Error));
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#watchers.push(look);
      look();
    });
  }

  #changed(): void {
    for (const watcher of this.#watchers) watcher();
  }

  #reserve(wanted: number): number {
    const { concurrencyMax } = this.#context.options;
    const taken = this.#running.size + this.#waiting.length + this.#reserved;
    const free = concurrencyMax - taken;
    const ahead =
      this.#waiting.length > 0 || this.#durationMs === undefined
        ? 0
        : Math.floor((aheadMs * concurrencyMax) / Math.max(this.#durationMs, 0.01));
    const places = Math.max(0, Math.min(wanted, free + Math.min(ahead, claimMax)));
    this.#reserved += places;
    return places;
  }

  #giveBack(places: number): void {
    this.#reserved -= places;
    // Another shard may have found no place meanwhile.
    if (places > 0 && this.#feeders.length > 1) for (const feeder of this.#feeders) feeder.pumpSoon();
  }

  #accept(firings: readonly LiveFiring<Payload>[]): void {
    this.#reserved -= firings.length;
    for (const firing of firings) {
      if (this.#state !== "running") this.#release(firing);
      else if (this.#running.size < this.#context.options.concurrencyMax) this.#begin(firing);
      else this.#waiting.push(firing);
    }
    if (this.#waiting.length > 0 && this.#waitTimer === undefined) {
      this.#waitTimer = this.#context.timer.clock.setTimer(() => {
        this.#waitTimer = undefined;
        this.#durationMs = waitMaxMs;
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
    this.#running.add(firing);
    void this.#run(firing);
  }

  async #run(firing: LiveFiring<Payload>): Promise<void> {
    const { clock } = this.#context.timer;
    // A process that vanishes in this handler would leave no trace of the attempt, so the trace is made first (T6).
    if (firing.suspect && !(await this.#recordStart(firing))) return;
    firing.started = true;
    const startedAtMs = clock.monotonicMs();
    try {
      const { codec } = this.#context;
      const value = codec.decode(firing.resource, firing.record.payloadText);
      firing.payload = codec.checks ? await codec.validate(firing.resource, value) : (value as Payload);
      const result = this.#handler(firing);
      if (isThenable(result)) await result;
    } catch (error) {
      this.#left(firing, startedAtMs);
      await this.#failed(firing, error);
      return;
    }
    this.#succeeded(firing, this.#left(firing, startedAtMs));
  }

  /** True when the beginning is on record and the lease is still ours. */
  async #recordStart(firing: LiveFiring<Payload>): Promise<boolean> {
    firing.started = true;
    const held = await firing.lease.renew().catch(() => undefined);
    if (held === true) return true;
    firing.started = false;
    this.#running.delete(firing);
    // Nobody knows whether the record was made: it was not run, so it is given back without the attempt.
    if (held === undefined) this.#release(firing);
    else firing.leave();
    this.#next();
    return false;
  }

  /** Takes a firing whose handler has ended out of the running ones; returns how long it ran. */
  #left(firing: LiveFiring<Payload>, startedAtMs: number): number {
    const durationMs = this.#context.timer.clock.monotonicMs() - startedAtMs;
    this.#durationMs = this.#durationMs === undefined ? durationMs : this.#durationMs * 0.8 + durationMs * 0.2;
    this.#running.delete(firing);
    this.#finished += 1;
    firing.leave();
    return durationMs;
  }

  #succeeded(firing: LiveFiring<Payload>, durationMs: number): void {
    const { access, counts, events } = this.#context;
    counts.fired += 1;
    events.emit(() => {
      const { id, generation, attempt, latenessMs } = firing;
      return { type: "fired", timer: access.name, id, generation, attempt, latenessMs, durationMs };
    });
    const feeder = this.#feederOf(firing);
    if (firing.plain) feeder.acknowledge(firing);
    else void feeder.conclude(firing);
    this.#next();
  }

  async #failed(firing: LiveFiring<Payload>, error: unknown): Promise<void> {
    const { access, counts, events } = this.#context;
    const verdict = this.#verdict(firing, error);
    const feeder = this.#feederOf(firing);
    const settling = feeder.settlements.settle(firing, verdict);
    events.emit(() => {
      const { id, generation, attempt, latenessMs } = firing;
      const delayMs = verdict.verb === "retry" ? verdict.delayMs : 0;
      const next = verdict.verb === "retry" ? "retry" : "dead";
      return { type: "failed", timer: access.name, id, generation, attempt, latenessMs, error, next, delayMs };
    });
    this.#next();
    const settled = await settling;
    if (settled === "lost") feeder.stale(firing);
    if (settled === "pending" && verdict.verb === "retry") {
      counts.retried += 1;
      feeder.expectIn(verdict.delayMs);
    }
    if (settled === "dead") {
      counts.dead += 1;
      const { id, attempt: attempts } = firing;
      events.emit(() => ({ type: "dead", timer: access.name, id, attempts, why: describe(error) }));
    }
    this.#next();
  }

  #verdict(firing: LiveFiring<Payload>, error: unknown): Verdict {
    const { options, timer } = this.#context;
    if (error instanceof DeadLetterError || firing.attempt >= options.attemptsMax)
      return { verb: "dead", why: describe(error) };
    const delayMs =
      error instanceof RetryInError ? error.delayMs : backoffMs(options.backoff, firing.attempt, timer.random);
    return { verb: "retry", delayMs };
  }

  /** A place is free, or something was told: more may begin. */
  #next(): void {
    const { concurrencyMax } = this.#context.options;
    while (this.#waiting.length > 0 && this.#running.size < concurrencyMax)
      this.#begin(this.#waiting.shift() as LiveFiring<Payload>);
    if (this.#waiting.length === 0 && this.#waitTimer !== undefined) {
      this.#context.timer.clock.clearTimer(this.#waitTimer);
      this.#waitTimer = undefined;
    }
    for (const feeder of this.#feeders) feeder.pumpSoon();
    if (this.#watchers.length > 0) this.#changed();
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
      this.#changed();
    });
  }

  #feederOf(firing: LiveFiring<Payload>): Feeder {
    return this.#feeders[shardOf(firing.id, this.#feeders.length)] as Feeder;
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === "function";
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
