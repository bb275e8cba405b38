/** Typed wrappers of the Lua scripts: what each may answer, decoded strictly. Results are bytes, so replies that hold one are raw. */
import { decodeTagged, defineScript, UnexpectedReplyError } from "@holdfast/core";
import type { ReplyFields, Script } from "@holdfast/core";
import type { Alone, Replies } from "./batches.ts";
import { decodePart } from "./keys.ts";
import * as lua from "./scripts.generated.ts";

/** The record was written by a newer version of the package. */
export interface NewerFormat {
  readonly kind: "newer-format";
  readonly version: number;
}

/** What a claim answers. */
export type ClaimReply =
  | { readonly kind: "granted"; readonly token: number; readonly number: number; readonly recovered: boolean }
  | {
      readonly kind: "stored";
      readonly outcome: "completed" | "failed";
      readonly codecId: string;
      readonly result: Buffer;
    }
  | { readonly kind: "mismatch" }
  | { readonly kind: "busy"; readonly remainingMs: number }
  | { readonly kind: "unknown" }
  | NewerFormat;

/** The key belongs to somebody else, or to nobody. */
export interface Refused {
  readonly kind: "refused";
  readonly state: string;
  readonly currentToken: number;
}

/** What is known of a key, as the store has it. */
export interface RecordReply {
  readonly kind: "record";
  readonly state: string;
  readonly token: number;
  readonly number: number;
  readonly possible: boolean;
  /** 0 when none started since the key was forgotten. */
  readonly startedMs: number;
  readonly endedMs: number;
  readonly remainingMs: number;
  readonly rule: string;
  readonly codecId: string;
  readonly resultBytes: number;
  readonly refused: number;
  readonly expiresInMs: number;
}

const newerFormat = (fields: ReplyFields): NewerFormat => ({ kind: "newer-format", version: fields.integer() });
const refused = (fields: ReplyFields): Refused => ({
  kind: "refused",
  state: fields.text(),
  currentToken: fields.integer(),
});

/** Where the codec and the result stand in a record's text: `record.lua` has the fields. */
const codecField = 14;
const colon = 0x3a;

/** Reads the text of a record that has ended, without looking into the result. */
function storedOutcome(operation: string, record: Buffer): ClaimReply {
  const starts = [0];
  for (let at = 0; starts.length <= codecField + 1 && at < record.length; at += 1) {
    if (record[at] === colon) starts.push(at + 1);
  }
  const resultAt = starts[codecField + 1];
  const field = (index: number): string => record.toString("utf8", starts[index], (starts[index + 1] ?? 0) - 1);
  const outcome = field(1);
  if (resultAt === undefined || (outcome !== "completed" && outcome !== "failed")) {
    throw new UnexpectedReplyError(operation, "a record that has ended", record.subarray(0, 200).toString());
  }
  return { kind: "stored", outcome, codecId: decodePart(field(codecField)), result: record.subarray(resultAt) };
}

/** One outcome for each item; what cannot be read is the affair of its caller alone. */
function outcomesOf<Reply>(fields: ReplyFields, decode: () => Reply): (Reply | Alone)[] {
  const lone = fields.left === 1;
  return Array.from({ length: fields.left }, () => {
    try {
      return decode();
    } catch (error) {
      if (lone) throw error;
      return { kind: "alone" };
    }
  });
}

/** What a claim answers that has no record to show. */
const claimReplies: Readonly<Record<string, (fields: ReplyFields) => ClaimReply | Alone>> = {
  granted: (fields) => ({
    kind: "granted",
    token: fields.integer(),
    number: fields.integer(),
    recovered: fields.integer() === 1,
  }),
  mismatch: () => ({ kind: "mismatch" }),
  busy: (fields) => ({ kind: "busy", remainingMs: fields.integer() }),
  unknown: () => ({ kind: "unknown" }),
  "newer-format": newerFormat,
  alone: () => ({ kind: "alone" }),
};

export const claim: Script<typeof lua.claim, Replies<ClaimReply>> = defineScript(
  lua.claim,
  (reply, operation) =>
    decodeTagged<Replies<ClaimReply>>(operation, reply, {
      granted: (fields) => ({ kind: "granted", token: fields.integer(), number: 1, recovered: false }),
      claimed: (fields) =>
        outcomesOf(fields, () => {
          const bytes = fields.bytes();
          // No word begins with the format of a record.
          if (bytes[0] === 0x31) return storedOutcome(operation, bytes);
          return decodeTagged(operation, bytes.toString("latin1").split(" "), claimReplies);
        }),
    }),
  { binary: true },
);

export const renew: Script<typeof lua.renew, { readonly kind: "renewed" | "lost" } | NewerFormat> = defineScript(
  lua.renew,
  (reply, operation) =>
    decodeTagged<{ readonly kind: "renewed" | "lost" } | NewerFormat>(operation, reply, {
      renewed: () => ({ kind: "renewed" }),
      lost: () => ({ kind: "lost" }),
      "newer-format": newerFormat,
    }),
);

/** What the end of an attempt answers. */
export type EndReply = { readonly kind: "ended" } | Refused | NewerFormat;

const ended = (tag: string): ((reply: unknown, operation: string) => EndReply) => {
  return (reply, operation) =>
    decodeTagged<EndReply>(operation, reply, {
      [tag]: () => ({ kind: "ended" }),
      refused,
      "newer-format": newerFormat,
    });
};

const finishReplies: Readonly<Record<string, (fields: ReplyFields) => EndReply | Alone>> = {
  stored: () => ({ kind: "ended" }),
  refused,
  "newer-format": newerFormat,
  alone: () => ({ kind: "alone" }),
};

export const finish: Script<typeof lua.finish, Replies<EndReply>> = defineScript(lua.finish, (reply, operation) =>
  decodeTagged<Replies<EndReply>>(operation, reply, {
    stored: () => ({ kind: "ended" }),
    finished: (fields) => outcomesOf(fields, () => decodeTagged(operation, fields.text().split(" "), finishReplies)),
  }),
);
export const release: Script<typeof lua.release, EndReply> = defineScript(lua.release, ended("released"));
export const hold: Script<typeof lua.hold, EndReply> = defineScript(lua.hold, ended("unknown"));

/** What an operator's decision on a key answers. */
export type ResolveReply =
  | { readonly kind: "resolved" | "absent" }
  | { readonly kind: "settled"; readonly outcome: "completed" | "failed" }
  | { readonly kind: "busy"; readonly remainingMs: number }
  | NewerFormat;

export const resolve: Script<typeof lua.resolve, ResolveReply> = defineScript(lua.resolve, (reply, operation) =>
  decodeTagged<ResolveReply>(operation, reply, {
    resolved: () => ({ kind: "resolved" }),
    settled: (fields) => ({ kind: "settled", outcome: fields.text() === "failed" ? "failed" : "completed" }),
    busy: (fields) => ({ kind: "busy", remainingMs: fields.integer() }),
    absent: () => ({ kind: "absent" }),
    "newer-format": newerFormat,
  }),
);

/** What removing a key answers. */
export type ForgetReply = { readonly kind: "forgotten" | "absent" } | NewerFormat;

export const forget: Script<typeof lua.forget, ForgetReply> = defineScript(lua.forget, (reply, operation) =>
  decodeTagged<ForgetReply>(operation, reply, {
    forgotten: () => ({ kind: "forgotten" }),
    absent: () => ({ kind: "absent" }),
    "newer-format": newerFormat,
  }),
);

export const inspect: Script<typeof lua.inspect, RecordReply | { readonly kind: "absent" } | NewerFormat> =
  defineScript(lua.inspect, (reply, operation) =>
    decodeTagged<RecordReply | { readonly kind: "absent" } | NewerFormat>(operation, reply, {
      record: (fields) => ({
        kind: "record",
        state: fields.text(),
        token: fields.integer(),
        number: fields.integer(),
        possible: fields.text() === "1",
        startedMs: Math.floor(Number(fields.text()) / 1_000),
        endedMs: Math.floor(Number(fields.text()) / 1_000),
        remainingMs: fields.integer(),
        rule: fields.text(),
        codecId: decodePart(fields.text()),
        resultBytes: fields.integer(),
        refused: fields.integer(),
        expiresInMs: fields.integer(),
      }),
      absent: () => ({ kind: "absent" }),
      "newer-format": newerFormat,
    }),
  );

/** An entry of the index. */
export interface IndexEntry {
  readonly member: string;
  readonly startedUs: number;
}

export const list: Script<typeof lua.list, readonly IndexEntry[]> = defineScript(lua.list, (reply, operation) =>
  decodeTagged(operation, reply, {
    page: (fields) => {
      const flat = fields.list().map(String);
      return Array.from({ length: flat.length / 2 }, (_, index) => ({
        member: flat[index * 2] ?? "",
        startedUs: Number(flat[index * 2 + 1]),
      }));
    },
  }),
);

export const prune: Script<typeof lua.prune, { readonly kind: "pruned" | "present" }> = defineScript(
  lua.prune,
  (reply, operation) =>
    decodeTagged<{ readonly kind: "pruned" | "present" }>(operation, reply, {
      pruned: () => ({ kind: "pruned" }),
      present: () => ({ kind: "present" }),
    }),
);
