/** Options of the guards, and the check of the token that every guard begins with. */
import { integer, integerOr, optionsObject, resolveCommonOptions, text } from "@holdfast/core";
import type { CommonOptions, Fenced, ResolvedCommonOptions } from "@holdfast/core";

/** Options that all guards take. */
export interface GuardOptions extends Omit<CommonOptions<never>, "onEvent"> {
  /**
   * How long tokens are remembered in milliseconds; older ones are refused. At least the lock's `holdMaxMs`, 1,000 to 31,622,400,000.
   * Default 86,400,000.
   */
  readonly guardRetentionMs?: number | undefined;
  /**
   * How long the first answer of an operation is remembered for a repeat, in milliseconds, 1,000 to 86,400,000 and no less than
   * `commandTimeoutMs`. A later repeat is a new operation. Default 60,000.
   */
  readonly repeatWithinMs?: number | undefined;
  /**
   * Repeats a call whose outcome was unknown: the first answer, and nothing is written twice. It names one operation for each script, its
   * keys and the resource. Default a new id.
   */
  readonly operationId?: string | undefined;
}

/** Options, complete. */
export interface ResolvedGuardOptions extends ResolvedCommonOptions<never> {
  readonly guardRetentionMs: number;
  readonly repeatWithinMs: number;
  readonly operationId: string;
}

const retentionRangeMs = { min: 1_000, max: 366 * 86_400_000 };
/** Tokens are microseconds since 1970 and stay whole numbers. */
const tokenRange = { min: 1, max: Number.MAX_SAFE_INTEGER };

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveRetentionMs(guardRetentionMs: number | undefined): number {
  return integerOr(86_400_000, "guardRetentionMs", guardRetentionMs, retentionRangeMs);
}

/** @throws TypeError, RangeError naming the field, the allowed range and the value got */
export function resolveGuardOptions(options: GuardOptions): ResolvedGuardOptions {
  optionsObject("options", options);
  const common = resolveCommonOptions<never>(options);
  const { operationId = common.random.id() } = options;
  const repeatWithinMs = integerOr(60_000, "repeatWithinMs", options.repeatWithinMs, { min: 1_000, max: 86_400_000 });
  return {
    ...common,
    guardRetentionMs: resolveRetentionMs(options.guardRetentionMs),
    // A request that is sent twice has to meet its own first answer (K1).
    repeatWithinMs: Math.max(repeatWithinMs, common.commandTimeoutMs),
    operationId: text("operationId", operationId, 128),
  };
}

/**
 * Checks what a caller hands in as the right to write.
 * @throws TypeError, RangeError when it is none, or when it can be held for longer than the guard remembers
 */
export function checkFenced(
  fenced: Fenced & { readonly holdMaxMs?: number | undefined },
  guardRetentionMs: number,
): void {
  optionsObject("fenced", fenced);
  text("fenced.resource", fenced.resource, 1_024);
  integer("fenced.token", fenced.token, tokenRange);
  const { holdMaxMs } = fenced;
  if (holdMaxMs !== undefined && holdMaxMs > guardRetentionMs) {
    throw new RangeError(
      `guardRetentionMs must be at least the lock's holdMaxMs (${holdMaxMs}), got ${guardRetentionMs}: a long hold would be refused`,
    );
  }
}

/** A token as scripts compare it: 16 digits. */
export function tokenText(token: number): string {
  return String(token).padStart(16, "0");
}
