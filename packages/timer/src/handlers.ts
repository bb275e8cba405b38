/**
 * Runs the handlers of a worker and says what became of each: acknowledged, tried again, given up. How many may run, and what waits, is
 * the worker's.
 */
import { backoffMs, follow, wordsOf } from "@holdfast/core";
import { DeadLetterError, RetryInError } from "./errors.ts";
import type { Feeder } from "./feeder.ts";
import type { Firing, FiringOwner, LiveFiring } from "./firing.ts";
import type { Settled, Verdict } from "./settlement.ts";
import { traced } from "./trace.ts";
import type { WorkerContext } from "./worker-context.ts";

/** What runs when a timer is due. Runs at least once per timer; its effects must be safe to repeat. */
export type FiringHandler<Payload> = (firing: Firing<Payload>) => unknown;

/** What the handlers need from their worker. */
export interface HandlersHost<Payload> {
  feederOf(firing: LiveFiring<Payload>): Feeder;
  /** Gives an unstarted firing back. */
  release(firing: LiveFiring<Payload>): void;
  /** False once the worker is to stop. */
  mayBegin(): boolean;
  /** A place is free, or something was told. */
  ended(): void;
}

/** The handlers of one worker. */
export class Handlers<Payload> implements FiringOwner {
  readonly #context: WorkerContext<Payload>;
  readonly #handler: FiringHandler<Payload>;
  readonly #host: HandlersHost<Payload>;
  readonly #running = new Set<LiveFiring<Payload>>();
  #finished = 0;
  /** How long they run, on the average of the last few; undefined before the first. */
  durationMs: number | undefined;

  constructor(context: WorkerContext<Payload>, handler: FiringHandler<Payload>, host: HandlersHost<Payload>) {
    this.#context = context;
    this.#handler = handler;
    this.#host = host;
  }

  get running(): number {
    return this.#running.size;
  }

  /** Handlers that have ended, well or not. */
  get finished(): number {
    return this.#finished;
  }

  /** Begins one. */
  begin(firing: LiveFiring<Payload>): void {
    this.#running.add(firing);
    // A process that vanishes in this handler would leave no trace of the attempt, so the trace is made first (T6).
    if (firing.suspect) void this.#recordStart(firing).then((recorded) => recorded && this.#run(firing));
    else this.#run(firing);
  }

  /** Tells those that still run to stop. */
  abandon(): void {
    for (const firing of this.#running) firing.abandon();
  }

  /** Runs the handler, without a promise of our own where nothing has to be waited for. */
  #run(firing: LiveFiring<Payload>): void {
    firing.started = true;
    firing.startedAtMs = this.#context.timer.clock.monotonicMs();
    try {
      const { codec } = this.#context;
      const value = codec.decode(firing.id, firing.record.payloadText);
      if (codec.checks) {
        follow(firing, this.#runChecked(firing, value));
        return;
      }
      firing.payload = value as Payload;
      const result = traced(this.#handler, firing);
      // Still within: what a handler returns may throw when it is asked what it is.
      if (isThenable(result)) {
        follow(firing, result);
        return;
      }
    } catch (error) {
      firing.onError(error);
      return;
    }
    firing.onValue();
  }

  async #runChecked(firing: LiveFiring<Payload>, value: unknown): Promise<void> {
    firing.payload = await this.#context.codec.validate(firing.id, value);
    await traced(this.#handler, firing);
  }

  /** True when the beginning is on record, the lease is still ours, and the worker was not told to stop meanwhile. */
  async #recordStart(firing: LiveFiring<Payload>): Promise<boolean> {
    firing.started = true;
    const held = await firing.lease.renew().catch(() => undefined);
    if (held === true && this.#host.mayBegin()) return true;
    firing.started = false;
    this.#running.delete(firing);
    // It was not run, so it is given back without the attempt, whether or not the record was made.
    if (held === false) firing.leave();
    else this.#host.release(firing);
    this.#host.ended();
    return false;
  }

  /** Takes a firing whose handler has ended out of the running ones; returns how long it ran. */
  #left(firing: LiveFiring<Payload>): number {
    const durationMs = this.#context.timer.clock.monotonicMs() - firing.startedAtMs;
    this.durationMs = this.durationMs === undefined ? durationMs : this.durationMs * 0.8 + durationMs * 0.2;
    this.#running.delete(firing);
    this.#finished += 1;
    firing.leave();
    return durationMs;
  }

  succeeded(firing: LiveFiring<Payload>): void {
    const durationMs = this.#left(firing);
    const { access, counts, events } = this.#context;
    counts.fired += 1;
    events.emit(() => {
      const { id, generation, attempt, latenessMs } = firing;
      return { type: "fired", timer: access.name, id, generation, attempt, latenessMs, durationMs };
    });
    const feeder = this.#host.feederOf(firing);
    if (firing.plain) feeder.acknowledge(firing);
    else void feeder.conclude(firing);
    this.#host.ended();
  }

  failed(firing: LiveFiring<Payload>, error: unknown): void {
    this.#left(firing);
    const { access, events } = this.#context;
    const verdict = this.#verdict(firing, error);
    const feeder = this.#host.feederOf(firing);
    const settling = feeder.settlements.settle(firing, verdict);
    events.emit(() => {
      const { id, generation, attempt, latenessMs } = firing;
      const delayMs = verdict.verb === "retry" ? verdict.delayMs : 0;
      const next = verdict.verb === "retry" ? "retry" : "dead";
      return { type: "failed", timer: access.name, id, generation, attempt, latenessMs, error, next, delayMs };
    });
    this.#host.ended();
    void settling.then((settled) => this.#settled(firing, verdict, settled, error));
  }

  #settled(firing: LiveFiring<Payload>, verdict: Verdict, settled: Settled, error: unknown): void {
    const { access, counts, events } = this.#context;
    const feeder = this.#host.feederOf(firing);
    if (settled === "lost") feeder.stale(firing);
    if (settled === "pending" && verdict.verb === "retry") {
      counts.retried += 1;
      feeder.expectIn(verdict.delayMs);
    }
    if (settled === "dead") {
      counts.dead += 1;
      const { id, attempt: attempts } = firing;
      events.emit(() => ({ type: "dead", timer: access.name, id, attempts, why: wordsOf(error) }));
    }
    this.#host.ended();
  }

  #verdict(firing: LiveFiring<Payload>, error: unknown): Verdict {
    const { options, timer } = this.#context;
    if (error instanceof DeadLetterError || firing.attempt >= options.attemptsMax)
      return { verb: "dead", why: wordsOf(error) };
    const delayMs =
      error instanceof RetryInError ? error.delayMs : backoffMs(options.backoff, firing.attempt, timer.random);
    return { verb: "retry", delayMs };
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === "function";
}
