/** `scope`: a function and its forks, as one call. */
import { callback, follow, withinAmbientDeadline } from "@holdfast/core";
import type { WorkOwner } from "@holdfast/core";
import { resolveScopeOptions } from "./options.ts";
import type { ScopeOptions } from "./options.ts";
import { noteEntry } from "./running-now.ts";
import { Scope } from "./scope.ts";
import type { EndOfScope } from "./scope.ts";
import { traced } from "./trace.ts";

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
    const body = new Body<Value>(scope, resolve, reject);
    scope.whenEnded(body);
    if (scope.cancelReason !== undefined) {
      scope.letGo();
      return;
    }
    noteEntry(scope);
    try {
      follow(body, withinAmbientDeadline(scope, traced(scope.name, null, fn), scope));
    } catch (error) {
      body.onError(error);
    }
  });
}

/** A scope's own function, from its start to the end of the scope. */
class Body<Value> implements WorkOwner, EndOfScope {
  readonly #scope: Scope;
  readonly #resolve: (value: Value) => void;
  readonly #reject: (error: unknown) => void;
  #value: unknown;

  constructor(scope: Scope, resolve: (value: Value) => void, reject: (error: unknown) => void) {
    this.#scope = scope;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onValue(value: unknown): void {
    this.#value = value;
    this.#scope.letGo();
  }

  onError(error: unknown): void {
    // After a cancellation the function fails with its reason or in consequence of it.
    if (this.#scope.cancelReason === undefined) this.#scope.failed(null, error);
    this.#scope.letGo();
  }

  ended(failure: { readonly error: unknown } | undefined): void {
    // Without a failure the scope ends no earlier than its function.
    if (failure === undefined) this.#resolve(this.#value as Value);
    else this.#reject(failure.error);
  }
}
