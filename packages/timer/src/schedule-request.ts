/** What callers hand to `schedule`, checked and ready to be sent. */
import { integer, oneOf, optionsObject, text } from "@holdfast/core";
import type { Random } from "@holdfast/core";
import type { ResolvedTimerOptions } from "./options.ts";
import type { Sighting } from "./sightings.ts";

/** When a timer is due: after a delay in milliseconds, or at a time on the server's clock. One of the two. */
export type When =
  | { readonly afterMs: number; readonly at?: undefined }
  | { readonly at: Date | number; readonly afterMs?: undefined };

/** A timer to schedule. */
export type ScheduleRequest<Payload> = When & {
  /** 1 to 256 bytes; one timer per id. */
  readonly id: string;
  /** When a timer with this id is pending: keep it (default), replace it, or let the earlier deadline win. */
  readonly ifExists?: "keep" | "replace" | "earliest" | undefined;
  /** Names the call; 1 to 64 visible ASCII characters. Give it again to learn the outcome of a call whose answer was lost. */
  readonly operationId?: string | undefined;
} & (undefined extends Payload ? { readonly payload?: Payload } : { readonly payload: Payload });

/** What accompanies a call that changes something. */
export interface OperationOptions {
  /** Names the call; 1 to 64 visible ASCII characters. Give it again to learn the outcome of a call whose answer was lost. */
  readonly operationId?: string | undefined;
}

/** What became of a schedule. */
export interface ScheduleResult {
  /** `scheduled`: there was none. `kept`: there was one. `replaced`: it was replaced. `firing`: it runs; this is the next one after it. */
  readonly kind: "scheduled" | "kept" | "replaced" | "firing";
  /** Epoch milliseconds on the server's clock; for `kept` those of the timer that was kept. */
  readonly dueAtMs: number;
  /** Grows with each schedule of the id. */
  readonly generation: number;
}

/** One item of schedule.lua. */
export interface ScheduleItem {
  readonly id: string;
  readonly operationId: string;
  /** As in the header of schedule.lua: `k+60000`, `r@1795312345678`. */
  readonly when: string;
  readonly payloadText: string;
  /** When the caller asked, in monotonic milliseconds. */
  readonly askedAtMs: number;
  /** What was known of the shard's time when the caller asked. */
  readonly sighting: Sighting | undefined;
}

const modeNames = ["keep", "replace", "earliest"] as const;
const modes = { keep: "k", replace: "r", earliest: "e" } as const;
const timeMaxMs = 8_640_000_000_000;

/** It stands in every pending timer, so it is short; it is only ever compared with other operations on the same id, minutes apart. */
const operationIdCharacters = 8;

/** A new operation id: 48 bits of chance. */
export function newOperationId(random: Random): string {
  return random.id().slice(0, operationIdCharacters);
}

/**
 * An operation id of the caller's.
 * @throws TypeError, RangeError
 */
export function checkOperationId(operationId: unknown): string {
  const checked = text("operationId", operationId, 64);
  if (!/^[\x21-\x7e]+$/u.test(checked)) {
    throw new RangeError(`operationId must be 1 to 64 visible ASCII characters, got ${JSON.stringify(checked)}`);
  }
  return checked;
}

/** @throws TypeError, RangeError naming the field */
export function whenOf(
  request: When & { readonly ifExists?: unknown },
  limits: Pick<ResolvedTimerOptions<unknown>, "delayMaxMs">,
): string {
  optionsObject("request", request);
  const { afterMs, at, ifExists = "keep" } = request;
  const mode = modes[oneOf("ifExists", ifExists, modeNames)];
  if ((afterMs === undefined) === (at === undefined)) {
    throw new TypeError(`exactly one of afterMs and at must be given, got ${afterMs === undefined ? "none" : "both"}`);
  }
  if (at === undefined) return `${mode}+${integer("afterMs", afterMs, { min: 0, max: limits.delayMaxMs })}`;
  const atMs = at instanceof Date ? at.getTime() : at;
  return `${mode}@${integer("at", atMs, { min: 1, max: timeMaxMs })}`;
}
