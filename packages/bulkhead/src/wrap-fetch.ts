/** `fetch` through a bulkhead: one of the two places where people put it first. */
import { httpStatusesOf } from "@holdfast/core";
import type { Bulkhead } from "./bulkhead.ts";
import type { Classify } from "./outcome.ts";

/** The shape of `fetch`. */
export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/** Options of `wrapFetch`. */
export interface WrapFetchOptions {
  /** What is called. Default: the global `fetch`. */
  readonly fetch?: Fetch | undefined;
  /** What a response says about the dependency. Default: 5xx is a failure, 429 says nothing, anything else is a success. */
  readonly classify?: Classify | undefined;
}

/** Bodies that are the same when they are sent again; anything else, such as a stream or an iterator, may be empty by then. */
function canBeSentAgain(body: unknown): boolean {
  if (body === undefined || body === null || typeof body === "string") return true;
  if (ArrayBuffer.isView(body) || body instanceof ArrayBuffer || body instanceof SharedArrayBuffer) return true;
  return body instanceof URLSearchParams || body instanceof FormData || body instanceof Blob;
}

/** Methods that may be repeated (RFC 9110, section 9.2.2). */
const idempotentMethods = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

/** The default rule for responses. */
export const classifyResponse: Classify = ({ value, error }) => {
  if (error !== undefined) return "failure";
  // Not by its class: that of another `fetch` is not the global one.
  const [status = 200] = httpStatusesOf(value);
  if (status === 429) return "ignore";
  return status >= 500 ? "failure" : "success";
};

/**
 * A `fetch` whose calls pass through the bulkhead: the permit is held until the headers have arrived, a timeout or the caller's signal
 * aborts the request, the caller's signal the body too, and only methods that may be repeated are retried, with bodies that can be sent
 * again.
 */
export function wrapFetch(bulkhead: Pick<Bulkhead, "run">, options: WrapFetchOptions = {}): Fetch {
  const call = options.fetch ?? fetch;
  const classify = options.classify ?? classifyResponse;
  return (input, init = {}) => {
    const request = input instanceof Request ? input : undefined;
    const method = (init.method ?? request?.method ?? "GET").toUpperCase();
    const callerSignal = init.signal ?? request?.signal ?? undefined;
    const sendsAgain = request === undefined || request.body === null || (init.body ?? null) !== null;
    const idempotent = idempotentMethods.has(method) && sendsAgain && canBeSentAgain(init.body);
    const retry = idempotent ? undefined : false;
    return bulkhead.run({ signal: callerSignal, classify, retry, idempotent }, ({ signal }) => {
      // The call ends with the headers; its caller may still give up the body.
      const both = callerSignal === undefined ? signal : AbortSignal.any([signal, callerSignal]);
      return call(input, { ...init, signal: both });
    });
  };
}
