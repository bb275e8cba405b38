/**
 * Idempotency keys for HTTP, by draft-ietf-httpapi-idempotency-key-header, for servers of web-standard `Request` and `Response`:
 *
 * ```ts
 * const handle = idempotentHandler(idempotency, { tenant: (request) => accountOf(request) }, async (request, attempt) =>
 *   Response.json(await charge(await request.json(), attempt), { status: 201 }),
 * );
 * ```
 */
export { HttpGuard, type GuardedRequest, type Handled, type Verdict } from "./guard.ts";
export { keyLengthMax, parseKeyHeader, type KeyHeader } from "./key-header.ts";
export type { HttpOptions } from "./options.ts";
export { defaultDocumentation, problemResponse, type ProblemCode } from "./problem.ts";
export {
  defaultReplayHeaders,
  type HeaderList,
  type OmittedReason,
  type Produced,
  type StoredResponse,
  type WholeResponse,
} from "./response.ts";
export { idempotentHandler, webResponse, type WebHandler, type WebOptions } from "./web.ts";
export { takeResponse, type TakenResponse } from "./web-body.ts";
