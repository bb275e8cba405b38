/**
 * How long the caller of one request waits, and what it is told when the answer does not come in time. It waits for its own timeout and no
 * longer than the ambient deadline; the bound in server time (K1) is made from the same moment, so that what its caller has given up does
 * not happen later.
 */
import { ambientPatienceMs } from "./ambient-deadline.ts";
import type { Clock, TimerHandle } from "./clock.ts";
import { Deadline, deadlineListOf } from "./deadline-list.ts";
import { HoldfastError, OutcomeUnknownError, RedisUnavailableError } from "./errors.ts";
import { refusal } from "./refusal.ts";

/** What is asked, and how long the answer is waited for. */
export interface PatientCall {
  readonly operation: string;
  readonly timeoutMs: number;
}

/**
 * A wake-up that is late by more than this means that the process stood still. The answer may be in the socket then, so it gets one turn
 * of the event loop to arrive.
 */
const stoodStillMs = 20;

/** The moment at which a caller gives up. */
export class CallDeadline extends Deadline {
  readonly operation: string;
  /** When the wait began, in monotonic milliseconds. */
  readonly startMs: number;
  /** The longest wait from then on, the ambient deadline included. */
  readonly timeoutMs: number;
  readonly #clock: Clock;
  readonly #ownTimeoutMs: number;
  readonly #patienceMs: number;
  #timer: TimerHandle | undefined;
  #operationId: string | null = null;
  #reject: ((error: Error) => void) | undefined;
  #gaveUp = false;

  /** @param patienceMs what the ambient deadline leaves, from `startMs` on */
  constructor(
    clock: Clock,
    { operation, timeoutMs }: PatientCall,
    startMs: number = clock.monotonicMs(),
    patienceMs: number = ambientPatienceMs(),
  ) {
    super();
    this.operation = operation;
    this.startMs = startMs;
    this.timeoutMs = Math.min(timeoutMs, patienceMs);
    this.#clock = clock;
    this.#ownTimeoutMs = timeoutMs;
    this.#patienceMs = patienceMs;
  }

  /** Monotonic milliseconds. */
  get atMs(): number {
    return this.startMs + this.timeoutMs;
  }

  get hasPassed(): boolean {
    return this.#clock.monotonicMs() >= this.atMs;
  }

  /** The caller was told that there is no answer; one that comes now tells nobody anything. */
  get gaveUp(): boolean {
    return this.#gaveUp;
  }

  /** The same call with so many milliseconds more of its own; the ambient deadline stays. */
  prolonged(extraMs: number): CallDeadline {
    const call = { operation: this.operation, timeoutMs: this.#ownTimeoutMs + extraMs };
    return new CallDeadline(this.#clock, call, this.startMs, this.#patienceMs);
  }

  /** Rejects at the deadline, unless it is cancelled before. One watch at a time. */
  watch(operationId: string | null, reject: (error: Error) => void): void {
    this.#operationId = operationId;
    this.#reject = reject;
    if (this.timeoutMs === this.#ownTimeoutMs) {
      deadlineListOf(this.#clock, this.timeoutMs).start(this, this.startMs);
      return;
    }
    // What an ambient deadline leaves is another length each time, and nothing that a list could share.
    this.#timer = this.#clock.setTimer(() => this.onDeadline(), this.atMs - this.#clock.monotonicMs(), true);
  }

  override onDeadline(): void {
    if (this.#clock.monotonicMs() - this.atMs < stoodStillMs) this.#giveUp();
    else this.#clock.setTimer(() => this.#giveUp(), 0, true);
  }

  override cancel(): void {
    super.cancel();
    if (this.#timer === undefined) return;
    this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
  }

  /** Waits for an answer no longer than the caller does. A later answer is ignored: the bound in server time voids a late execution. */
  bound<Value>(ask: () => Promise<Value>, operationId: string | null): Promise<Value> {
    return new Promise((resolve, reject) => {
      this.watch(operationId, reject);
      // Async, so that a client that throws at once is heard like one that rejects.
      const answer = (async () => ask())();
      answer.then(
        (value) => {
          this.cancel();
          resolve(value);
        },
        (error: unknown) => {
          this.cancel();
          reject(error instanceof HoldfastError ? error : refusal(this.operation, operationId, error));
        },
      );
    });
  }

  #giveUp(): void {
    this.#gaveUp = true;
    this.#reject?.(this.#noAnswer());
  }

  #noAnswer(): Error {
    const operationId = this.#operationId;
    const why = `no answer within ${Math.ceil(this.timeoutMs)} ms`;
    return operationId === null
      ? new RedisUnavailableError(this.operation, "UNREACHABLE", `${why}; check the server's load and the network`)
      : new OutcomeUnknownError(this.operation, operationId, { why });
  }
}
