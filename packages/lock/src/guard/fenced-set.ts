/** Guards for values in Redis: a write goes through only if no higher token has been there. */
import { Connection, decodeTagged, defineScript, integerOr, text } from "@holdfast/core";
import type { Fenced, RedisLike } from "@holdfast/core";
import {
  advanceFence as advanceFenceSource,
  fencedSet as fencedSetSource,
  resetFence as resetFenceSource,
} from "../scripts.generated.ts";
import { refuseFormat } from "../newer-format.ts";
import { fenceKeys } from "./fence-keys.ts";
import { guardedCall, guardScript } from "./guarded-call.ts";
import { checkFenced, resolveGuardOptions, tokenText } from "./options.ts";
import type { GuardOptions } from "./options.ts";

/** Options of a fenced SET. */
export interface FencedSetOptions extends GuardOptions {
  /** Life of the value in milliseconds, 1 to 31,622,400,000. Default for ever. */
  readonly ttlMs?: number | undefined;
}

const yearMs = 366 * 86_400_000;
const setScript = guardScript(fencedSetSource, () => undefined);
const advanceScript = guardScript(advanceFenceSource, () => undefined);
const resetScript = defineScript(resetFenceSource, (reply, operation) =>
  decodeTagged<number | null>(operation, reply, {
    reset: (fields) => fields.integer(),
    absent: () => null,
    "newer-format": (fields) => refuseFormat(operation, fields.text()),
  }),
);

/**
 * Sets a key of yours, unless a later holder has been there.
 * @param key in Redis as it stands: `prefix` is for the guard's own keys
 * @param fenced a hold, a firing, a run or an attempt
 * @throws StaleTokenError: nothing was written; OutcomeUnknownError: repeat with its `operationId`
 */
export async function fencedSet(
  redis: RedisLike,
  key: string,
  value: string | number | Buffer,
  fenced: Fenced,
  options: FencedSetOptions = {},
): Promise<void> {
  const resolved = resolveGuardOptions(options);
  checkFenced(fenced, resolved.guardRetentionMs);
  if (typeof value !== "string" && typeof value !== "number" && !Buffer.isBuffer(value)) {
    throw new TypeError(`value must be a string, a number or a Buffer, got ${value === null ? "null" : typeof value}`);
  }
  const ttlMs = integerOr(0, "ttlMs", options.ttlMs, { min: 1, max: yearMs });
  const keys = fenceKeys(resolved.prefix, key, fenced.resource);
  const { guardRetentionMs, repeatWithinMs } = resolved;
  const args = { token: tokenText(fenced.token), guardRetentionMs, repeatWithinMs, value, ttlMs };
  const { fence } = keys;
  await guardedCall(
    redis,
    "set",
    fenced,
    setScript,
    { key, fence, first: keys.first(resolved.operationId, "set", [key]) },
    args,
    resolved,
  );
}

/**
 * Makes the guard of a key refuse every token below this one: after `forceRelease`, or when work begins, so that a stale writer is refused
 * before the first write of the new holder.
 * @throws StaleTokenError when a later holder has been there
 */
export async function advanceFence(
  redis: RedisLike,
  key: string,
  fenced: Fenced,
  options: GuardOptions = {},
): Promise<void> {
  const resolved = resolveGuardOptions(options);
  checkFenced(fenced, resolved.guardRetentionMs);
  const { fence } = fenceKeys(resolved.prefix, key, fenced.resource);
  const args = { token: tokenText(fenced.token), guardRetentionMs: resolved.guardRetentionMs };
  await guardedCall(redis, "advance", fenced, advanceScript, { fence }, args, resolved);
}

/**
 * For operators: makes the guard of a key forget its highest token, after the lock's server has lost its tokens and its clock went back.
 * Stale writers are let through until the next write with a higher token: stop them first.
 * @param resource what the tokens belong to: `lock:invoice:42`
 * @returns the token that was forgotten, null when there was none; a repeat under its `operationId` within `repeatWithinMs` gets the same
 *   answer, and makes nothing forgotten that was written since
 * @throws NewerFormatError: a newer version wrote it, and it stays
 */
export async function resetFence(
  redis: RedisLike,
  key: string,
  resource: string,
  options: GuardOptions = {},
): Promise<number | null> {
  const resolved = resolveGuardOptions(options);
  const { prefix, clock, operationId, repeatWithinMs, commandTimeoutMs: timeoutMs, durability } = resolved;
  const own = fenceKeys(prefix, key, text("resource", resource, 1_024));
  const keys = { fence: own.fence, first: own.first(operationId, "reset", [key]) };
  const call = { operation: `guard.reset ${resource}`, operationId, timeoutMs, durability };
  return Connection.of(redis, clock).run(resetScript, keys, { repeatWithinMs }, call);
}
