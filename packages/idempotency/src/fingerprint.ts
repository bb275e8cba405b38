/**
 * What tells one payload from another (I7): a SHA-256 over the names and the payload, so that no two tenants, keys or names share one.
 *
 * A JSON object or array counts by its value, whether it comes as a value, as text or as bytes: the order of keys and white space do not
 * matter. As text or bytes it also counts with every digit, which a value has already lost when a number does not fit. Any other text and
 * any other bytes count as they are.
 */
import { hash } from "node:crypto";
import { canonicalOfText, canonicalOfValue } from "./canonical-json.ts";

function textOf(bytes: Uint8Array): string | undefined {
  // Only what may be a JSON object or array is worth decoding.
  const first = bytes.find((byte) => byte > 0x20);
  if (first !== 0x7b && first !== 0x5b) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // Not UTF-8, hence not JSON.
    return undefined;
  }
}

/** What is hashed of a payload: a canonical text, or the bytes as they are, with the kind before it. */
function contentOf(payload: unknown): string | Buffer {
  if (payload instanceof Uint8Array || typeof payload === "string") {
    const text = typeof payload === "string" ? payload : textOf(payload);
    const canonical = text === undefined ? undefined : canonicalOfText(text);
    if (canonical !== undefined) return `json\n${canonical}`;
    return Buffer.concat([Buffer.from("raw\n"), typeof payload === "string" ? Buffer.from(payload) : payload]);
  }
  return `json\n${canonicalOfValue(payload)}`;
}

/**
 * A digest of a payload alone, as 43 characters of base64.
 * @throws TypeError for what is neither JSON, text nor bytes
 */
export function payloadDigest(payload: unknown): string {
  return hash("sha256", contentOf(payload), "base64url");
}

/**
 * The fingerprint of a payload under a key, as 43 characters of base64, or the empty text for `undefined`, which is compared with nothing.
 * @param resource the key's unique name
 */
export function fingerprintOf(resource: string, payload: unknown): string {
  if (payload === undefined) return "";
  // The length says where the name ends, whatever is in it.
  const head = `holdfast fingerprint 1\n${resource.length}\n${resource}\n`;
  const content = contentOf(payload);
  return hash(
    "sha256",
    typeof content === "string" ? head + content : Buffer.concat([Buffer.from(head), content]),
    "base64url",
  );
}
