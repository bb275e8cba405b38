/** What a parser has made of the body of a request of Node's http server, for its fingerprint. Whoever is to read a body, it is not us. */
import type { IncomingMessage } from "node:http";

/** Whether a request has a body, as its head says. */
export function bringsBody(request: IncomingMessage): boolean {
  const { "content-length": length, "transfer-encoding": encoding } = request.headers;
  if (length !== undefined) return Number(length) > 0;
  if (encoding !== undefined) return true;
  // HTTP/2 needs no header for it.
  const { stream } = request as { readonly stream?: { readonly endAfterHeaders?: boolean } };
  return stream?.endAfterHeaders === false;
}

function isEmptyObject(body: unknown): boolean {
  return typeof body === "object" && body !== null && Object.keys(body).length === 0;
}

/** Why a body is not compared. Frameworks answer 415, since a client may send any kind, unless their error handler knows better. */
export function unreadBody(contentType: string | null | undefined): TypeError {
  const what = (contentType ?? "") === "" ? "a body" : `a body of ${contentType}`;
  const error = new TypeError(
    `idempotency: ${what} cannot be compared, since no parser has read it as a whole; parse it before the guard, or say with the option fingerprint what tells two requests apart`,
  );
  return Object.assign(error, { status: 415, statusCode: 415 });
}

/**
 * A parsed body, undefined for a request without one.
 * @throws TypeError when a body was sent that the parsed one does not stand for: nobody has read it, or its files went elsewhere
 */
export function parsedBody(request: IncomingMessage, body: unknown): unknown {
  if (!bringsBody(request)) return body;
  const { "content-type": type } = request.headers;
  const untouched = !request.readableDidRead && !request.readableEnded;
  // Some parsers put an empty object where they have read nothing.
  const unread = body === undefined || (untouched && isEmptyObject(body));
  if (unread || /^\s*multipart\//iu.test(type ?? "")) throw unreadBody(type);
  return body;
}
