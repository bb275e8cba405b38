/** What a stored outcome says to a call that comes after it (I6). */
import type { Codec } from "./codec.ts";
import { ResultUnreadableError } from "./errors.ts";
import { decodeFailure } from "./stored-error.ts";
import type { StoredOutcome } from "./waiting.ts";

/**
 * The value of a completed attempt.
 * @param known the codecs that may have written it
 * @throws the stored error of a failed attempt; ResultUnreadableError
 */
export function replayed(
  resource: string,
  { outcome, codecId, result }: StoredOutcome,
  known: readonly Codec[],
): unknown {
  if (outcome === "failed") throw decodeFailure(resource, result);
  const reader = known.find(({ id }) => id === codecId);
  const ids = [...new Set(known.map(({ id }) => id))];
  if (reader === undefined) throw new ResultUnreadableError(resource, codecId, ids);
  try {
    // A copy: several waiters may share the bytes.
    return reader.decode(Buffer.from(result));
  } catch (error) {
    throw new ResultUnreadableError(resource, codecId, ids, { cause: error });
  }
}
