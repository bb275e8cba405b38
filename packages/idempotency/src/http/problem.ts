/** Answers that the guard gives itself: application/problem+json (RFC 9457), each with a link to its section of the documentation. */
import type { WholeResponse } from "./response.ts";

/** Why the guard answers itself; also the anchor of the documentation. */
export type ProblemCode =
  | "idempotency-key-missing"
  | "idempotency-key-malformed"
  | "tenant-missing"
  | "request-too-large"
  | "in-progress"
  | "response-not-stored"
  | "payload-mismatch"
  | "outcome-unknown"
  | "store-unavailable"
  | "result-unreadable";

const problems: Readonly<Record<ProblemCode, { status: number; title: string }>> = {
  "idempotency-key-missing": { status: 400, title: "Idempotency-Key is missing" },
  "idempotency-key-malformed": { status: 400, title: "Idempotency-Key is malformed" },
  "tenant-missing": { status: 400, title: "The request belongs to nobody" },
  "request-too-large": { status: 413, title: "The request is too large" },
  "in-progress": { status: 409, title: "A request with this Idempotency-Key is being processed" },
  "response-not-stored": { status: 409, title: "The request was processed, but its response was not kept" },
  "payload-mismatch": { status: 422, title: "Idempotency-Key was used with another request" },
  "outcome-unknown": { status: 504, title: "The outcome of the request is unknown" },
  "store-unavailable": { status: 503, title: "Idempotency cannot be guaranteed now" },
  "result-unreadable": { status: 503, title: "The stored response cannot be read by this version" },
};

/** Where the problems are documented unless told otherwise. */
export const defaultDocumentation = "https://www.npmjs.com/package/@holdfast/idempotency";

/**
 * @param documentation a URL without fragment
 * @param retryAfterMs rounded up to seconds for `Retry-After`
 */
export function problemResponse(
  documentation: string,
  code: ProblemCode,
  detail: string,
  retryAfterMs?: number,
): WholeResponse {
  const { status, title } = problems[code];
  const type = `${documentation}#${code}`;
  const headers: [string, string][] = [
    ["content-type", "application/problem+json"],
    ["cache-control", "no-store"],
    ["link", `<${type}>; rel="describedby"`],
  ];
  if (retryAfterMs !== undefined) headers.push(["retry-after", String(Math.max(1, Math.ceil(retryAfterMs / 1_000)))]);
  return { status, headers, body: Buffer.from(JSON.stringify({ type, title, status, detail })) };
}
