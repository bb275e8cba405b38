/** `scope`: a function and its forks, as one call. */
import { callback, withinAmbientDeadline } from "@holdfast/core";
import { resolveScopeOptions } from "./options.ts";
import type { ScopeOptions } from "./options.ts";
import { noteEntry } from "./running-now.ts";
import { Scope } from "./scope.ts";

/** A scope's own function. */
export type ScopeFunction<Value> = (scope: Scope) => PromiseLike<Value> | Value;

/**
 * Runs a function whose forks end with it. The first failure, the deadline, the caller's signal or the enclosing scope cancels all forks.
 * @returns the function's value, when it and all forks have succeeded
 * @throws ScopeTimeoutError at the deadline; the first failure of a fork or of the function; CallerCancelledError; the enclosing scope's
 *   reason; TypeError, RangeError at the call
 */
export function scope<Value>(options: ScopeOptions, fn: ScopeFunction<Value>): Promise<Value> {
  callback("fn", fn);
  return runScope(new Scope(resolveScopeOptions(options), "cancel"), fn);
}

/** Runs the scope's function to its end and waits for the forks. */
export function runScope<Value>(scope: Scope, fn: ScopeFunction<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    let value: Value;
    scope.whenEnded((failure) => {
      // Without a failure the scope ends no earlier than its function.
      if (failure === undefined) resolve(value);
      else reject(failure.error);
    });
    if (scope.cancelReason !== undefined) {
      scope.letGo();
      return;
    }
    noteEntry(scope);
    try {
      const work = withinAmbientDeadline(scope, () => fn(scope));
      Promise.resolve(work).then(
        (result) => {
          value = result;
          scope.letGo();
        },
        (error: unknown) => bodyFailed(scope, error),
      );
    } catch (error) {
      bodyFailed(scope, error);
    }
  });
}

function bodyFailed(scope: Scope, error: unknown): void {
  // After a cancellation the function fails with its reason or in consequence of it.
  if (scope.cancelReason === undefined) scope.failed(null, error);
  scope.letGo();
}
