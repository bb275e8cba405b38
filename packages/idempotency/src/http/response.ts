/** Responses as they are stored and replayed: status, the headers that may be replayed, the body byte for byte. */
import type { Codec } from "../codec.ts";

/** Name and value; a name may stand several times. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** A response whose body is complete. */
export interface WholeResponse {
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: Uint8Array;
}

/** Why a body is not stored: it had not ended when it began to be sent, or it is too long. */
export type OmittedReason = "stream" | "too-large";

/** What is stored of a response. */
export interface StoredResponse {
  readonly status: number;
  readonly headers: HeaderList;
  /** Bytes, or text when an operator made it by hand. */
  readonly body: Uint8Array | string;
  readonly omitted?: OmittedReason | undefined;
}

/** What a handler produced. */
export interface Produced {
  readonly status: number;
  readonly headers: HeaderList;
  /** Undefined for a stream, which goes to the client and nowhere else. */
  readonly body: Uint8Array | undefined;
}

/** Headers of the message, not of what it says (RFC 9110, 7.6.1), and cookies, which belong to one client. */
const neverReplayed = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "set-cookie",
  "set-cookie2",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** What describes a result, and is the same whenever it is told. */
export const defaultReplayHeaders: readonly string[] = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-location",
  "content-type",
  "etag",
  "expires",
  "last-modified",
  "link",
  "location",
  "vary",
];

/** The headers that are stored. */
export function replayableHeaders(headers: HeaderList, allowed: ReadonlySet<string>): HeaderList {
  return headers
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .filter(([name]) => allowed.has(name) && !neverReplayed.has(name));
}

/** @throws TypeError naming a header that is never replayed */
export function checkReplayHeaders(names: readonly string[]): ReadonlySet<string> {
  const lower = names.map((name) => name.toLowerCase());
  const wrong = lower.find((name) => neverReplayed.has(name));
  if (wrong !== undefined) throw new TypeError(`replayHeaders must not name ${wrong}, which is never replayed`);
  return new Set(lower);
}

/** True for what `stored` may hold, whoever stored it. */
export function isStoredResponse(value: unknown): value is StoredResponse {
  if (typeof value !== "object" || value === null) return false;
  const { status, headers, body } = value as Partial<Record<keyof StoredResponse, unknown>>;
  return (
    typeof status === "number" && Array.isArray(headers) && (typeof body === "string" || body instanceof Uint8Array)
  );
}

/** A head in JSON, a line feed, the body as it is: JSON text holds no raw line feed. */
export const responseCodec: Codec = {
  id: "http-response",
  encode(value) {
    if (!isStoredResponse(value)) throw new TypeError("not a response");
    const { status, headers, body, omitted } = value;
    return Buffer.concat([Buffer.from(`${JSON.stringify({ status, headers, omitted })}\n`), Buffer.from(body)]);
  },
  decode(bytes) {
    const end = bytes.indexOf(0x0a);
    const head = JSON.parse(bytes.toString("utf8", 0, end)) as Omit<StoredResponse, "body">;
    return { ...head, body: bytes.subarray(end + 1) };
  },
};
