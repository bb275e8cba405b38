/** What is left to do once a job is out: its next occurrence must not fire, and its run under way is told to stop. */
import { NotReplicatedError, OutcomeUnknownError, underOwnId } from "@holdfast/core";
import type { DurableTimer } from "@holdfast/timer";
import type { RemovalOnMaster } from "./job-store.ts";
import { occurrenceId } from "./keys.ts";

/**
 * Cancels the timers of a job that is out.
 * @throws OutcomeUnknownError when one could not be told, NotReplicatedError when all is done on the master alone
 */
export async function tellRemoved(
  timers: DurableTimer,
  removal: Extract<RemovalOnMaster, { readonly kind: "removed" }>,
  operation: string,
  operationId: string,
): Promise<void> {
  const ids = [removal.nextMs > 0 ? occurrenceId(removal.nextMs) : "", removal.open].filter((id) => id !== "");
  const answers = await Promise.allSettled(ids.map((id) => timers.cancel(id)));
  const failures = answers.flatMap((answer) => (answer.status === "rejected" ? [unconfirmedOr(answer.reason)] : []));
  const cause = failures.find((failure) => !(failure instanceof NotReplicatedError));
  const why = "the job is out, and its run may not have been told";
  if (cause !== undefined) throw new OutcomeUnknownError(operation, operationId, { cause, why });
  // All of it is done on the master.
  const [short = removal.unconfirmed] = failures;
  if (short !== undefined) throw underOwnId(short, operation, operationId);
}

/** That a timer was firing is told as unknown where too few replicas have it (decision 074); that its run is to be told is done all the same. */
function unconfirmedOr(error: unknown): unknown {
  return error instanceof OutcomeUnknownError && error.cause instanceof NotReplicatedError ? error.cause : error;
}
