/**
 * Random histories of one bulkhead under a clock that is moved by hand: arrivals, aborts, hangs, failures, time. After each step no more
 * work runs than there are permits; at the end the order of dispatch, the sum of the outcomes and the books are checked.
 */
import { ManualClock, SeededRandom } from "@holdfast/testkit";
import { expect, it } from "vitest";
import { Bulkhead, BulkheadRejectedError, CallTimeoutError, outcomes } from "../src/index.ts";
import type { Outcome } from "../src/index.ts";

const runs = 1_000;
const seed = 20_260_601;
const leastOfEach = 150;

interface Attempt {
  readonly id: number;
  readonly controller: AbortController;
  dispatched?: number;
  /** Ends its work. */
  end?: (how: "value" | "error") => void;
  ended: boolean;
  result?: Outcome;
  settled: number;
}

class History {
  readonly random: SeededRandom;
  readonly clock = new ManualClock();
  readonly attempts: Attempt[] = [];
  readonly limit: number;
  readonly queue: "fifo" | "lifo";
  readonly one: Bulkhead;
  #dispatches = 0;

  constructor(run: number) {
    this.random = new SeededRandom(`${seed}/${run}`);
    const { random } = this;
    this.limit = random.int(1, 4);
    this.queue = random.unit() < 0.5 ? "fifo" : "lifo";
    const breaker = {
      callsMin: random.int(2, 8),
      openMs: random.int(20, 200),
      windowMs: 2_000,
      probes: random.int(1, 2),
      slowCallMs: 60,
    };
    this.one = new Bulkhead(`model ${run}`, {
      concurrencyMax: this.limit,
      queueMax: random.int(0, 6),
      queue: this.queue,
      timeoutMs: random.int(50, 300),
      zombieMaxMs: random.int(50, 400),
      clock: this.clock,
      ...(random.unit() < 0.5 ? { breaker } : {}),
    });
  }

  get running(): number {
    return this.attempts.filter(({ dispatched, ended }) => dispatched !== undefined && !ended).length;
  }

  arrive(): void {
    const attempt: Attempt = { id: this.attempts.length, controller: new AbortController(), ended: false, settled: 0 };
    this.attempts.push(attempt);
    const timeoutMs = this.random.unit() < 0.3 ? this.random.int(1, 400) : undefined;
    const listens = this.random.unit() < 0.3;
    const run = this.one.run({ signal: attempt.controller.signal, timeoutMs }, ({ signal }) => {
      this.#dispatches += 1;
      attempt.dispatched = this.#dispatches;
      return new Promise<string>((resolve, reject) => {
        attempt.end = (how) => {
          if (attempt.ended) return;
          attempt.ended = true;
          if (how === "value") resolve("value");
          else reject(new Error("work failed"));
        };
        if (listens) signal.addEventListener("abort", () => attempt.end?.("error"));
      });
    });
    const startMs = (): number => this.clock.monotonicMs();
    const beganMs = startMs();
    run.then(
      () => {
        attempt.settled += 1;
        attempt.result = "success";
      },
      (error: unknown) => {
        attempt.settled += 1;
        attempt.result = outcomeOf(error);
        if (startMs() < beganMs) throw new Error("time went back");
      },
    );
  }

  async step(): Promise<void> {
    const { random } = this;
    const open = this.attempts.filter(({ end, ended }) => end !== undefined && !ended);
    const unsettled = this.attempts.filter(({ settled }) => settled === 0);
    const dice = random.unit();
    if (dice < 0.45) this.arrive();
    else if (dice < 0.7)
      open[random.int(0, Math.max(0, open.length - 1))]?.end?.(random.unit() < 0.7 ? "value" : "error");
    else if (dice < 0.78)
      unsettled[random.int(0, Math.max(0, unsettled.length - 1))]?.controller.abort(new Error("caller"));
    await this.clock.advance(dice < 0.78 ? 0 : random.int(1, 60));
    const { leaked, inFlight, zombies } = this.one.snapshot();
    // B1: what runs has a permit, or was given up as leaked; probes have permits of their own.
    expect(this.running).toBe(inFlight + leaked);
    expect(zombies).toBeLessThanOrEqual(inFlight);
  }

  async finish(): Promise<void> {
    await this.clock.advance(1_000);
    for (const attempt of this.attempts) attempt.end?.("value");
    await this.clock.advance(1_000);
  }

  /** Pairs of calls that were both dispatched, of which the later one waited already when the earlier was dispatched. */
  outOfOrder(): boolean {
    const dispatched = this.attempts.filter((attempt) => attempt.dispatched !== undefined);
    return dispatched.some((older) =>
      dispatched.some((newer) => newer.id > older.id && (newer.dispatched as number) < (older.dispatched as number)),
    );
  }
}

function withoutSlow({ slow: _slow, ...rest }: Record<string, number>): Record<string, number> {
  return rest;
}

function outcomeOf(error: unknown): Outcome {
  if (error instanceof BulkheadRejectedError) return error.reason;
  if (error instanceof CallTimeoutError) return "timed-out";
  return (error as Error).message === "caller" ? "cancelled" : "failed";
}

it(
  `B1 B3 B8 ${runs} random histories keep permits, order and the sum of outcomes (seed ${seed})`,
  { timeout: 300_000 },
  async () => {
    const total = new Map<Outcome, number>(outcomes.map((outcome) => [outcome, 0]));
    let reordered = 0;
    for (let run = 0; run < runs; run += 1) {
      const history = new History(run);
      for (let step = 0; step < 40; step += 1) await history.step();
      await history.finish();
      const snapshot = history.one.snapshot();
      expect(snapshot, `run ${run}`).toMatchObject({ inFlight: 0, zombies: 0, leaked: 0, queued: 0 });
      expect(
        history.attempts.every(({ settled }) => settled === 1),
        `run ${run}: every call is answered once`,
      ).toBe(true);
      const { slow, success, ...rest } = snapshot.outcomes;
      const seen = Object.fromEntries(
        outcomes.map((outcome) => [outcome, history.attempts.filter(({ result }) => result === outcome).length]),
      );
      expect({ ...rest, success: success + slow }, `run ${run}`).toEqual(withoutSlow(seen));
      for (const outcome of outcomes) total.set(outcome, (total.get(outcome) as number) + snapshot.outcomes[outcome]);
      if (history.queue === "fifo") expect(history.outOfOrder(), `run ${run}: first come, first served`).toBe(false);
      else if (history.outOfOrder()) reordered += 1;
      await history.clock.advance(100_000);
      expect(history.clock.pendingTimers, `run ${run}`).toBe(0);
    }
    expect(reordered).toBeGreaterThan(leastOfEach / 3);
    const rare = [...total].filter(([, count]) => count < leastOfEach);
    expect(rare).toEqual([]);
  },
);
