/**
 * Durable timers on Redis: timeouts that survive the process that set them.
 *
 * ```ts
 * const timeouts = new DurableTimer<{ orderId: string }>(redis, "payment-timeout");
 * await timeouts.schedule({ id: "order-1", afterMs: 60_000, payload: { orderId: "order-1" } });
 * const worker = timeouts.worker(async ({ payload, token }) => {
 *   await orders.expire(payload.orderId, token);
 * });
 * await worker.start();
 * ```
 */
export { DeadLetters, type DeadLetter } from "./dead-letters.ts";
export { DurableTimer, type CancelResult, type FireNowResult } from "./durable-timer.ts";
export {
  DeadLetterError,
  FiringLostError,
  NotIdleError,
  PayloadError,
  PendingLimitError,
  ReconcileWindowError,
  RetryInError,
  ShardsMismatchError,
  ShardsMovingError,
  SupersededError,
} from "./errors.ts";
export { timerChannel, type TimerEvent } from "./events.ts";
export type { Firing } from "./firing.ts";
export type { FiringHandler } from "./handlers.ts";
export type { TimerOptions, WorkerOptions } from "./options.ts";
export type { MigrationReport } from "./migration.ts";
export type { ReconcileReport } from "./reconciliation.ts";
export type { OperationOptions, ScheduleRequest, ScheduleResult, When } from "./schedule-request.ts";
export type { StoredTimer, TimerStats } from "./stored-timer.ts";
export { TimerWorker, type StopReport } from "./worker.ts";
export type { WorkerCounts } from "./worker-context.ts";
