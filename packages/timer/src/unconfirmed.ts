/**
 * What a caller hears of an answer that too few replicas have: that it stands on the master only where what was asked for does. A refusal of
 * which nothing is noted needs no replicas, and is the answer.
 */
import { unconfirmedAnswer } from "@holdfast/core";
import type { NotReplicatedError } from "@holdfast/core";

/** How the call is named, and repeated. */
interface OneCall {
  readonly operation: string;
  readonly operationId: string;
}

/**
 * The error for an answer that is noted under its operation.
 * @param done the answers by which it is done; any other may be taken back like one of these, and is no answer to act on
 */
export function unconfirmed(
  answer: string,
  done: readonly string[],
  error: NotReplicatedError,
  { operation, operationId }: OneCall,
): Error {
  return done.includes(answer) ? error : unconfirmedAnswer(answer, error, operation, operationId);
}

/** For a call of its own. @throws as `unconfirmed` */
export function refuseUnconfirmed(
  answers: readonly string[] | undefined,
  done: readonly string[],
  error: NotReplicatedError,
  call: OneCall,
): never {
  throw unconfirmed(answers?.[0] ?? "", done, error, call);
}
