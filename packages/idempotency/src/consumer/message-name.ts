/**
 * How a message is named unless its consumer says so: by where it was taken from, too. An id of a stream's entry is a time, which an entry of
 * another stream may share; and one message that two groups or two queues get is work for each of them.
 */
import { hash } from "node:crypto";
import { encodePart } from "../keys.ts";

/** What a key may have. */
const nameBytesMax = 256;

/** One name for each list of parts; a digest, which has no colon, stands for one that is too long for a key. */
export function messageName(...parts: readonly string[]): string {
  const name = parts.map(encodePart).join(":");
  return Buffer.byteLength(name) <= nameBytesMax ? name : `sha256-${hash("sha256", name, "base64url")}`;
}
