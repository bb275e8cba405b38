/**
 * What a process lives through under SIGSTOP, for one of several replicas in one process: none of its timers fires and none of its bytes
 * passes, while time goes on; afterwards everything comes at once.
 */
import { systemClock } from "@holdfast/core";
import type { Clock, TimerHandle } from "@holdfast/core";
import { FaultProxy } from "@holdfast/testkit";

interface Timer {
  readonly callback: () => void;
  readonly handle: TimerHandle;
}

/** The clock and the network of a replica that can be stopped. */
export class StoppableProcess implements AsyncDisposable {
  readonly clock: Clock;
  readonly #wire: FaultProxy;
  readonly #overdue = new Set<Timer>();
  #stopped: PromiseWithResolvers<void> | undefined;

  private constructor(wire: FaultProxy) {
    this.#wire = wire;
    const timers = new WeakMap<TimerHandle, Timer>();
    this.clock = {
      monotonicMs: () => systemClock.monotonicMs(),
      wallMs: () => systemClock.wallMs(),
      setTimer: (callback, delayMs, weak) => {
        const handle = systemClock.setTimer(
          () => {
            if (this.#stopped === undefined) callback();
            else this.#overdue.add(timer);
          },
          delayMs,
          weak,
        );
        const timer = { callback, handle };
        timers.set(handle, timer);
        return handle;
      },
      clearTimer: (handle) => {
        systemClock.clearTimer(handle);
        const timer = timers.get(handle);
        if (timer !== undefined) this.#overdue.delete(timer);
      },
    };
  }

  /** @param target where its bytes go */
  static async start(target: { readonly host: string; readonly port: number }): Promise<StoppableProcess> {
    return new StoppableProcess(await FaultProxy.start(target));
  }

  /** Where its client connects to. */
  get url(): string {
    return this.#wire.url;
  }

  get isStopped(): boolean {
    return this.#stopped !== undefined;
  }

  /** Code of this process goes on here, at once or when the process does. */
  get goesOn(): Promise<void> {
    return this.#stopped?.promise ?? Promise.resolve();
  }

  stop(): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = Promise.withResolvers();
    this.#wire.blackhole("both");
  }

  async resume(): Promise<void> {
    const stopped = this.#stopped;
    if (stopped === undefined) return;
    this.#stopped = undefined;
    // Timers before bytes, as a process does it that wakes up.
    for (const timer of this.#overdue) {
      this.#overdue.delete(timer);
      timer.callback();
    }
    stopped.resolve();
    await this.#wire.heal({ held: "deliver" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#wire.close();
  }
}
