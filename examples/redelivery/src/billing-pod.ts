/**
 * The process: bills until SIGTERM, then finishes what it has begun.
 */
import { reportReady } from "@holdfast/testkit";
import { AcknowledgedBilling } from "./acknowledged-billing.ts";
import type { Billing, BillingOptions } from "./billing.ts";
import type { BillingKind } from "./course.ts";
import { OnceBilling } from "./once-billing.ts";

/** What a replica is told. */
export interface BillingSettings extends BillingOptions {
  readonly kind: BillingKind;
}

const settings = JSON.parse(process.env["BILLING"] ?? "") as BillingSettings;
const tell = (messageId: string): void => void process.send?.(messageId);
const billing: Billing =
  settings.kind === "once" ? new OnceBilling(settings, tell) : new AcknowledgedBilling(settings, tell);
process.once("SIGTERM", () => {
  void billing.stop().then(() => process.exit(0));
});
await billing.start();
reportReady();
