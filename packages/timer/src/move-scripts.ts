/** The scripts that take timers to another number of shards, with typed replies. */
import { decodeTagged, defineScript } from "@holdfast/core";
import type { Script } from "@holdfast/core";
import * as lua from "./scripts.generated.ts";
import { layoutChanged, shardScript, texts } from "./scripts.ts";

/** Where a shard stands in a move. */
export type MoveReply =
  | { readonly kind: "draining" | "other"; readonly layout: string }
  | { readonly kind: "sealed" | "finished"; readonly layout: string; readonly floor: string };

/** Takes a shard through a change of the number of shards. */
export const moveScript: Script<typeof lua.move, MoveReply> = defineScript(lua.move, (reply, operation) =>
  decodeTagged<MoveReply>(operation, reply, {
    draining: (fields) => {
      const layout = fields.text();
      fields.integer();
      return { kind: "draining", layout };
    },
    sealed: (fields) => ({ kind: "sealed", layout: fields.text(), floor: fields.text() }),
    finished: (fields) => ({ kind: "finished", layout: fields.text(), floor: fields.text() }),
    other: (fields) => ({ kind: "other", layout: fields.text() }),
  }),
);

/** A part of a sealed shard. */
export interface Packed {
  readonly cursor: string;
  readonly timers: readonly string[];
  readonly bodies: readonly string[];
  readonly notes: readonly string[];
  readonly followings: readonly string[];
}

/** Reads a part of a sealed shard. */
export const packScript: Script<typeof lua.pack, Packed | undefined> = shardScript(lua.pack, (reply, operation) =>
  decodeTagged<Packed | undefined>(operation, reply, {
    layout: layoutChanged,
    packed: (fields) => ({
      cursor: fields.text(),
      timers: texts(operation, fields.list()),
      bodies: texts(operation, fields.list()),
      notes: texts(operation, fields.list()),
      followings: texts(operation, fields.list()),
    }),
  }),
);

function doneTagged(tag: string): (reply: unknown, operation: string) => true | undefined {
  return (reply, operation) =>
    decodeTagged<true | undefined>(operation, reply, {
      layout: layoutChanged,
      [tag]: (fields) => {
        fields.integer();
        return true;
      },
    });
}

/** Takes over what was packed. */
export const storeScript: Script<typeof lua.store, true | undefined> = shardScript(lua.store, doneTagged("stored"));
/** Removes what another shard has taken over. */
export const discardScript: Script<typeof lua.discard, true | undefined> = shardScript(
  lua.discard,
  doneTagged("discarded"),
);

/** A part of what a sealed shard remembers: field and value in turn. */
export interface Recollected {
  readonly cursor: string;
  /** How long the shard keeps it at least, in microseconds. */
  readonly keepUs: number;
  readonly records: readonly string[];
}

/** Reads a part of what a sealed shard remembers. */
export const recollectScript: Script<typeof lua.recollect, Recollected | undefined> = shardScript(
  lua.recollect,
  (reply, operation) =>
    decodeTagged<Recollected | undefined>(operation, reply, {
      layout: layoutChanged,
      recollected: (fields) => ({
        cursor: fields.text(),
        keepUs: fields.integer(),
        records: texts(operation, fields.list()),
      }),
    }),
);
/** Takes over what another shard remembered. */
export const remindScript: Script<typeof lua.remind, true | undefined> = shardScript(
  lua.remind,
  doneTagged("reminded"),
);
/** Removes from what a shard remembers what another has taken over. */
export const forgetScript: Script<typeof lua.forget, true | undefined> = shardScript(
  lua.forget,
  doneTagged("forgotten"),
);
