/** `openScope`: a scope that begins in one place and ends in another, such as the hooks of a web framework. */
import { withinAmbientDeadline } from "@holdfast/core";
import { ScopeShutdownError } from "./errors.ts";
import { resolveScopeOptions } from "./options.ts";
import type { ForkOptions, ScopeOptions } from "./options.ts";
import type { ScopeReport } from "./report.ts";
import { Scope } from "./scope.ts";
import type { ForkFunction } from "./scope.ts";

/** A scope that its opener closes. */
export class OpenScope implements AsyncDisposable {
  readonly #scope: Scope;
  #report: Promise<ScopeReport> | undefined;

  /** @throws TypeError, RangeError */
  constructor(options: ScopeOptions) {
    this.#scope = new Scope(resolveScopeOptions(options), "cancel");
  }

  /** Its name. */
  get name(): string {
    return this.#scope.name;
  }

  /** Aborts when the scope is cancelled or closed while forks run. */
  get signal(): AbortSignal {
    return this.#scope.signal;
  }

  /** Milliseconds until the deadline, Infinity when there is none. */
  get remainingMs(): () => number {
    return this.#scope.remainingMs;
  }

  /** As `fork` of a scope. @throws ScopeEndedError after `close` */
  fork<Value>(name: string, fn: ForkFunction<Value>): Promise<Value>;
  fork<Value>(name: string, options: ForkOptions | undefined, fn: ForkFunction<Value>): Promise<Value>;
  fork<Value>(
    name: string,
    ...rest: [ForkFunction<Value>] | [ForkOptions | undefined, ForkFunction<Value>]
  ): Promise<Value> {
    return rest.length === 1 ? this.#scope.fork(name, rest[0]) : this.#scope.fork(name, rest[0], rest[1]);
  }

  /** Runs a function, and what it calls, under this scope's deadline. */
  run<Value>(fn: () => Value): Value {
    return withinAmbientDeadline(this.#scope, fn, undefined);
  }

  /** What has become of the forks so far. */
  report(): ScopeReport {
    return this.#scope.report();
  }

  /**
   * Ends it: forks that still run are cancelled with ScopeShutdownError and have the grace to end. Safe to repeat; never rejects.
   * @returns the outcomes of all forks
   */
  close(): Promise<ScopeReport> {
    this.#report ??= this.#close();
    return this.#report;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close().then(() => undefined);
  }

  #close(): Promise<ScopeReport> {
    return new Promise((resolve) => {
      this.#scope.whenEnded({ ended: () => resolve(this.#scope.report()) });
      if (this.#scope.report().running > 0) this.#scope.cancel(new ScopeShutdownError(this.name));
      this.#scope.letGo();
    });
  }
}

/** Opens a scope that the caller closes. @throws TypeError, RangeError */
export function openScope(options: ScopeOptions): OpenScope {
  return new OpenScope(options);
}
