/** The scheduler's scripts with typed results: replies are decoded strictly, a newer record format is an error of its own. */
import { decodeTagged, defineScript, NewerFormatError } from "@holdfast/core";
import type { ReplyFields, Script } from "@holdfast/core";
import * as lua from "./scripts.generated.ts";

const supportedFormat = 1;

function decodeReply<Result>(
  branches: Readonly<Record<string, (fields: ReplyFields) => Result>>,
): (reply: unknown, operation: string) => Result {
  return (reply, operation) =>
    decodeTagged(operation, reply, {
      ...branches,
      format: (fields) => {
        throw new NewerFormatError(operation, fields.integer(), supportedFormat);
      },
    });
}

/** A decoder for replies that are a tag and nothing else. */
function words<const Word extends string>(...tags: readonly Word[]): (reply: unknown, operation: string) => Word {
  return decodeReply(Object.fromEntries(tags.map((tag) => [tag, () => tag])));
}

/** What is on record of a job. */
export type JobView =
  | { readonly kind: "absent"; readonly nowMs: number }
  | { readonly kind: "removed"; readonly nowMs: number; readonly version: number }
  | LiveJobView;

/** A job that is there. */
export interface LiveJobView {
  readonly kind: "job";
  /** Server time. */
  readonly nowMs: number;
  readonly version: number;
  readonly definitionText: string;
  readonly nextMs: number;
  readonly cursorMs: number;
  readonly paused: boolean;
  /** The occurrence under way, or "". */
  readonly open: string;
  /** The occurrence that waits next, or "". */
  readonly head: string;
  /** It was asked for by hand. */
  readonly headRequested: boolean;
  readonly waitingCount: number;
  /** For how long the last run counts as under way yet; 0 when the clock went back, so that a beginning sets it right. */
  readonly heldMs: number;
}

function nowMsOf(fields: ReplyFields): number {
  return fields.integer() / 1_000;
}

/** Reads the record. */
export const lookScript: Script<typeof lua.look, JobView> = defineScript(
  lua.look,
  decodeReply<JobView>({
    absent: (fields) => ({ kind: "absent", nowMs: nowMsOf(fields) }),
    removed: (fields) => ({ kind: "removed", nowMs: nowMsOf(fields), version: fields.integer() }),
    job: (fields) => ({
      kind: "job",
      nowMs: nowMsOf(fields),
      version: fields.integer(),
      definitionText: fields.text(),
      nextMs: fields.integer(),
      cursorMs: fields.integer(),
      paused: fields.text() === "1",
      open: fields.text(),
      head: fields.text(),
      headRequested: fields.integer() < 0,
      waitingCount: fields.integer(),
      heldMs: fields.integer(),
    }),
  }),
);

/** Puts a definition on record. */
export const defineJobScript: Script<typeof lua.define, "defined" | "kept" | "moved"> = defineScript(
  lua.define,
  words("defined", "kept", "moved"),
);

/** Decides what is due. */
export const admitScript: Script<typeof lua.admit, "admitted" | "skipped" | "full" | "moved"> = defineScript(
  lua.admit,
  words("admitted", "skipped", "full", "moved"),
);

/** What became of the beginning of an attempt. */
export type Beginning =
  | { readonly kind: "run"; readonly nowMs: number; readonly dueMs: number; readonly attempt: number }
  | {
      readonly kind: "exhausted";
      readonly nowMs: number;
      readonly dueMs: number;
      readonly attempts: number;
      readonly runner: string;
      readonly startedAtMs: number;
      /** As `encodeFailure` wrote it, or "". */
      readonly failureText: string;
    }
  | { readonly kind: "held"; readonly delayMs: number }
  | { readonly kind: "wait" | "lost" | "stale" };

/** Begins an attempt. */
export const beginScript: Script<typeof lua.begin, Beginning> = defineScript(
  lua.begin,
  decodeReply<Beginning>({
    run: (fields) => ({
      kind: "run",
      nowMs: nowMsOf(fields),
      dueMs: fields.integer(),
      attempt: fields.integer(),
    }),
    exhausted: (fields) => ({
      kind: "exhausted",
      nowMs: nowMsOf(fields),
      dueMs: fields.integer(),
      attempts: fields.integer(),
      runner: fields.text(),
      startedAtMs: nowMsOf(fields),
      failureText: fields.text(),
    }),
    held: (fields) => ({ kind: "held", delayMs: fields.integer() }),
    wait: () => ({ kind: "wait" }),
    lost: () => ({ kind: "lost" }),
    stale: () => ({ kind: "stale" }),
  }),
);

/** Ends an attempt whose occurrence goes on. */
export const leaveScript: Script<typeof lua.leave, "left"> = defineScript(lua.leave, words("left"));

/** What became of the ending of an occurrence. */
export type Ending = { readonly kind: "recorded"; readonly head: string } | { readonly kind: "lost" };

/** Records that an occurrence has ended. */
export const finishScript: Script<typeof lua.finish, Ending> = defineScript(
  lua.finish,
  decodeReply<Ending>({
    recorded: (fields) => ({ kind: "recorded", head: fields.text() }),
    lost: () => ({ kind: "lost" }),
  }),
);

/** Pauses or resumes. */
export const steerScript: Script<typeof lua.steer, "paused" | "resumed" | "absent" | "moved"> = defineScript(
  lua.steer,
  words("paused", "resumed", "absent", "moved"),
);

/** Adds an occurrence that was asked for by hand. */
export const enqueueScript: Script<typeof lua.enqueue, "queued" | "busy" | "absent" | "moved"> = defineScript(
  lua.enqueue,
  words("queued", "busy", "absent", "moved"),
);

/** What was there of a job that is removed. */
export type Removal =
  | { readonly kind: "removed"; readonly nextMs: number; readonly open: string }
  | { readonly kind: "absent" };

/** Takes a job out. */
export const removeScript: Script<typeof lua.remove, Removal> = defineScript(
  lua.remove,
  decodeReply<Removal>({
    removed: (fields) => ({ kind: "removed", nextMs: fields.integer(), open: fields.text() }),
    absent: () => ({ kind: "absent" }),
  }),
);

/** Reads the history: definition and records. */
export const recallScript: Script<
  typeof lua.recall,
  { readonly definitionText: string; readonly records: readonly unknown[] } | null
> = defineScript(
  lua.recall,
  decodeReply<{ readonly definitionText: string; readonly records: readonly unknown[] } | null>({
    absent: () => null,
    history: (fields) => ({ definitionText: fields.text(), records: fields.list() }),
  }),
);
