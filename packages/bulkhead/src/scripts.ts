/** The scripts with typed results: replies are decoded strictly, a newer record format is an error of its own. */
import { decodeTagged, defineScript, HoldfastError, NewerFormatError } from "@holdfast/core";
import type { ReplyFields, Script } from "@holdfast/core";
import { close, leave, look, open, probe, sync } from "./scripts.generated.ts";

const supportedFormat = 1;

/** More processes than `podsMax` share the permits. */
export class TooManyPodsError extends HoldfastError {
  override readonly name = "TooManyPodsError";
  readonly code = "BULKHEAD_TOO_MANY_PODS";
  readonly effect = "none";
  readonly podsMax: number;

  constructor(operation: string, podsMax: number) {
    super(`${operation}: more than ${podsMax} processes share these permits; raise podsMax or use several bulkheads`);
    this.podsMax = podsMax;
  }
}

/** What a process holds. */
export type SyncReply =
  | {
      readonly kind: "granted";
      readonly token: number;
      /** Permits it holds now. */
      readonly held: number;
      /** Its fair share. */
      readonly share: number;
      /** Live processes. */
      readonly pods: number;
    }
  | { readonly kind: "stale" };

/** What is known about a dependency. */
export type BreakerReply =
  | { readonly kind: "open"; readonly token: string; readonly leftMs: number }
  | { readonly kind: "closed"; readonly token: string }
  | { readonly kind: "granted"; readonly token: string };

function newerFormat(operation: string, found: string): never {
  throw new NewerFormatError(operation, Number(found), supportedFormat);
}

/** Tells what this process keeps and wants. */
export const syncScript: Script<typeof sync, SyncReply> = defineScript(sync, (reply, operation) =>
  decodeTagged<SyncReply>(operation, reply, {
    granted: (fields) => ({
      kind: "granted",
      token: fields.integer(),
      held: fields.integer(),
      share: fields.integer(),
      pods: fields.integer(),
    }),
    stale: () => ({ kind: "stale" }),
    crowded: (fields) => {
      throw new TooManyPodsError(operation, fields.integer());
    },
    "newer-format": (fields) => newerFormat(operation, fields.text()),
  }),
);

/** Gives everything back. */
export const leaveScript: Script<typeof leave, "left" | "absent"> = defineScript(leave, (reply, operation) =>
  decodeTagged(operation, reply, { left: () => "left" as const, absent: () => "absent" as const }),
);

const breakerBranches: Readonly<Record<string, (fields: ReplyFields) => BreakerReply>> = {
  open: (fields) => ({ kind: "open", token: fields.text(), leftMs: fields.integer() / 1_000 }),
  closed: (fields) => ({ kind: "closed", token: fields.text() }),
};

function decodeBreaker(reply: unknown, operation: string): BreakerReply {
  return decodeTagged<BreakerReply>(operation, reply, {
    ...breakerBranches,
    granted: (fields) => ({ kind: "granted", token: fields.text() }),
    "newer-format": (fields) => newerFormat(operation, fields.text()),
  });
}

/** Opens a shared breaker. */
export const openScript: Script<typeof open, BreakerReply> = defineScript(open, decodeBreaker);

/** Asks for the right to probe. */
export const probeScript: Script<typeof probe, BreakerReply> = defineScript(probe, decodeBreaker);

/** Closes it after its probes. */
export const closeScript: Script<typeof close, BreakerReply> = defineScript(close, decodeBreaker);

/** Reads it. */
export const lookScript: Script<typeof look, BreakerReply> = defineScript(look, decodeBreaker);
