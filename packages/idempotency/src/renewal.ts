/** How leases are renewed: a refusal that no repetition changes is a lease that is lost, anything else may be tried again until the deadline. */
import { NewerFormatError, RedisRefusedError, UnexpectedReplyError } from "@holdfast/core";
import type { LeaseKeeperSettings } from "@holdfast/core";
import type { LeaseData } from "./attempt.ts";
import type { AttemptStore } from "./store.ts";

function isDefinite(error: unknown): boolean {
  return (
    error instanceof RedisRefusedError || error instanceof NewerFormatError || error instanceof UnexpectedReplyError
  );
}

/** Asks the store for each lease. */
export function renewalBy(store: AttemptStore): LeaseKeeperSettings<LeaseData>["renew"] {
  return (leases) =>
    Promise.all(
      leases.map(async ({ data }) => {
        try {
          return await store.renew(data);
        } catch (error) {
          if (isDefinite(error)) return "lost";
          throw error;
        }
      }),
    );
}
