/** What a failure of a request means to a caller, where a call is several requests or several calls are one. */
import { isTransient, NotReplicatedError, OutcomeUnknownError } from "@holdfast/core";

/** Whether a request has said that it did nothing, for now. */
export function idle(error: unknown): boolean {
  return isTransient(error) && error.effect === "none";
}

/**
 * What a call ends with of which a request did nothing after others did their part.
 * @param operationId what the call is repeated with
 * @param why what was done, or may have been
 * @param advice how to go on, where another way than a repeat with `operationId`
 */
export function unfinished(
  error: unknown,
  operation: string,
  operationId: string,
  why: string,
  advice?: string,
): unknown {
  return idle(error) ? new OutcomeUnknownError(operation, operationId, { cause: error, why, advice }) : error;
}

/** What a call ends with of which more was to come than a step that too few replicas have: "done on the master" is said of the whole call. */
export function halfway(error: unknown, operation: string, operationId: string, advice?: string): unknown {
  if (!(error instanceof NotReplicatedError)) return error;
  const why = `a step is done, but too few replicas have it, and others are to come: ${error.message}`;
  return new OutcomeUnknownError(operation, operationId, { cause: error, why, advice });
}
