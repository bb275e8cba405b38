/**
 * The resource's side of a lock: what makes a stale holder harmless.
 *
 * ```ts
 * await lock.withLock("ledger:7", async (hold) => {
 *   await fencedSet(redis, "{ledger:7}:state", "open", hold); // StaleTokenError when a later holder has been there
 * });
 * ```
 */
export { FenceGate, type FenceGateOptions } from "./fence-gate.ts";
export { defineFencedScript, type FencedScript, type FencedScriptDefinition } from "./fenced-script.ts";
export { advanceFence, fencedSet, resetFence, type FencedSetOptions } from "./fenced-set.ts";
export type { GuardOptions } from "./options.ts";
export { StaleTokenError } from "./stale-token-error.ts";
