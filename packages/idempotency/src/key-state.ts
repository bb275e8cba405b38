/** What is known of a key, as operators read it. */
import type { IdempotencyKey, KeyPlace } from "./keys.ts";
import type { RecordReply } from "./scripts.ts";

/**
 * `running` an attempt holds the key · `lapsed` its attempt has outlived its lease and the next call takes over · `unknown` its outcome is
 * not known and it stays closed, until it is resolved or, when it is recovered, for one more lease · `completed`, `failed` its
 * outcome is stored · `released` the next call runs · `forgotten` a tombstone.
 */
export type KeyStateKind = "running" | "lapsed" | "unknown" | "completed" | "failed" | "released" | "forgotten";

/** What is known of a key. */
export interface KeyState extends IdempotencyKey {
  readonly kind: KeyStateKind;
  readonly resource: string;
  /** The last one given, to an attempt or to an operator. */
  readonly token: number;
  /** Attempts that have started. */
  readonly attempts: number;
  /** Whether an attempt before the last one may have had an effect. */
  readonly recovered: boolean;
  /** When the last attempt started, in epoch milliseconds of the server's clock; undefined when none did since the key was forgotten. */
  readonly startedAtMs: number | undefined;
  /** When it ended, or an operator acted. */
  readonly endedAtMs: number | undefined;
  /** Milliseconds that the lease still has, 0 when the key is not leased. */
  readonly remainingMs: number;
  /** What becomes of it when its attempt dies. */
  readonly onUnknown: "recover" | "hold";
  /** The codec of the stored result. */
  readonly codecId: string | undefined;
  readonly resultBytes: number;
  /** How often an attempt that was overtaken tried to change it, in vain (I2). */
  readonly staleRefused: number;
  /** Milliseconds until it is forgotten by itself; undefined when it never is. */
  readonly expiresInMs: number | undefined;
}

function kindOf({ state, remainingMs, rule }: RecordReply): KeyStateKind {
  const leased = remainingMs > 0;
  switch (state) {
    case "running":
      if (leased) return "running";
      return rule === "hold" ? "unknown" : "lapsed";
    case "unknown":
      return leased || rule === "hold" ? "unknown" : "lapsed";
    default:
      return state as "completed" | "failed" | "released" | "forgotten";
  }
}

/** Puts a record into the words of operators. */
export function keyStateOf({ key, tenant, resource }: KeyPlace, record: RecordReply): KeyState {
  const kind = kindOf(record);
  const unfinished = kind === "running" || kind === "lapsed" || kind === "unknown";
  return {
    kind,
    key,
    tenant,
    resource,
    token: record.token,
    attempts: record.number,
    recovered: record.possible,
    startedAtMs: record.startedMs === 0 ? undefined : record.startedMs,
    endedAtMs: record.endedMs === 0 || kind === "running" ? undefined : record.endedMs,
    remainingMs: unfinished ? record.remainingMs : 0,
    onUnknown: record.rule === "hold" ? "hold" : "recover",
    codecId: kind === "completed" || kind === "failed" ? record.codecId : undefined,
    resultBytes: record.resultBytes,
    staleRefused: record.refused,
    expiresInMs: record.expiresInMs < 0 ? undefined : record.expiresInMs,
  };
}
