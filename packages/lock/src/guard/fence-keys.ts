/**
 * Where a guard keeps what it knows about a resource: beside the key it protects, in the same Cluster slot, so that check and write are one
 * step. Keys with one hash tag share a fence; what has to be guarded together needs a common tag.
 */
import { text } from "@holdfast/core";

/** The keys of a guard. */
export interface FenceKeys {
  /** STRING: the highest token of the resource. */
  readonly fence: string;
  /** STRING: the first answer of an operation, for as long as it may be repeated. */
  first(operationId: string): string;
}

/** What Redis hashes of a key, when a key of ours can be made to hash alike. */
function hashTag(key: string): string {
  const open = key.indexOf("{");
  const close = open === -1 ? -1 : key.indexOf("}", open + 1);
  if (close > open + 1) return key.slice(open + 1, close);
  if (key.includes("}")) {
    throw new RangeError(`key must hold a hash tag such as {order:7} or no closing brace, got ${JSON.stringify(key)}`);
  }
  return key;
}

/**
 * @param key the user's key, 1 to 1,024 bytes
 * @param resource what the token belongs to
 * @throws TypeError, RangeError when no key of ours can share the slot of `key`
 */
export function fenceKeys(prefix: string, key: string, resource: string): FenceKeys {
  const tag = hashTag(text("key", key, 1_024));
  const head = `${prefix}:{${tag}}:guard:`;
  return { fence: `${head}${resource}`, first: (operationId) => `${head}first:${operationId}` };
}
