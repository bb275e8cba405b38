/**
 * What has to be done elsewhere because of what was committed here: written in the same transaction, done at least once, by whichever replica
 * comes to it. Each of them is safe to repeat.
 */
import type { Redis } from "ioredis";
import type { Pool } from "pg";
import { CommittedTimer, type CommittedTimerOptions } from "./committed-timer.ts";
import type { PaymentProvider } from "./payment-provider.ts";
import type { Log } from "./payment-timeouts.ts";
import type { Stock } from "./stock.ts";
import type { Database } from "./transaction.ts";

/** One thing to be done. */
export type FollowUp =
  /** The order is paid. */
  | { readonly kind: "confirm-stock"; readonly orderId: string }
  /** The order timed out. */
  | { readonly kind: "release-stock"; readonly orderId: string }
  /** The order timed out while a payment was under way. */
  | { readonly kind: "void-payment"; readonly orderId: string; readonly paymentKey: string };

/** The things to be done of all replicas. */
export class FollowUps {
  private readonly committed: CommittedTimer<FollowUp>;
  private readonly provider: PaymentProvider | undefined;
  private readonly stock: Stock | undefined;

  constructor(
    redis: Redis,
    pool: Pool,
    { provider, stock }: { readonly provider: PaymentProvider | undefined; readonly stock: Stock | undefined },
    log: Log,
    options: CommittedTimerOptions,
  ) {
    this.provider = provider;
    this.stock = stock;
    this.committed = new CommittedTimer<FollowUp>(redis, pool, "follow-up", log, options, ({ payload }) =>
      this.run(payload),
    );
  }

  /** With the transaction. */
  add(tx: Database, followUp: FollowUp): Promise<void> {
    return this.committed.schedule(tx, `${followUp.kind}/${followUp.orderId}`, 0, followUp);
  }

  /** @throws Error when what was committed is not done. */
  check(): Promise<void> {
    return this.committed.check();
  }

  start(): Promise<void> {
    return this.committed.start();
  }

  stop(graceMs: number): Promise<void> {
    return this.committed.stop(graceMs);
  }

  private async run(followUp: FollowUp): Promise<void> {
    switch (followUp.kind) {
      case "confirm-stock":
        return present(this.stock, "STOCK_NAME").confirm(followUp.orderId);
      case "release-stock":
        return present(this.stock, "STOCK_NAME").release(followUp.orderId);
      case "void-payment":
        return present(this.provider, "PAYMENT_PROVIDER_URL").void(followUp.paymentKey);
    }
  }
}

/** A replica that was configured otherwise leaves it to the others: it comes again. */
function present<Part>(part: Part | undefined, variable: string): Part {
  if (part === undefined) throw new Error(`${variable} is not set in this replica.`);
  return part;
}
