/** The lock's scripts with typed results: replies are decoded strictly, a newer record format is an error of its own. */
import { decodeTagged, defineScript, UnexpectedReplyError } from "@holdfast/core";
import type { ReplyFields, Script } from "@holdfast/core";
import { refuseFormat } from "./newer-format.ts";
import { acquire, forceRelease, inspect, release, renew, takeOrFree } from "./scripts.generated.ts";

/** What became of a request for the lock. */
export type AcquireReply =
  | { readonly kind: "granted"; readonly token: number }
  /** In the queue; the lease of whoever holds it ends in so many milliseconds. Every later grant has a higher token. */
  | { readonly kind: "waiting"; readonly leaseEndsInMs: number; readonly lastToken: number }
  | { readonly kind: "busy" }
  /** The owner has released or given up before. */
  | { readonly kind: "ended" };

/** Who holds a lock. */
export interface LockState {
  readonly token: number;
  readonly owner: string;
  readonly remainingMs: number;
  /** Waiters that are alive. */
  readonly waiters: number;
}

/** Splits the one-string replies of the hot scripts: a tag, then fields, separated by spaces. */
function decodeText<Result>(
  operation: string,
  reply: unknown,
  branches: Readonly<Record<string, (fields: ReplyFields) => Result>>,
): Result {
  return decodeTagged(operation, typeof reply === "string" ? reply.split(" ") : reply, {
    ...branches,
    "newer-format": (fields) => refuseFormat(operation, fields.text()),
  });
}

/** The usual answer, read without taking it apart. */
const grantedForm = /^granted \d{16}$/u;

/** Asks for the lease. */
export const acquireScript: Script<typeof acquire, AcquireReply> = defineScript(acquire, (reply, operation) => {
  if (typeof reply === "string" && grantedForm.test(reply)) return { kind: "granted", token: Number(reply.slice(8)) };
  return decodeText<AcquireReply>(operation, reply, {
    waiting: (fields) => ({ kind: "waiting", leaseEndsInMs: fields.integer(), lastToken: fields.integer() }),
    busy: () => ({ kind: "busy" }),
    ended: () => ({ kind: "ended" }),
  });
});

/** Takes and frees locks that nobody waits for: one word for each request. */
export const takeOrFreeScript: Script<typeof takeOrFree, readonly string[]> = defineScript(
  takeOrFree,
  (reply, operation) => {
    if (typeof reply === "string" && reply.startsWith("done ")) return reply.slice("done ".length).split(" ");
    throw new UnexpectedReplyError(operation, "done and outcomes", reply);
  },
);

/** Counts the lease anew. */
export const renewScript: Script<typeof renew, "renewed" | "lost"> = defineScript(renew, (reply, operation) =>
  decodeText(operation, reply, { renewed: () => "renewed" as const, lost: () => "lost" as const }),
);

/** Gives the lease, or a place in the queue, back. */
export const releaseScript: Script<typeof release, "released" | "lost"> = defineScript(release, (reply, operation) =>
  decodeText(operation, reply, { released: () => "released" as const, lost: () => "lost" as const }),
);

/** Looks at the lease. */
export const inspectScript: Script<typeof inspect, LockState | null> = defineScript(inspect, (reply, operation) =>
  decodeTagged<LockState | null>(operation, reply, {
    free: () => null,
    held: (fields) => ({
      token: fields.integer(),
      owner: fields.text(),
      remainingMs: fields.integer(),
      waiters: fields.integer(),
    }),
    "newer-format": (fields) => refuseFormat(operation, fields.text()),
  }),
);

/** Burns a token. */
export const forceReleaseScript: Script<typeof forceRelease, number> = defineScript(forceRelease, (reply, operation) =>
  decodeTagged(operation, reply, {
    burned: (fields) => fields.integer(),
    "newer-format": (fields) => refuseFormat(operation, fields.text()),
  }),
);
