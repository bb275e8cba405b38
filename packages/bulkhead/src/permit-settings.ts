/** What the parts of one bulkhead share: its options, its books, and who is asked and told. */
import type { EventSink } from "@holdfast/core";
import type { Accounts } from "./accounts.ts";
import type { AdaptiveLimit } from "./adaptive-limit.ts";
import type { Breaker } from "./breaker.ts";
import type { BulkheadEvent } from "./events.ts";
import type { ResolvedBulkheadOptions } from "./options.ts";

/** What the permits of one bulkhead stand on. */
export interface PermitSettings {
  readonly options: ResolvedBulkheadOptions;
  readonly accounts: Accounts;
  readonly events: EventSink<BulkheadEvent>;
  readonly breaker: Breaker;
  readonly adaptive: AdaptiveLimit | undefined;
  /** Called before permits are given: a limit from elsewhere may have ended although no timer has run since (B7). */
  readonly beforeGrant?: (() => void) | undefined;
  /** Called when a call finds no free permit. */
  readonly onDemand?: (() => void) | undefined;
  /** Called when a permit has come back. */
  readonly onReturn?: (() => void) | undefined;
  /** How many permits there may be once what was asked for is answered, where the limit comes from elsewhere. */
  readonly limitSoon?: (() => number) | undefined;
  /** Why no call can wait for a permit although the queue has room; it becomes the cause of the rejection. */
  readonly refusal?: (() => Error | undefined) | undefined;
}
