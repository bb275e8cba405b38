/** `fetch` that ends with its scope and tells the callee how long it has. */
import { enclosing } from "./cancellable.ts";
import { deadlineHeaders } from "./deadline-headers.ts";

/**
 * As `fetch`: the enclosing scope's or fork's cancellation aborts the request, and the deadline travels in its headers. A signal in `init`
 * takes the place of the scope's.
 * @throws what `fetch` throws, or the reason of the cancellation
 */
export function cancellableFetch(input: string | URL | Request, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers ?? (input instanceof Request ? input.headers : undefined));
  for (const [name, value] of Object.entries(deadlineHeaders())) headers.set(name, value);
  const signal = init.signal ?? enclosing()?.signal;
  return fetch(input, signal === undefined ? { ...init, headers } : { ...init, headers, signal });
}
