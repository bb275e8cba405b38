/** Keeps the leases of one shard's firings: prolongs many with one request, and counts those that are lost (T3). */
import { Coalescer, LeaseKeeper } from "@holdfast/core";
import type { RenewalOutcome, RenewedLease } from "@holdfast/core";
import type { LiveFiring } from "./firing.ts";
import { extendScript } from "./scripts.ts";
import type { WorkerContext } from "./worker-context.ts";

type Lease = RenewedLease<LiveFiring<unknown>>;

const extendMax = 100;

/** @param onFailure a renewal failed; it is tried again as long as the lease lasts */
export function firingKeeper(
  context: WorkerContext<unknown>,
  shard: number,
  onFailure: (error: unknown) => void,
): LeaseKeeper<LiveFiring<unknown>> {
  const { access, counts, events, timer } = context;
  const together = new Coalescer<Lease, RenewalOutcome>(extendMax, (leases) => extend(context, shard, leases));
  return new LeaseKeeper({
    clock: timer.clock,
    renew: (lease) => together.add(lease),
    onRenewalFailed: (_, error) => onFailure(error),
    onEnd: (lease, end) => {
      if (end === "released" || end === "closed") return;
      counts.lost += 1;
      const { data, token } = lease;
      events.emit(() => ({ type: "lost", timer: access.name, id: data.id, token, reason: end }));
    },
  });
}

async function extend(
  { access, options }: WorkerContext<unknown>,
  shard: number,
  leases: readonly Lease[],
): Promise<readonly RenewalOutcome[]> {
  const outcomes = await access.run(
    shard,
    async ({ keys, layout }, timeoutMs) => {
      const items: (string | number)[] = [];
      for (const { data: firing } of leases) {
        // From here on, only its token tells the lease from another.
        firing.plain = false;
        items.push(
          firing.id,
          firing.batch.leaseEnd,
          firing.token,
          firing.started ? firing.attempt : firing.attempt - 1,
        );
      }
      return access.connection.run(
        extendScript,
        keys,
        { layout, leaseUs: options.leaseMs * 1_000, items },
        {
          operation: `timer.extend ${access.name}`,
          operationId: "extend",
          timeoutMs: Math.min(timeoutMs, options.leaseMs),
        },
      );
    },
    true,
  );
  return outcomes.split("").map((letter) => (letter === "r" ? "renewed" : letter === "c" ? "cancelled" : "lost"));
}
