/** The scripts with typed replies, decoded strictly. What every script may answer instead is a `Refusal`, which bucket.ts turns into an error. */
import { decodeTagged, defineScript, UnexpectedReplyError } from "@holdfast/core";
import type { ReplyFields, Script } from "@holdfast/core";
import * as lua from "./scripts.generated.ts";

/** Why a script did nothing. */
export type Refusal =
  | { readonly kind: "form"; readonly form: string }
  | { readonly kind: "bad-stock"; readonly field: string }
  | { readonly kind: "bad-order"; readonly id: string };

const refusals = {
  form: (fields: ReplyFields): Refusal => ({ kind: "form", form: fields.text() }),
  "bad-stock": (fields: ReplyFields): Refusal => ({ kind: "bad-stock", field: fields.text() }),
  "bad-order": (fields: ReplyFields): Refusal => ({ kind: "bad-order", id: fields.text() }),
};

/** One answer per order, in order. */
export interface Answers {
  readonly kind: "answers";
  readonly nowUs: number;
  /** Holds that were ended in passing. */
  readonly lapsed: number;
  readonly answers: readonly string[];
}

function answersTagged(tag: string): (reply: unknown, operation: string) => Answers | Refusal {
  return (reply, operation) => {
    if (typeof reply !== "string") return decodeTagged<Answers | Refusal>(operation, reply, refusals);
    const [head = "", ...answers] = reply.split("\n");
    const [word, now, lapsed] = head.split(" ");
    const nowUs = Number(now);
    if (word !== tag || !Number.isSafeInteger(nowUs)) throw new UnexpectedReplyError(operation, tag, reply);
    return { kind: "answers", nowUs, lapsed: Number(lapsed), answers };
  };
}

/** Carries out orders. */
export const applyScript: Script<typeof lua.apply, Answers | Refusal> = defineScript(
  lua.apply,
  answersTagged("applied"),
);
/** Ends reservations. */
export const settleScript: Script<typeof lua.settle, Answers | Refusal> = defineScript(
  lua.settle,
  answersTagged("settled"),
);

/** What extend.lua answers. */
export type ExtendReply =
  | Refusal
  | { readonly kind: "forgotten" }
  | { readonly kind: "known"; readonly record: string }
  | { readonly kind: "extended"; readonly endMs: number; readonly lapsed: number }
  | { readonly kind: "ended"; readonly record: string; readonly lapsed: number };

/** Lets a hold last longer. */
export const extendScript: Script<typeof lua.extend, ExtendReply> = defineScript(lua.extend, (reply, operation) =>
  decodeTagged<ExtendReply>(operation, reply, {
    ...refusals,
    forgotten: () => ({ kind: "forgotten" }),
    known: (fields) => ({ kind: "known", record: fields.text() }),
    extended: (fields) => ({ kind: "extended", endMs: fields.integer(), lapsed: fields.integer() }),
    ended: (fields) => ({ kind: "ended", record: fields.text(), lapsed: fields.integer() }),
  }),
);

/** What outcome.lua answers. */
export type OutcomeReply =
  | Refusal
  | { readonly kind: "forgotten" }
  | { readonly kind: "known"; readonly nowUs: number; readonly record: string; readonly lapsed: number }
  | { readonly kind: "sealed"; readonly lapsed: number };

/** Tells what became of an id. */
export const outcomeScript: Script<typeof lua.outcome, OutcomeReply> = defineScript(lua.outcome, (reply, operation) =>
  decodeTagged<OutcomeReply>(operation, reply, {
    ...refusals,
    forgotten: () => ({ kind: "forgotten" }),
    known: (fields) => ({ kind: "known", nowUs: fields.integer(), record: fields.text(), lapsed: fields.integer() }),
    sealed: (fields) => ({ kind: "sealed", lapsed: fields.integer() }),
  }),
);

/** What levels.lua answers. */
export interface LevelsReply {
  readonly kind: "levels";
  readonly lapsed: number;
  /** Whether due holds are still unreturned. */
  readonly left: boolean;
  readonly form: string;
  /** Number of the newest movement, a space, the movement; empty when there is none. */
  readonly head: string;
  /** Fields and values of the transit hash in turn. */
  readonly transit: readonly string[];
  /** Available and reserved in turn. */
  readonly counters: readonly number[];
}

/** Reads counters. */
export const levelsScript: Script<typeof lua.levels, LevelsReply | Refusal> = defineScript(
  lua.levels,
  (reply, operation) =>
    decodeTagged<LevelsReply | Refusal>(operation, reply, {
      ...refusals,
      levels: (fields) => {
        fields.integer();
        return {
          kind: "levels",
          lapsed: fields.integer(),
          left: fields.text() === "1",
          form: fields.text(),
          head: fields.text(),
          transit: fields.list() as string[],
          counters: fields.list().map(Number),
        };
      },
    }),
);

/** What sweep.lua answers. */
export interface SweepReply {
  readonly kind: "swept";
  readonly lapsed: number;
  readonly left: boolean;
  readonly nextMs: number | null;
  /** Holds that were looked at since they end later than a usual one, and how many of them were shortened. */
  readonly looked: number;
  readonly shortened: number;
}

/** Returns due holds. */
export const sweepScript: Script<typeof lua.sweep, SweepReply | Refusal> = defineScript(lua.sweep, (reply, operation) =>
  decodeTagged<SweepReply | Refusal>(operation, reply, {
    ...refusals,
    swept: (fields) => {
      fields.integer();
      const lapsed = fields.integer();
      const left = fields.text() === "1";
      const next = fields.text();
      const [looked, shortened] = [fields.integer(), fields.integer()];
      return { kind: "swept", lapsed, left, nextMs: next === "" ? null : Number(next), looked, shortened };
    },
  }),
);

/** What seed.lua answers. */
export type SeedReply =
  | Refusal
  | { readonly kind: "forgotten" }
  | { readonly kind: "known"; readonly record: string; readonly form: string }
  | { readonly kind: "moved" | "seeded"; readonly form: string; readonly head: string }
  | { readonly kind: "overflow"; readonly sku: string }
  | { readonly kind: "below-reserved"; readonly sku: string; readonly reserved: number; readonly left: boolean };

/** Sets what is on hand. */
export const seedScript: Script<typeof lua.seed, SeedReply> = defineScript(lua.seed, (reply, operation) =>
  decodeTagged<SeedReply>(operation, reply, {
    ...refusals,
    forgotten: () => ({ kind: "forgotten" }),
    known: (fields) => ({ kind: "known", record: fields.text(), form: fields.text() }),
    moved: (fields) => ({ kind: "moved", form: fields.text(), head: fields.text() }),
    seeded: (fields) => ({ kind: "seeded", form: fields.text(), head: fields.text() }),
    overflow: (fields) => ({ kind: "overflow", sku: fields.text() }),
    "below-reserved": (fields) => ({
      kind: "below-reserved",
      sku: fields.text(),
      reserved: fields.integer(),
      left: fields.text() === "1",
    }),
  }),
);

/** A page of the log: number and entry. */
export interface PageReply {
  readonly form: string;
  readonly entries: readonly (readonly [sequence: number, entry: string])[];
}

/** Reads the log. */
export const readScript: Script<typeof lua.read, PageReply> = defineScript(lua.read, (reply, operation) =>
  decodeTagged<PageReply>(operation, reply, {
    page: (fields) => ({
      form: fields.text(),
      entries: (fields.list() as [string, string[]][]).map(([id, [, entry = ""]]) => [Number(id.slice(2)), entry]),
    }),
  }),
);

/** What commit.lua answers. */
export type CommitReply =
  | { readonly kind: "committed"; readonly position: string; readonly more: boolean }
  | { readonly kind: "behind"; readonly position: string }
  | { readonly kind: "elsewhere"; readonly form: string; readonly found: string; readonly next: number | null };

/** Stores a position. */
export const commitScript: Script<typeof lua.commit, CommitReply> = defineScript(lua.commit, (reply, operation) =>
  decodeTagged<CommitReply>(operation, reply, {
    committed: (fields) => ({ kind: "committed", position: fields.text(), more: fields.text() === "1" }),
    behind: (fields) => ({ kind: "behind", position: fields.text() }),
    elsewhere: (fields) => {
      const [form, found, next] = [fields.text(), fields.text(), fields.text()];
      return { kind: "elsewhere", form, found, next: next === "" ? null : Number(next) };
    },
  }),
);

/** Agrees on the number of buckets. */
export const openScript: Script<typeof lua.open, { readonly kind: "opened" } | Refusal> = defineScript(
  lua.open,
  (reply, operation) =>
    decodeTagged<{ readonly kind: "opened" } | Refusal>(operation, reply, {
      ...refusals,
      opened: (fields) => {
        fields.text();
        return { kind: "opened" };
      },
    }),
);

/** What lend.lua answers. */
export type LendReply =
  | Refusal
  | { readonly kind: "lent" | "pending"; readonly parcel: string }
  | { readonly kind: "empty" };

/** Takes units out for another bucket. */
export const lendScript: Script<typeof lua.lend, LendReply> = defineScript(lua.lend, (reply, operation) =>
  decodeTagged<LendReply>(operation, reply, {
    ...refusals,
    lent: (fields) => ({ kind: "lent", parcel: fields.text() }),
    pending: (fields) => ({ kind: "pending", parcel: fields.text() }),
    empty: () => ({ kind: "empty" }),
  }),
);

/** Puts a parcel on the shelf. */
export const receiveScript: Script<typeof lua.receive, { readonly kind: "received" } | Refusal> = defineScript(
  lua.receive,
  (reply, operation) =>
    decodeTagged<{ readonly kind: "received" } | Refusal>(operation, reply, {
      ...refusals,
      received: () => ({ kind: "received" }),
    }),
);

/** Forgets a parcel. */
export const clearScript: Script<typeof lua.clear, "cleared"> = defineScript(lua.clear, (reply, operation) =>
  decodeTagged(operation, reply, { cleared: () => "cleared" as const }),
);
