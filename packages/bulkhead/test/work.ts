/** Work for tests that is settled by hand, and a turn of the event loop. */
import { pollUntil } from "@holdfast/testkit";
import type { ManualClock } from "@holdfast/testkit";
import type { Bulkhead } from "../src/index.ts";

/** Work that the test ends. */
export interface HandWork<Value> {
  readonly promise: Promise<Value>;
  resolve(value: Value): void;
  reject(error: Error): void;
}

/** Work that stays open until the test ends it. */
export function handWork<Value = string>(): HandWork<Value> {
  let resolve: (value: Value) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<Value>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

/** Never settles. */
export function hang(): Promise<never> {
  return new Promise(() => undefined);
}

/** Fails when it is told to stop, as `fetch` does. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

/** The error of a dependency that says that it has done nothing. */
export function busy(message = "busy"): Error {
  return Object.assign(new Error(message), { effect: "none" as const });
}

/** Lets everything settle that can settle by itself. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** How a promise has ended so far. */
export interface Watched {
  value?: unknown;
  error?: unknown;
  done: boolean;
}

/** Follows a promise to its end. */
export function watch(promise: Promise<unknown>): Watched {
  const seen: Watched = { done: false };
  promise.then(
    (value) => Object.assign(seen, { value, done: true }),
    (error: unknown) => Object.assign(seen, { error, done: true }),
  );
  return seen;
}

/** Teaches a bulkhead how long the dependency takes. */
export async function answersIn(clock: ManualClock, one: Bulkhead, durationMs: number, calls = 8): Promise<void> {
  for (let call = 0; call < calls; call += 1) {
    const work = handWork();
    const run = one.run(() => work.promise);
    await clock.advance(durationMs);
    work.resolve("ok");
    await run;
  }
  await clock.advance(50);
}

/** Calls that stay open until the test ends them. */
export interface OpenCalls {
  readonly works: HandWork<string>[];
  readonly runs: Watched[];
  /** How many have begun. */
  readonly running: () => number;
}

/** Starts calls that stay open. */
export function openCalls(one: { run(fn: () => Promise<string>): Promise<string> }, calls: number): OpenCalls {
  const works = Array.from({ length: calls }, () => handWork());
  let running = 0;
  const runs = works.map((work) =>
    watch(
      one.run(() => {
        running += 1;
        return work.promise;
      }),
    ),
  );
  return { works, runs, running: () => running };
}

/** Waits for what must become true without anybody telling. */
export function settled(probe: () => boolean, what: string): Promise<unknown> {
  return pollUntil(what, async () => probe(), { timeoutMs: 60_000, intervalMs: 5 });
}
