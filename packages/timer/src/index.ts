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
export { DurableTimer, type CancelResult, type OperationOptions } from "./durable-timer.ts";
export {
  DeadLetterError,
  FiringLostError,
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
export type { TimerOptions, WorkerOptions } from "./options.ts";
export type { ScheduleRequest, ScheduleResult, When } from "./schedule-request.ts";
export { TimerWorker, type FiringHandler, type StopReport } from "./worker.ts";
export type { WorkerCounts } from "./worker-context.ts";
