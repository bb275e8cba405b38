/** What is read of a response of Node's http server and written to it, whether or not it is held back. */
import type { OutgoingHttpHeader, ServerResponse } from "node:http";
import type { HeaderList, WholeResponse } from "./response.ts";

/** What `writeHead` takes. */
export type Headers = Record<string, OutgoingHttpHeader | undefined> | OutgoingHttpHeader[];

/** As Node does it: what `writeHead` names replaces what was set before, and a list may name a header several times. */
export function setHeaders(response: ServerResponse, headers: Headers): void {
  if (!Array.isArray(headers)) {
    for (const [name, value] of Object.entries(headers)) if (value !== undefined) response.setHeader(name, value);
    return;
  }
  // Pairs, or names and values in turn; a value may be a list itself.
  const flat = Array.isArray(headers[0]) ? (headers as unknown as OutgoingHttpHeader[][]).flat(1) : headers;
  const pairs = Array.from({ length: Math.floor(flat.length / 2) }, (_, index) => flat.slice(2 * index, 2 * index + 2));
  for (const [name] of pairs) response.removeHeader(String(name));
  for (const [name, value] of pairs) {
    response.appendHeader(String(name), Array.isArray(value) ? value.map(String) : String(value));
  }
}

/** The headers as they stand. */
export function headersOf(response: ServerResponse): HeaderList {
  return Object.entries(response.getHeaders()).flatMap(([name, value]) => {
    if (value === undefined) return [];
    return Array.isArray(value) ? value.map((each) => [name, each] as const) : [[name, String(value)] as const];
  });
}

/** Writes an answer of the guard's to a response on which nothing has been sent. */
export function writeWhole(
  response: ServerResponse,
  { status, headers, body }: WholeResponse,
  headOnly: boolean,
  end: (body?: Uint8Array) => unknown = (content) => response.end(content),
): void {
  response.statusCode = status;
  for (const [name] of headers) response.removeHeader(name);
  for (const [name, value] of headers) response.appendHeader(name, value);
  const bodiless = status === 204 || status === 304;
  if (!headOnly && !bodiless) response.setHeader("content-length", body.length);
  end(headOnly || bodiless ? undefined : body);
}

/** Aborts when the connection of a response closes before it was answered; for waiting, never for work. */
export function clientGone(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  response.once("close", () => {
    // Of HTTP/2 the stream of a client that is gone counts as finished.
    if (!response.writableEnded) controller.abort(new Error("the client has closed the connection"));
  });
  return controller.signal;
}
