/**
 * The breaker: opossum keeps the window and says when it is exceeded; this adapter admits, allots probes with a bound, ignores results of
 * an earlier generation (B4) and records only conclusive outcomes (B2).
 *
 * opossum's own capacity, timeout, percentiles, snapshots, abort controller and reset timer are off. Half-open is decided here, by the
 * injected clock, since opossum can enter it only by a timer of its own, sends one probe of any length, and closes on any success.
 */
import { warn } from "@holdfast/core";
import type { EventEmitter } from "node:events";
import CircuitBreaker from "opossum";
import type { Clock } from "@holdfast/core";
import type { Admission, Breaker, BreakerState } from "./breaker.ts";
import { OpossumWindow } from "./opossum-window.ts";
import type { ResolvedBreakerOptions } from "./options.ts";
import type { SharedSide } from "./shared-breaker.ts";

/** Told of every change of state. */
export type OnBreakerState = (state: BreakerState, because: string) => void;

/**
 * So many probes that end without telling anything, per probe allotted, open the breaker again. One whose caller has given it up counts
 * only as long as its work goes on: aborts do not open it (B2), and probes that nobody waits for do not pile up.
 */
const inconclusiveMax = 10;
/** opossum opens above its threshold, we at it. */
const thresholdMargin = 1e-9;

type Circuit = CircuitBreaker<[unknown], never>;

/** Whether anybody else listens to an event than those who did at first; counting them for each call costs more than the call's own books. */
class Audience {
  heard = false;

  constructor(circuit: EventEmitter, event: string) {
    const own = circuit.listenerCount(event);
    circuit.on("newListener", (name) => {
      if (name === event) this.heard = true;
    });
    circuit.on("removeListener", (name) => {
      if (name === event) this.heard = circuit.listenerCount(event) > own;
    });
  }
}

/** What a listener throws becomes a warning of the process: opossum and the breaker are in the middle of their books when they tell. */
function warnOfListeners(circuit: EventEmitter): void {
  const emit = circuit.emit.bind(circuit);
  circuit.emit = (name: string | symbol, ...told: unknown[]): boolean => {
    try {
      return emit(name, ...told);
    } catch (error) {
      warn(error);
      return true;
    }
  };
}

/** A breaker on an opossum circuit. */
export class OpossumBreaker implements Breaker, SharedSide {
  /** For opossum's exporters. Its events and `stats` are live; call nothing on it that changes its state. */
  readonly circuit: Circuit;
  readonly openMs: number;
  readonly probeMs: number;
  readonly #options: ResolvedBreakerOptions;
  readonly #clock: Clock;
  readonly #window: OpossumWindow;
  readonly #onState: OnBreakerState;
  /** Of what is told most often. */
  readonly #ofSuccesses: Audience;
  readonly #ofRejections: Audience;
  #state: BreakerState = "closed";
  #generation = 0;
  #openUntilMs = 0;
  #probesOut = 0;
  #probesPassed = 0;
  #inconclusive = 0;

  /** @param probeMs longest time that a probe takes, in milliseconds */
  constructor(name: string, options: ResolvedBreakerOptions, probeMs: number, clock: Clock, onState: OnBreakerState) {
    this.openMs = options.openMs;
    this.probeMs = probeMs;
    this.#options = options;
    this.#clock = clock;
    this.#onState = onState;
    this.#window = new OpossumWindow(clock, options.windowMs);
    const settings = {
      name,
      timeout: false as const,
      errorThresholdPercentage: options.failurePercent - thresholdMargin,
      volumeThreshold: options.callsMin,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      status: this.#window,
    };
    const fail = (error: unknown): never => {
      throw error;
    };
    this.circuit = new CircuitBreaker<[unknown], never>(fail, settings as unknown as CircuitBreaker.Options);
    // One of these two would arm opossum's own timer for half-open.
    this.circuit.removeAllListeners("open");
    // opossum's exporters follow the events that have a listener.
    this.circuit.on("open", () => undefined);
    warnOfListeners(this.circuit);
    this.#ofSuccesses = new Audience(this.circuit, "success");
    this.#ofRejections = new Audience(this.circuit, "reject");
  }

  get state(): BreakerState {
    return this.#state === "open" && this.#clock.monotonicMs() >= this.#openUntilMs ? "half-open" : this.#state;
  }

  get generation(): number {
    return this.#generation;
  }

  get needsDurations(): boolean {
    return this.#ofSuccesses.heard || this.#options.slowCallMs !== Infinity;
  }

  isSlow(durationMs: number): boolean {
    return durationMs >= this.#options.slowCallMs;
  }

  admit(nowMs: number): Admission {
    if (this.#state === "closed") return "pass";
    if (this.#state === "open" ? nowMs < this.#openUntilMs : this.#allProbesSent) return this.#refuse(nowMs);
    // Asked for each probe: the right may have passed to another process since the first.
    if (this.#options.shared?.mayProbe() === false) return this.#refuse(nowMs);
    if (this.#state === "open") {
      this.#halfOpen();
      // Whoever heard of it may have called, and decided everything.
      return this.admit(nowMs);
    }
    this.#probesOut += 1;
    return "probe";
  }

  succeeded(generation: number, durationMs: number, nowMs: number): void {
    if (generation !== this.#generation) return;
    // Nearly all calls: the count is all there is to do.
    if (this.#state === "closed" && !this.needsDurations) this.#window.succeeded(nowMs);
    else this.#answered(durationMs, nowMs);
  }

  failed(generation: number, error: unknown, nowMs: number): void {
    if (generation !== this.#generation || this.#state === "open") return;
    if (this.#state === "half-open") {
      this.circuit.emit("failure", error, 0, [error]);
      this.#open(nowMs, "a probe failed");
      return;
    }
    // opossum counts it and decides, before this returns.
    this.circuit.fire(error).catch(() => undefined);
    if (this.circuit.opened) this.#opened(nowMs, "failures");
  }

  inconclusive(generation: number, nowMs: number): void {
    if (generation !== this.#generation || this.#state !== "half-open") return;
    this.#probesOut -= 1;
    this.#inconclusive += 1;
    if (this.#inconclusive >= inconclusiveMax * this.#options.probes) this.#open(nowMs, "probes told nothing");
  }

  ended(generation: number): void {
    if (generation === this.#generation && this.#state === "half-open") this.#inconclusive -= 1;
  }

  openFromElsewhere(leftMs: number): void {
    if (this.#state === "open") return;
    this.#openCircuit();
    this.#enterOpen(this.#clock.monotonicMs() + leftMs, "another process opened it");
  }

  closeFromElsewhere(): void {
    if (this.#state !== "closed") this.#close(this.#clock.monotonicMs(), "another process closed it");
  }

  /** Opens it, or keeps it open from now on, on the evidence of this process. */
  #open(nowMs: number, because: string): void {
    this.#openCircuit();
    this.#opened(nowMs, because);
  }

  #openCircuit(): void {
    if (this.circuit.opened) this.circuit.emit("open");
    else this.circuit.open();
  }

  #close(nowMs: number, because: string): void {
    // Afterwards whoever is told may call at once, and what he finds out counts.
    this.#window.reset(nowMs);
    this.circuit.close();
    this.#enter("closed", because);
  }

  #answered(durationMs: number, nowMs: number): void {
    if (this.#state === "open") return;
    const slow = this.isSlow(durationMs);
    if (this.#state === "half-open") {
      this.#probeSucceeded(slow, durationMs, nowMs);
      return;
    }
    if (this.#ofSuccesses.heard) {
      this.circuit.emit("fire", []);
      this.circuit.emit("success", undefined, durationMs);
    } else {
      this.#window.succeeded(nowMs);
    }
    if (!slow) return;
    this.#window.wasSlow(nowMs);
    if (this.#slowPercentReached(nowMs)) this.#open(nowMs, "slow calls");
  }

  get #allProbesSent(): boolean {
    return this.#probesOut + this.#probesPassed >= this.#options.probes;
  }

  #refuse(nowMs: number): Admission {
    if (this.#ofRejections.heard) {
      this.circuit.emit("reject", new Error("Breaker is open"));
    } else {
      this.#window.refused(nowMs);
    }
    return "refuse";
  }

  #halfOpen(): void {
    this.#probesOut = 0;
    this.#probesPassed = 0;
    this.#inconclusive = 0;
    this.#enter("half-open", "openMs have passed");
    this.circuit.emit("halfOpen", this.#options.openMs);
  }

  #probeSucceeded(slow: boolean, durationMs: number, nowMs: number): void {
    if (slow && this.#options.slowPercent !== undefined) {
      this.#open(nowMs, "a probe was slow");
      return;
    }
    this.circuit.emit("success", undefined, durationMs);
    this.#probesOut -= 1;
    this.#probesPassed += 1;
    if (this.#probesPassed < this.#options.probes) return;
    this.#close(nowMs, "all probes succeeded");
    this.#options.shared?.closed();
  }

  #slowPercentReached(nowMs: number): boolean {
    const { slowPercent, callsMin } = this.#options;
    if (slowPercent === undefined) return false;
    const { results, slow } = this.#window.slowness(nowMs);
    return results >= callsMin && (slow / results) * 100 >= slowPercent;
  }

  #opened(nowMs: number, because: string): void {
    this.#enterOpen(nowMs + this.#options.openMs, because);
    this.#options.shared?.opened();
  }

  #enterOpen(untilMs: number, because: string): void {
    this.#openUntilMs = untilMs;
    this.#enter("open", because);
  }

  #enter(state: BreakerState, because: string): void {
    this.#state = state;
    this.#generation += 1;
    this.#onState(state, because);
  }
}
