/**
 * The scripts with typed replies; claim and those that move timers have files of their own. Every script answers `undefined` when this
 * client has to open the shard (again) first; shard-access.ts does that and repeats the call.
 */
import { decodeTagged, defineScript, UnexpectedReplyError } from "@holdfast/core";
import type { LuaSource, ReplyFields, Script } from "@holdfast/core";
import * as lua from "./scripts.generated.ts";

/** A script of a shard; it does nothing for a client that has to open the shard first. */
export function shardScript<const Source extends LuaSource, Result>(
  source: Source,
  decode: (reply: unknown, operation: string) => Result,
): Script<Source, Result> {
  return defineScript(source, decode, { nothingDone: "layout" });
}

/** The reply of a shard whose layout is not the one that was sent. */
export function layoutChanged(fields: ReplyFields): undefined {
  fields.text();
  return undefined;
}

/** A list of texts. @throws UnexpectedReplyError */
export function texts(operation: string, values: readonly unknown[]): readonly string[] {
  for (const value of values)
    if (typeof value !== "string") throw new UnexpectedReplyError(operation, "a list of texts", value);
  return values as readonly string[];
}

/** What a shard says when it is opened. */
export type OpenReply =
  | {
      readonly kind: "opened";
      readonly nowUs: number;
      readonly layout: string;
      /** Set while running firings end before timers move to so many shards. */
      readonly movingTo: number | undefined;
    }
  | { readonly kind: "absent" }
  | { readonly kind: "other"; readonly layout: string };

/** Learns or founds the layout of a shard. */
export const openScript: Script<typeof lua.open, OpenReply> = defineScript(lua.open, (reply, operation) =>
  decodeTagged<OpenReply>(operation, reply, {
    opened: (fields) => ({
      kind: "opened",
      nowUs: fields.integer(),
      layout: fields.text(),
      movingTo: undefined,
    }),
    moving: (fields) => ({
      kind: "opened",
      nowUs: fields.integer(),
      layout: fields.text(),
      movingTo: fields.integer(),
    }),
    absent: () => ({ kind: "absent" }),
    other: (fields) => ({ kind: "other", layout: fields.text() }),
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

/** The items' answers from what schedule.lua says: an answer and to how many items in a row it belongs, in turn. */
function unrolled(operation: string, runs: readonly unknown[]): readonly string[] {
  const answers: string[] = [];
  for (let at = 0; at < runs.length; at += 2) {
    const [answer, count] = [runs[at], runs[at + 1]];
    if (typeof answer !== "string" || typeof count !== "number")
      throw new UnexpectedReplyError(operation, "texts and numbers in turn", runs);
    for (let left = count; left > 0; left -= 1) answers.push(answer);
  }
  return answers;
}

/** Sets timers. */
export const scheduleScript: Script<typeof lua.schedule, Answers | undefined> = shardScript(
  lua.schedule,
  (reply, operation) =>
    decodeTagged<Answers | undefined>(operation, reply, {
      layout: layoutChanged,
      scheduled: (fields) => ({ nowUs: fields.integer(), answers: unrolled(operation, fields.list()) }),
    }),
);
/** Takes timers back. */
export const cancelScript: Script<typeof lua.cancel, Answers | undefined> = shardScript(
  lua.cancel,
  answersTagged("cancelled"),
);
/** Ends firings that claim cannot end in passing. */
export const settleScript: Script<typeof lua.settle, Answers | undefined> = shardScript(
  lua.settle,
  answersTagged("settled"),
);

/** Prolongs leases; a letter per lease. */
export const extendScript: Script<typeof lua.extend, string | undefined> = shardScript(lua.extend, (reply, operation) =>
  decodeTagged<string | undefined>(operation, reply, {
    layout: layoutChanged,
    extended: (fields) => {
      fields.integer();
      return fields.text();
    },
  }),
);

/** What reap came to. */
export interface ReapReply {
  readonly lapsed: number;
  /** Ids of timers whose last attempt had begun. */
  readonly buried: readonly string[];
  /** Where the look has come to, to go on from; "0" at the end of what is due. */
  readonly passedUs: string;
}

/** Sees to leases that ended without an answer. */
export const reapScript: Script<typeof lua.reap, ReapReply | undefined> = shardScript(lua.reap, (reply, operation) =>
  decodeTagged<ReapReply | undefined>(operation, reply, {
    layout: layoutChanged,
    reaped: (fields) => {
      fields.integer();
      return { lapsed: fields.integer(), buried: texts(operation, fields.list()), passedUs: fields.text() };
    },
  }),
);

/** A timer as get finds it. */
export interface FoundTimer {
  readonly score: string;
  readonly record: string;
  readonly note: string | null;
  readonly following: string | null;
}

/** Looks at one timer; null when there is none. */
export const getScript: Script<typeof lua.get, FoundTimer | null | undefined> = shardScript(
  lua.get,
  (reply, operation) =>
    decodeTagged<FoundTimer | null | undefined>(operation, reply, {
      layout: layoutChanged,
      absent: () => null,
      found: (fields) => {
        const score = fields.text();
        const record = fields.text();
        return {
          score,
          record,
          note: fields.left > 0 ? fields.textOrNull() : null,
          following: fields.left > 0 ? fields.textOrNull() : null,
        };
      },
    }),
);

/** The numbers of one shard. */
export interface ShardStats {
  readonly nowUs: number;
  readonly total: number;
  readonly leased: number;
  readonly due: number;
  readonly dead: number;
  readonly firstUs: number | undefined;
}

/** Counts the timers of a shard. */
export const statsScript: Script<typeof lua.stats, ShardStats | undefined> = shardScript(
  lua.stats,
  (reply, operation) =>
    decodeTagged<ShardStats | undefined>(operation, reply, {
      layout: layoutChanged,
      stats: (fields) => {
        const nowUs = fields.integer();
        const total = fields.integer();
        const leased = fields.integer();
        const due = fields.integer();
        const dead = fields.integer();
        const first = fields.text();
        return { nowUs, total, leased, due, dead, firstUs: first === "" ? undefined : Number(first) };
      },
    }),
);

/** The one word of a script for a single timer. */
function wordTagged(tag: string): (reply: unknown, operation: string) => readonly string[] | undefined {
  const decode = answersTagged(tag);
  return (reply, operation) => decode(reply, operation)?.answers;
}

/** Makes a pending timer due now. */
export const hastenScript: Script<typeof lua.hasten, readonly string[] | undefined> = shardScript(
  lua.hasten,
  wordTagged("hastened"),
);
/** Makes a dead letter a timer again. */
export const redriveScript: Script<typeof lua.redrive, readonly string[] | undefined> = shardScript(
  lua.redrive,
  wordTagged("redriven"),
);
/** Throws a dead letter away. */
export const dropScript: Script<typeof lua.drop, readonly string[] | undefined> = shardScript(
  lua.drop,
  wordTagged("dropped"),
);

/** Reads dead letters: id, time, attempts, error, record. */
export const listDeadScript: Script<typeof lua.listDead, readonly (readonly string[])[] | undefined> = shardScript(
  lua.listDead,
  (reply, operation) =>
    decodeTagged<readonly (readonly string[])[] | undefined>(operation, reply, {
      layout: layoutChanged,
      dead: (fields) => fields.list().map((letter) => texts(operation, letter as unknown[])),
    }),
);

/** What restore answers. */
export type RestoreReply =
  | { readonly kind: "window"; readonly nowUs: number; readonly earliestUs: number }
  | { readonly kind: "restored"; readonly answers: readonly string[] };

/** Sets what is missing and has not ended. */
export const restoreScript: Script<typeof lua.restore, RestoreReply | undefined> = shardScript(
  lua.restore,
  (reply, operation) =>
    decodeTagged<RestoreReply | undefined>(operation, reply, {
      layout: layoutChanged,
      window: (fields) => ({ kind: "window", nowUs: fields.integer(), earliestUs: fields.integer() }),
      restored: (fields) => {
        fields.integer();
        return { kind: "restored", answers: texts(operation, fields.list()) };
      },
    }),
);
