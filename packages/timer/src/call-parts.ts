/**
 * What a call ends with that is several requests, when one of them failed. What is said of an error is said of the whole call: that it had no
 * effect only when no part of it had any, and that it is done on the master only when all parts are.
 */
import { HoldfastError, NotReplicatedError, OutcomeUnknownError, underOwnId } from "@holdfast/core";
import {
  PayloadError,
  PendingLimitError,
  ReconcileWindowError,
  ShardsMismatchError,
  SupersededError,
} from "./errors.ts";

/** How a call is named, and repeated. */
export interface WholeCall {
  readonly operation: string;
  readonly operationId: string;
  /** What to do where no repeat with `operationId` finds out. */
  readonly advice?: string;
}

/** The parts of one call. */
export class CallParts {
  readonly #call: WholeCall;
  readonly #failures: unknown[] = [];
  #isBegun = false;
  #isCutShort = false;

  constructor(call: WholeCall) {
    this.#call = call;
  }

  get failed(): boolean {
    return this.#failures.length > 0;
  }

  /** Something was carried out. */
  begin(): void {
    this.#isBegun = true;
  }

  /** A part failed. */
  fail(error: unknown): void {
    this.#failures.push(error);
  }

  /** Parts are left out because of a failure. */
  cutShort(): void {
    this.#isCutShort = true;
  }

  /** What the caller hears. A failure that may have had an effect goes before those that had none. */
  get failure(): unknown {
    const unknown = this.#failures.find((error) => error instanceof HoldfastError && error.effect === "possible");
    if (unknown === undefined) {
      const [first] = this.#failures;
      return this.#isBegun ? inPart(first, this.#call) : first;
    }
    const isDone = !this.#isCutShort && this.#failures.every((error) => error instanceof NotReplicatedError);
    return unknown instanceof NotReplicatedError && !isDone
      ? unfinished(unknown, this.#call)
      : unknownAs(unknown, this.#call);
  }
}

/** What a call ends with when one part of it failed and another was carried out. */
export function inPart(error: unknown, call: WholeCall): unknown {
  if (!(error instanceof HoldfastError)) return error;
  // It says that what it carried is done, which is not the whole call.
  if (error instanceof NotReplicatedError) return unfinished(error, call);
  return error.effect === "possible" ? unknownAs(error, call) : (refusalInPart(error) ?? unfinished(error, call));
}

/** A refusal that a repeat does not change keeps its type: it names what is to be changed. */
function refusalInPart(error: HoldfastError): HoldfastError | undefined {
  const options = { cause: error.cause, effect: "possible" } as const;
  if (error instanceof PendingLimitError) return new PendingLimitError(error.resource, error.pendingMax, options);
  if (error instanceof SupersededError) return new SupersededError(error.resource, options);
  if (error instanceof PayloadError) return new PayloadError(error.resource, error.reason, error.detail, options);
  if (error instanceof ShardsMismatchError)
    return new ShardsMismatchError(error.timer, error.shards, error.shardsStored, options);
  if (error instanceof ReconcileWindowError)
    return new ReconcileWindowError(error.timer, error.asOfMs, error.earliestMs, error.latestMs, options);
  return undefined;
}

function unfinished(error: HoldfastError, { operation, operationId, advice }: WholeCall): OutcomeUnknownError {
  const why = `a part of it was carried out, another was not: ${error.message}`;
  return new OutcomeUnknownError(operation, operationId, { cause: error, why, advice });
}

function unknownAs(error: unknown, { operation, operationId, advice }: WholeCall): unknown {
  if (advice === undefined || !(error instanceof OutcomeUnknownError)) return underOwnId(error, operation, operationId);
  return new OutcomeUnknownError(operation, operationId, { cause: error, why: "a part of it was lost", advice });
}
