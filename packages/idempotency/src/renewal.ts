/** How a lease is renewed: a refusal that no repetition changes is a lease that is lost, anything else may be tried again until the deadline. */
import { NewerFormatError, RedisRefusedError, UnexpectedReplyError } from "@holdfast/core";
import type { RenewalOutcome } from "@holdfast/core";
import type { LeaseData } from "./attempt.ts";
import type { AttemptStore } from "./store.ts";

function isDefinite(error: unknown): boolean {
  return (
    error instanceof RedisRefusedError || error instanceof NewerFormatError || error instanceof UnexpectedReplyError
  );
}

/** Asks the store. Rejects when the answer is not known. */
export async function renewed(store: AttemptStore, data: LeaseData): Promise<RenewalOutcome> {
  try {
    return await store.renew(data);
  } catch (error) {
    if (isDefinite(error)) return "lost";
    throw error;
  }
}
