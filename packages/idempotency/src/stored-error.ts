/** How a failure is stored with its key, and thrown again. */
import { ResultNotStoredError, StoredError } from "./errors.ts";
import type { NotStoredReason } from "./errors.ts";

/** The codec id of stored failures, whatever the codec of results. */
export const failureCodecId = "failure";

const messageLengthMax = 4_000;

interface StoredFailure {
  readonly name: string;
  readonly message: string;
  readonly properties?: Readonly<Record<string, unknown>>;
  /** Set when the attempt succeeded and its result could not be stored. */
  readonly notStored?: NotStoredReason;
}

/** The error's own properties that JSON carries; `stack` and `cause` are not its caller's business. */
function plainProperties(error: object): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(error)) {
    if (name === "name" || name === "message" || name === "stack" || name === "cause") continue;
    try {
      const text = JSON.stringify(value);
      if (text !== undefined) plain[name] = JSON.parse(text) as unknown;
    } catch {
      // What JSON cannot carry (a socket, a cycle) is left out.
      continue;
    }
  }
  return plain;
}

/**
 * @param error whatever was thrown
 * @param bytesMax without its properties when it is longer
 */
export function encodeFailure(error: unknown, bytesMax: number): Buffer {
  const known = error instanceof Error;
  const name = known ? error.name : "Error";
  const message = (known ? error.message : String(error)).slice(0, messageLengthMax);
  const notStored = error instanceof ResultNotStoredError ? { notStored: error.reason } : {};
  const short: StoredFailure = { name, message, ...notStored };
  const full: StoredFailure = known ? { ...short, properties: plainProperties(error) } : short;
  const bytes = Buffer.from(JSON.stringify(full));
  return bytes.length <= bytesMax ? bytes : Buffer.from(JSON.stringify(short));
}

/** The error to throw for a stored failure. */
export function decodeFailure(resource: string, bytes: Buffer): Error {
  const { name, message, properties = {}, notStored } = JSON.parse(bytes.toString()) as StoredFailure;
  if (notStored !== undefined) return new ResultNotStoredError(resource, notStored, "the first call was told why");
  return new StoredError(name, message, properties);
}
