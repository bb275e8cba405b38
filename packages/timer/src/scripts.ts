/**
 * The scripts with typed replies. Every script answers `undefined` when this client has to open the shard (again) first; shard-access.ts
 * does that and repeats the call.
 */
import { decodeTagged, defineScript, UnexpectedReplyError } from "@holdfast/core";
import type { ReplyFields, Script } from "@holdfast/core";
import * as lua from "./scripts.generated.ts";

/** The reply of a shard whose layout is not the one that was sent. */
function layoutChanged(fields: ReplyFields): undefined {
  fields.text();
  return undefined;
}

function texts(operation: string, values: readonly unknown[]): readonly string[] {
  for (const value of values)
    if (typeof value !== "string") throw new UnexpectedReplyError(operation, "a list of texts", value);
  return values as readonly string[];
}

/** What a shard says when it is opened. */
export type OpenReply =
  | { readonly kind: "opened"; readonly nowUs: number; readonly layout: string; readonly keepUs: number }
  | { readonly kind: "absent" }
  | { readonly kind: "other"; readonly layout: string }
  | { readonly kind: "moving"; readonly shards: number };

/** Learns or founds the layout of a shard. */
export const openScript: Script<typeof lua.open, OpenReply> = defineScript(lua.open, (reply, operation) =>
  decodeTagged<OpenReply>(operation, reply, {
    opened: (fields) => ({ kind: "opened", nowUs: fields.integer(), layout: fields.text(), keepUs: fields.integer() }),
    absent: () => ({ kind: "absent" }),
    other: (fields) => ({ kind: "other", layout: fields.text() }),
    moving: (fields) => ({ kind: "moving", shards: fields.integer() }),
  }),
);

/** One answer per item, in order, and the server's time. */
export interface Answers {
  readonly nowUs: number;
  readonly answers: readonly string[];
}

function answersTagged(tag: string): (reply: unknown, operation: string) => Answers | undefined {
  return (reply, operation) =>
    decodeTagged<Answers | undefined>(operation, reply, {
      layout: layoutChanged,
      [tag]: (fields) => ({ nowUs: fields.integer(), answers: texts(operation, fields.list()) }),
    });
}

/** Sets timers. */
export const scheduleScript: Script<typeof lua.schedule, Answers | undefined> = defineScript(
  lua.schedule,
  answersTagged("scheduled"),
);
/** Takes timers back. */
export const cancelScript: Script<typeof lua.cancel, Answers | undefined> = defineScript(
  lua.cancel,
  answersTagged("cancelled"),
);
/** Ends firings that claim cannot end in passing. */
export const settleScript: Script<typeof lua.settle, Answers | undefined> = defineScript(
  lua.settle,
  answersTagged("settled"),
);

/** Prolongs leases; a letter per lease. */
export const extendScript: Script<typeof lua.extend, string | undefined> = defineScript(
  lua.extend,
  (reply, operation) =>
    decodeTagged<string | undefined>(operation, reply, {
      layout: layoutChanged,
      extended: (fields) => {
        fields.integer();
        return fields.text();
      },
    }),
);

/** A batch of leased timers. */
export interface ClaimReply {
  readonly nowUs: number;
  /** The fencing token of the whole batch. */
  readonly token: number;
  /** End of the lease as the server wrote it; with the token it identifies the lease. */
  readonly leaseEnd: string;
  /** Earliest deadline that is not due, or undefined. */
  readonly nextUs: number | undefined;
  readonly trouble: string;
  /** Ids whose acknowledgement is for settle. */
  readonly refused: readonly string[];
  /** Id and deadline in microseconds, in turn. */
  readonly timers: readonly string[];
  readonly records: readonly (string | null)[];
  readonly notes: readonly (string | null)[];
}

/** Takes acknowledgements and leases due timers. */
export const claimScript: Script<typeof lua.claim, ClaimReply | "outrun" | undefined> = defineScript(
  lua.claim,
  (reply, operation) =>
    decodeTagged<ClaimReply | "outrun" | undefined>(operation, reply, {
      layout: layoutChanged,
      outrun: (fields) => {
        fields.integer();
        return "outrun";
      },
      claimed: (fields) => {
        const nowUs = fields.integer();
        const token = fields.text();
        const leaseEnd = fields.text();
        const next = fields.text();
        const trouble = fields.text();
        return {
          nowUs,
          token: Number(token),
          leaseEnd,
          nextUs: next === "" ? undefined : Number(next),
          trouble,
          refused: fields.list() as string[],
          timers: fields.list() as string[],
          records: fields.list() as (string | null)[],
          notes: fields.list() as (string | null)[],
        };
      },
    }),
);

/** What reap came to. */
export interface ReapReply {
  readonly lapsed: number;
  /** Ids of timers whose last attempt had begun. */
  readonly buried: readonly string[];
}

/** Sees to leases that ended without an answer. */
export const reapScript: Script<typeof lua.reap, ReapReply | undefined> = defineScript(lua.reap, (reply, operation) =>
  decodeTagged<ReapReply | undefined>(operation, reply, {
    layout: layoutChanged,
    reaped: (fields) => {
      fields.integer();
      return { lapsed: fields.integer(), buried: texts(operation, fields.list()) };
    },
  }),
);
