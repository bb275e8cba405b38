/**
 * The clock of an actor: it flows as the machine's does, as that of the server, and jumps when the schedule says so. An actor that stands
 * still has a clock that goes on and timers that do not fire.
 */
import type { Clock, TimerHandle } from "@holdfast/core";

interface Timer {
  readonly dueMs: number;
  readonly callback: () => void;
  real: NodeJS.Timeout | undefined;
}

/** A clock by hand, beside a server whose clock is moved by the same hand. */
export class JumpClock implements Clock {
  private readonly timers = new Set<Timer>();
  private offsetMs = 0;
  private frozen = false;

  monotonicMs(): number {
    return performance.now() + this.offsetMs;
  }

  wallMs(): number {
    return performance.timeOrigin + performance.now() + this.offsetMs;
  }

  setTimer(callback: () => void, delayMs: number): TimerHandle {
    const timer: Timer = { dueMs: this.monotonicMs() + Math.max(0, delayMs), callback, real: undefined };
    this.timers.add(timer);
    this.arm(timer);
    return { timer };
  }

  clearTimer(handle: TimerHandle): void {
    for (const timer of this.timers) if (timer === (handle as { timer?: unknown }).timer) this.forget(timer);
  }

  /** Time has passed; what is due fires when {@link fireDue} is called. */
  jump(ms: number): void {
    this.offsetMs += ms;
  }

  /** Nothing fires until {@link thaw}. */
  freeze(): void {
    this.frozen = true;
  }

  /** What came due meanwhile fires at once. */
  async thaw(): Promise<void> {
    this.frozen = false;
    await this.fireDue();
  }

  /** Forgets all timers. */
  stop(): void {
    for (const timer of this.timers) this.forget(timer);
  }

  /** What is due fires in its order, each in a turn of its own. */
  async fireDue(): Promise<void> {
    while (!this.frozen) {
      const due = [...this.timers].filter(({ dueMs }) => dueMs <= this.monotonicMs());
      const [next] = due.toSorted((one, other) => one.dueMs - other.dueMs);
      if (next === undefined) break;
      this.forget(next);
      next.callback();
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
    for (const timer of this.timers) this.arm(timer);
  }

  private arm(timer: Timer): void {
    clearTimeout(timer.real);
    const waitMs = Math.min(0x7fffffff, Math.max(0, timer.dueMs - this.monotonicMs()));
    timer.real = setTimeout(() => this.onReal(timer), waitMs);
  }

  private onReal(timer: Timer): void {
    if (this.frozen || !this.timers.has(timer)) return;
    if (timer.dueMs > this.monotonicMs()) {
      this.arm(timer);
      return;
    }
    this.forget(timer);
    timer.callback();
  }

  private forget(timer: Timer): void {
    clearTimeout(timer.real);
    this.timers.delete(timer);
  }
}
