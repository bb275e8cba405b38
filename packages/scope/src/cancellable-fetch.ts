/** `fetch` that ends with its scope and tells the callee how long it has. */
import { enclosing } from "./cancellable.ts";
import { deadlineHeaders } from "./deadline-headers.ts";

/**
 * As `fetch`: the enclosing scope's or fork's cancellation aborts the request, as a signal of its own does, and the deadline travels in its
 * headers.
 * @throws what `fetch` throws, or the reason of the cancellation
 */
export function cancellableFetch(input: string | URL | Request, init: RequestInit = {}): Promise<Response> {
  const request = input instanceof Request ? input : undefined;
  const headers = new Headers(init.headers ?? request?.headers);
  for (const [name, value] of Object.entries(deadlineHeaders())) headers.set(name, value);
  const signals = [init.signal ?? request?.signal, enclosing()?.signal].filter(
    (signal) => signal instanceof AbortSignal,
  );
  return fetch(input, { ...init, headers, signal: AbortSignal.any(signals) });
}
