/** The guard for web-standard servers: a handler of `Request` and `Response`. */
import { ambientRemainingMs, callback, integerOr } from "@holdfast/core";
import type { Attempt } from "../attempt.ts";
import type { Idempotency } from "../idempotency.ts";
import { HttpGuard } from "./guard.ts";
import type { GuardedRequest, Handled, Verdict } from "./guard.ts";
import { unreadBody } from "./node-body.ts";
import type { HttpOptions } from "./options.ts";
import { discard, takeResponse } from "./web-body.ts";
import type { WholeResponse } from "./response.ts";

/** Options of the web-standard guard. */
export interface WebOptions extends HttpOptions<Request> {
  /** Longest request body in bytes; a longer one hears 413. Default 1,048,576. */
  readonly requestBytesMax?: number | undefined;
}

/** A handler; the attempt is undefined for requests that are not guarded. */
export type WebHandler = (request: Request, attempt: Attempt | undefined) => Response | Promise<Response>;

const bodiless = new Set([101, 103, 204, 205, 304]);

/** A whole response as a web `Response`. */
export function webResponse({ status, headers, body }: WholeResponse): Response {
  const list = headers.map(([name, value]): [string, string] => [name, value]);
  return new Response(bodiless.has(status) ? null : Buffer.from(body), { status, headers: list });
}

async function bodyOf(request: Request, bytesMax: number): Promise<Buffer<ArrayBuffer> | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.length;
    if (length > bytesMax) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/**
 * Wraps a handler: requests that the options guard run at most once per key and tenant.
 * @throws TypeError, RangeError naming the field
 */
export function idempotentHandler(
  idempotency: Idempotency,
  options: WebOptions,
  handler: WebHandler,
): (request: Request) => Promise<Response> {
  callback("handler", handler);
  const guard = new HttpGuard(idempotency, options);
  const requestBytesMax = integerOr(1_048_576, "requestBytesMax", options.requestBytesMax, {
    min: 0,
    max: 1_073_741_824,
  });

  return async (request) => {
    const { method, url, signal } = request;
    const keyHeader = request.headers.get("idempotency-key") ?? undefined;
    if (!guard.guards({ request, method, keyHeader })) return handler(request, undefined);
    // Before the body is read, which takes as long as its client does.
    const inTime = ambientRemainingMs() > 0;
    // Whoever has read it before has left nothing that could be compared, or handed on.
    const used = request.bodyUsed;
    const body = used ? Buffer.alloc(0) : await bodyOf(request, requestBytesMax);
    if (body === undefined) {
      return answerOf(guard.problem("request-too-large", `The body must have at most ${requestBytesMax} bytes.`));
    }
    const { pathname, search } = new URL(url);
    const whole = used || request.body === null ? request : new Request(request, { body, method });
    const guarded: GuardedRequest<Request> = {
      request: whole,
      method,
      target: pathname + search,
      keyHeader,
      payload: () => {
        if (used) throw unreadBody(request.headers.get("content-type"));
        return body;
      },
      signal,
      inTime,
    };
    let response: Response | undefined;
    let handled: Handled | undefined;
    const verdict = await guard.handle(guarded, async (attempt) => {
      try {
        const taken = await takeResponse(await handler(whole, attempt), guard.bodyBytesMax);
        response = taken.response;
        handled = { produced: taken.produced };
      } catch (error) {
        handled = { thrown: { error } };
      }
      return handled;
    });
    if (verdict.kind === "handled" && response !== undefined) return response;
    if (verdict.kind === "handled") throw handled?.thrown?.error;
    if (response !== undefined) discard(response);
    return answerOf(verdict);
  };
}

/** The answer of a verdict other than `handled`. */
function answerOf(verdict: Verdict): Response {
  if (verdict.kind === "answer") return webResponse(verdict.response);
  if (verdict.kind === "error") throw verdict.error;
  // The client has gone; whatever is answered, nobody reads it.
  return new Response(null, { status: 499 });
}
