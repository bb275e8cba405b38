/** Three children that do nothing, under one deadline, and the join. */
import { AsyncLocalStorage } from "node:async_hooks";
import { scope } from "@holdfast/scope";
import type { ForkContext } from "@holdfast/scope";
import { Effect } from "effect";
import { call, race, run, sleep, spawn } from "effection";
import type { Operation } from "effection";
import type { Figure } from "../figure.ts";
import { nsPerCall } from "../in-process.ts";

const timeoutMs = 1_000;
const runs = 50_000;
const slowerRuns = 10_000;

async function child(): Promise<number> {
  return 1;
}

async function listening({ signal }: ForkContext): Promise<number> {
  return signal.aborted ? 0 : 1;
}

function promiseAll(): Promise<number[]> {
  return Promise.all([child(), child(), child()]);
}

const storage = new AsyncLocalStorage<object>();

/** A promise that could be rejected before the child has ended. */
function followed(): Promise<number> {
  return new Promise((resolve, reject) => {
    child().then(resolve, reject);
  });
}

/** What no scope can be without: a store that the work below finds, a promise of its own for each child and for the whole. */
function floor(): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const all = storage.run({}, () => Promise.all([followed(), followed(), followed()]));
    all.then(resolve, reject);
  });
}

function holdfast(work: (context: ForkContext) => Promise<number>): () => Promise<number[]> {
  return () =>
    scope({ name: "bench", timeoutMs }, (s) => Promise.all([s.fork("a", work), s.fork("b", work), s.fork("c", work)]));
}

function effect(): () => Promise<number[]> {
  const one = Effect.promise(child);
  const all = Effect.all([one, one, one], { concurrency: "unbounded" }).pipe(Effect.timeout("1 second"));
  return () => Effect.runPromise(all);
}

const operation = (): Operation<number> => call(child);

function* threeOperations(): Operation<number[]> {
  const children = [yield* spawn(operation), yield* spawn(operation), yield* spawn(operation)];
  const values: number[] = [];
  for (const one of children) values.push(yield* one);
  return values;
}

function effection(): () => PromiseLike<unknown> {
  return () => run(() => race([threeOperations(), sleep(timeoutMs)]));
}

/** Fork and join. */
export const forkJoin: Figure = {
  name: "fork and join of 3 children with a deadline",
  unit: "ns",
  note: "Promise.all has no deadline, cancels nobody and knows nobody; the floor has the promises and the storage of a scope besides. Effect: a program that is built once and run each time.",
  aim: {
    text: "≥ 6 × faster than Effect, ≤ 4 × Promise.all (≤ 7 × with signals read)",
    met: (median) =>
      6 * median("Holdfast") <= median("Effect") &&
      median("Holdfast") <= 4 * median("Promise.all") &&
      median("Holdfast, signals read") <= 7 * median("Promise.all"),
  },
  contestants: {
    "Promise.all": nsPerCall(() => promiseAll, runs),
    floor: nsPerCall(() => floor, runs),
    Effect: nsPerCall(effect, slowerRuns),
    effection: nsPerCall(() => {
      const once = effection();
      return () => Promise.resolve(once());
    }, slowerRuns / 10),
    "Holdfast, signals read": nsPerCall(() => holdfast(listening), runs),
    Holdfast: nsPerCall(() => holdfast(child), runs),
  },
};
