/**
 * Calls whose work has begun: what becomes of each for its caller, and how long the work keeps its permit. A caller gets its answer at the
 * timeout or at its abort; the permit comes back when the work has really settled (B1).
 */
import { tracingChannel } from "node:diagnostics_channel";
import { deadlineListOf, follow } from "@holdfast/core";
import type { Clock } from "@holdfast/core";
import { LiveContext, notDispatched } from "./call.ts";
import type { Call, CallFunction, CallWork } from "./call.ts";
import { EndTimes } from "./end-times.ts";
import { CallTimeoutError, withoutStack } from "./errors.ts";
import { bulkheadChannel } from "./events.ts";
import { Findings } from "./findings.ts";
import type { Outcome } from "./outcome.ts";
import type { PermitSettings } from "./permit-settings.ts";
import { HeldPermit } from "./reentry.ts";

/** What a tracer is told of the work of one call. */
interface TracedCall {
  readonly bulkhead: string;
  readonly probe: boolean;
  /** Milliseconds in the queue. */
  readonly waitMs: number;
}

/**
 * A deadline that is noticed later than this by means that the process stood still. The answer may be in the socket then, and gets one turn
 * of the event loop to arrive, before anybody is blamed.
 */
const stoodStillMs = 20;

const tracing = tracingChannel<unknown, TracedCall>(bulkheadChannel);

/** Told of what comes back. */
export interface ReturnedPermits {
  /** A permit is free. */
  onFree(): void;
  /** The call's work has settled: nothing refers to it any more. */
  onSettled(call: Call): void;
}

/** The work in flight of one bulkhead. */
export class InFlight implements CallWork {
  readonly findings: Findings;
  readonly #settings: PermitSettings;
  readonly #clock: Clock;
  readonly #owner: ReturnedPermits;
  readonly #ends: EndTimes;
  #ordinary = 0;
  #probes = 0;
  /** The work that is marked as the holder of the last permit. */
  #marked: Call | undefined;

  constructor(settings: PermitSettings, owner: ReturnedPermits) {
    this.#settings = settings;
    this.#clock = settings.options.clock;
    this.#owner = owner;
    this.findings = new Findings(settings);
    this.#ends = new EndTimes(settings);
  }

  /** Work on ordinary permits, zombies included. */
  get ordinary(): number {
    return this.#ordinary;
  }

  /** Probes, on permits of their own (B4). */
  get probes(): number {
    return this.#probes;
  }

  /** Gives a call its permit and begins its work. @param limit ordinary permits in all */
  begin(call: Call, nowMs: number, limit: number): void {
    if (call.probe) this.#probes += 1;
    else this.#ordinary += 1;
    call.generation = this.#settings.breaker.generation;
    call.state = "running";
    call.dispatchedMs = nowMs;
    this.#ends.begin(call, nowMs);
    this.#settings.adaptive?.dispatched(this.#ordinary, nowMs);
    const context = new LiveContext(this.#clock, call.submittedMs + call.timeoutMs);
    call.context = context;
    const fn = tracing.hasSubscribers ? this.#traced(call) : call.fn;
    const last = this.#ordinary >= limit && this.#marked === undefined && !call.probe;
    let work: unknown;
    let settles: boolean;
    try {
      work = last ? this.#mark(call).run(() => fn(context)) : fn(context);
      settles = typeof (work as PromiseLike<unknown> | null | undefined)?.then !== "function";
    } catch (error) {
      this.onError(call, error);
      return;
    }
    if (settles) this.onValue(call, work);
    else follow(call, work);
  }

  #traced(call: Call): CallFunction<unknown> {
    const { fn, probe } = call;
    const traced = { bulkhead: this.#settings.options.name, probe, waitMs: call.dispatchedMs - call.submittedMs };
    return (context) => tracing.tracePromise(async () => fn(context), traced);
  }

  /** The work has settled with a value. */
  onValue(call: Call, value: unknown): void {
    const nowMs = this.#ends.end(call);
    const durationMs = nowMs - call.dispatchedMs;
    if (call.timed) this.findings.took(durationMs, nowMs);
    if (call.state === "running") {
      call.disarm();
      this.ended(call, this.findings.answered(call, value, durationMs, nowMs), nowMs);
      call.resolve(value);
    }
    this.#settled(call, durationMs, nowMs);
  }

  /** The work has failed; a late failure ends here (B8). */
  onError(call: Call, error: unknown): void {
    call.timed = true;
    const nowMs = this.#ends.end(call);
    const durationMs = nowMs - call.dispatchedMs;
    if (call.state === "running") {
      call.disarm();
      this.ended(call, this.findings.failed(call, error, durationMs, nowMs), nowMs);
      call.reject(error);
    }
    this.#settled(call, durationMs, nowMs);
  }

  /** The time of its caller is over, or the time that it may have as a zombie. */
  onDeadline(call: Call): void {
    const nowMs = this.#clock.monotonicMs();
    if (call.state === "abandoned") {
      this.#leak(call, nowMs);
      return;
    }
    if (nowMs - call.dueAtMs < stoodStillMs) this.#timedOut(call, nowMs);
    else this.#timeOutSoon(call);
  }

  #timeOutSoon(call: Call): void {
    // Its object may serve another call by then.
    const { context } = call;
    const giveUp = (): void => {
      if (call.context === context && call.state === "running") this.#timedOut(call, this.#clock.monotonicMs());
    };
    this.#clock.setTimer(giveUp, 0, true);
  }

  #timedOut(call: Call, nowMs: number): void {
    const { name } = this.#settings.options;
    const waitedMs = call.dispatchedMs - call.submittedMs;
    const error = withoutStack(() => new CallTimeoutError(name, call.timeoutMs, waitedMs));
    this.findings.timedOut(call, error, nowMs);
    this.#abandon(call, "timed-out", error, nowMs);
  }

  /** The caller has given up. */
  cancel(call: Call, reason: unknown): void {
    const nowMs = this.#clock.monotonicMs();
    call.cancelled = true;
    this.findings.cancelled(call, nowMs);
    this.#abandon(call, "cancelled", reason, nowMs);
  }

  /** Enters the end of a call for its caller into the books. */
  ended(call: Call, outcome: Outcome, nowMs: number): void {
    const dispatched = call.dispatchedMs !== notDispatched;
    const waitMs = (dispatched ? call.dispatchedMs : nowMs) - call.submittedMs;
    const { accounts } = this.#settings;
    if (outcome === "queue-timeout") accounts.waited(waitMs, nowMs);
    accounts.ended(outcome, waitMs, dispatched ? nowMs - call.dispatchedMs : 0);
  }

  #mark(call: Call): HeldPermit {
    this.#marked = call;
    call.held = new HeldPermit(this);
    return call.held;
  }

  /** The caller has its answer; the work goes on and keeps its permit, at most zombieMaxMs. */
  #abandon(call: Call, outcome: Outcome, reason: unknown, nowMs: number): void {
    call.disarm();
    call.state = "abandoned";
    call.timed = true;
    // A zombie may never end: let somebody else be the one who is refused.
    if (call === this.#marked) this.#marked = undefined;
    this.#settings.accounts.zombies += 1;
    this.ended(call, outcome, nowMs);
    call.reject(reason);
    deadlineListOf(this.#clock, this.#settings.options.zombieMaxMs).start(call, nowMs);
    call.context?.abort(reason);
  }

  #leak(call: Call, nowMs: number): void {
    call.state = "leaked";
    const { accounts, events, options } = this.#settings;
    accounts.zombies -= 1;
    accounts.leaked += 1;
    events.emit(() => ({ type: "leaked", bulkhead: options.name, runMs: nowMs - call.dispatchedMs }));
    this.#giveBack(call);
  }

  /** The work has really ended. */
  #settled(call: Call, durationMs: number, nowMs: number): void {
    if (call.timed) {
      this.#settings.accounts.ran(durationMs, nowMs);
      this.findings.held(call, durationMs);
    }
    if (call.state !== "running") this.#zombieEnded(call, durationMs);
    if (call.state !== "leaked") this.#giveBack(call);
    this.#owner.onSettled(call);
  }

  #zombieEnded(call: Call, runMs: number): void {
    const { accounts, events, options } = this.#settings;
    const leaked = call.state === "leaked";
    call.cancel();
    if (leaked) accounts.leaked -= 1;
    else accounts.zombies -= 1;
    events.emit(() => ({ type: "zombie-ended", bulkhead: options.name, runMs, leaked }));
  }

  #giveBack(call: Call): void {
    call.held?.end();
    if (call === this.#marked) this.#marked = undefined;
    if (call.probe) {
      this.#probes -= 1;
      if (call.cancelled) this.findings.cancelledEnded(call);
    } else {
      this.#ordinary -= 1;
    }
    this.#owner.onFree();
  }
}
