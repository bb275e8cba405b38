/** Two other ways to join forks: the first success, and whatever there is at the deadline. */
import { optionsObject } from "@holdfast/core";
import { NoSuccessError, ScopeTimeoutError, SiblingWonError } from "./errors.ts";
import type { CancelReason } from "./errors.ts";
import { resolveScopeOptions } from "./options.ts";
import type { ScopeOptions } from "./options.ts";
import { runScope } from "./run-scope.ts";
import { Scope } from "./scope.ts";
import type { ForkFunction } from "./scope.ts";

/** Forks by name. */
export type Tasks = Readonly<Record<string, ForkFunction<unknown>>>;

type ValueOf<Task> = Task extends ForkFunction<infer Value> ? Value : never;

/** What became of one task of `collect`. */
export type Collected<Value> =
  | { readonly kind: "success"; readonly value: Value }
  | { readonly kind: "failed"; readonly error: unknown }
  | { readonly kind: "timed-out"; readonly error: ScopeTimeoutError }
  | { readonly kind: "cancelled"; readonly error: CancelReason }
  /** It was cancelled and is still running. */
  | { readonly kind: "zombie"; readonly error: CancelReason };

/**
 * Runs alternatives side by side; the first to succeed cancels the rest, and the call returns when they have ended.
 * @returns the winner's value
 * @throws NoSuccessError when all have failed; ScopeTimeoutError; CallerCancelledError
 */
export async function firstSuccess<const Alternatives extends Tasks>(
  options: ScopeOptions,
  alternatives: Alternatives,
): Promise<ValueOf<Alternatives[keyof Alternatives]>> {
  const names = taskNames("alternatives", alternatives);
  const errors: Record<string, unknown> = {};
  let winner: { readonly name: string; readonly value: unknown } | undefined;
  const scope = new Scope(resolveScopeOptions(options), "continue");
  const lost = await runScope(scope, async () => {
    const attempts = names.map(async (name) => {
      try {
        const value = await scope.fork(name, alternatives[name] as ForkFunction<unknown>);
        winner ??= { name, value };
        scope.cancel(new SiblingWonError(scope.name, winner.name));
      } catch (error) {
        errors[name] = error;
      }
    });
    await Promise.all(attempts);
  }).then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  if (winner !== undefined) return winner.value as ValueOf<Alternatives[keyof Alternatives]>;
  throw lost === undefined ? new NoSuccessError(scope.name, errors) : lost.error;
}

/**
 * Runs tasks side by side and tells what became of each; one that fails or is late does not disturb the others, and nothing is thrown
 * for it.
 * @returns one entry per task, at the latest at the deadline plus the grace
 */
export async function collect<const All extends Tasks>(
  options: ScopeOptions,
  tasks: All,
): Promise<{ readonly [Name in keyof All]: Collected<ValueOf<All[Name]>> }> {
  const names = taskNames("tasks", tasks);
  const scope = new Scope(resolveScopeOptions(options), "continue");
  const settled = new Map<string, Collected<unknown>>();
  const working = new Set<string>();
  const follow = async (name: string): Promise<void> => {
    const task = tasks[name] as ForkFunction<unknown>;
    let begun = false;
    try {
      const value = await scope.fork(name, (context) => {
        begun = true;
        return followed(working, name, () => task(context));
      });
      settled.set(name, { kind: "success", value });
    } catch (error) {
      // What a cancellation did not let begin is told as what it did not let end.
      settled.set(name, lossOf(begun ? error : (scope.cancelReason ?? error), scope));
    }
  };
  const done = runScope(scope, async () => {
    await Promise.all(names.map(follow));
  });
  // The deadline and the caller's signal show in the entries.
  await done.catch(() => undefined);
  const entries = names.map((name) => {
    const outcome = settled.get(name) ?? lossOf(scope.cancelReason, scope);
    const late = outcome.kind === "timed-out" || outcome.kind === "cancelled";
    return [name, late && working.has(name) ? { kind: "zombie", error: outcome.error } : outcome];
  });
  return Object.fromEntries(entries) as { readonly [Name in keyof All]: Collected<ValueOf<All[Name]>> };
}

async function followed(working: Set<string>, name: string, task: () => unknown): Promise<unknown> {
  working.add(name);
  try {
    return await task();
  } finally {
    working.delete(name);
  }
}

function lossOf(error: unknown, scope: Scope): Collected<unknown> {
  const reason = scope.cancelReason;
  if (reason === undefined || error !== reason) return { kind: "failed", error };
  // The deadline of a scope around this one cancels it as its caller does.
  if (reason instanceof ScopeTimeoutError && reason.scope === scope.name) return { kind: "timed-out", error: reason };
  return { kind: "cancelled", error: reason };
}

function taskNames(field: string, tasks: Tasks): string[] {
  optionsObject(field, tasks);
  const names = Object.keys(tasks);
  if (names.length === 0) throw new RangeError(`${field} must name at least one function, got none`);
  for (const name of names) {
    if (typeof tasks[name] !== "function")
      throw new TypeError(`${field}.${name} must be a function, got ${typeof tasks[name]}`);
  }
  return names;
}
