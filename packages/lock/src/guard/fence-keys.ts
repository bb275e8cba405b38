/**
 * Where a guard keeps what it knows about a resource: beside the key it protects, in the same Cluster slot, so that check and write are one
 * step. Keys with one hash tag share a fence; what has to be guarded together needs a common tag.
 */
import { createHash } from "node:crypto";
import { text } from "@holdfast/core";
import { hashTag } from "../hash-tag.ts";

/** The keys of a guard. */
export interface FenceKeys {
  /** STRING: the highest token of the resource. */
  readonly fence: string;
  /**
   * STRING: the first answer of an operation, for as long as it may be repeated. The same id names another operation where another script
   * runs, on other keys, or for another resource.
   */
  first(operationId: string, script: string, keys: readonly string[]): string;
}

/**
 * @param key the user's key, 1 to 1,024 bytes
 * @param resource what the token belongs to
 * @throws TypeError, RangeError when no key of ours can share the slot of `key`
 */
export function fenceKeys(prefix: string, key: string, resource: string): FenceKeys {
  const tag = hashTag("key", text("key", key, 1_024));
  const head = `${prefix}:{${tag}}:guard:`;
  return {
    fence: `${head}${resource}`,
    first: (operationId, script, keys) => {
      const what = createHash("sha1")
        .update(JSON.stringify([script, resource, ...keys]))
        .digest("base64url");
      return `${head}first:${operationId}:${what}`;
    },
  };
}
