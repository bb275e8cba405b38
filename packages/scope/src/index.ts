/**
 * Subtasks under one deadline.
 *
 * ```ts
 * const page = await scope({ name: "checkout", timeoutMs: 350 }, async (s) => {
 *   const user = s.fork("user", ({ signal }) => loadUser(id, signal));
 *   const cart = s.fork("cart", { timeoutMs: 200 }, ({ signal }) => loadCart(id, signal));
 *   return { user: await user, cart: await cart };
 * });
 * ```
 */
export {
  CallerCancelledError,
  NoSuccessError,
  ScopeEndedError,
  ScopeShutdownError,
  ScopeTimeoutError,
  SiblingFailedError,
  SiblingWonError,
  type CancelReason,
} from "./errors.ts";
export { cancellableFetch } from "./cancellable-fetch.ts";
export { cancellableQuery, type QueryClient, type QueryPool } from "./cancellable-query.ts";
export { pause } from "./pause.ts";
export { currentDeadline, type CurrentDeadline } from "./current-deadline.ts";
export {
  deadlineHeaders,
  withDeadlineFrom,
  type DeadlineFromOptions,
  type IncomingHeaders,
} from "./deadline-headers.ts";
export { scopeChannel, type ScopeEvent } from "./events.ts";
export { watchEventLoop, type EventLoopWatch, type EventLoopWatchOptions } from "./event-loop-watch.ts";
export type { ForkContext } from "./fork.ts";
export { collect, firstSuccess, type Collected, type Tasks } from "./joiners.ts";
export { openScope, OpenScope } from "./open-scope.ts";
export type { ForkOptions, ScopeOptions } from "./options.ts";
export type { ScopeReport } from "./report.ts";
export { scope, type ScopeFunction } from "./run-scope.ts";
export type { ForkFunction, Scope } from "./scope.ts";
export { watchScopes, type ScopeTotals, type ScopeWatch } from "./scope-watch.ts";
