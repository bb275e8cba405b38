/** A client that sends what it is told: any form of the header, any method, and connections that it closes. */
import { request as httpRequest } from "node:http";
import type { Agent, IncomingMessage } from "node:http";
import { connect, constants } from "node:http2";
import type { IncomingHttpHeaders } from "node:http2";

/** An answer. */
export interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

/** How requests travel. */
export type Protocol = "http/1.1" | "h2c";

/** A request under way. */
export interface Sent {
  readonly reply: Promise<Reply>;
  /** Closes the connection from the client's side. */
  abort(): void;
}

/** What is sent besides path and key. */
export interface RequestSettings {
  readonly method?: string;
  readonly body?: Buffer | string;
  /** Null for none. */
  readonly tenant?: string | null;
  readonly headers?: Record<string, string>;
  /** Sends the body and does not end it: what is under way when the client aborts. */
  readonly unfinished?: boolean;
}

function headersOf(key: string | string[] | null, { tenant = "acme", headers = {} }: RequestSettings) {
  return {
    "content-type": "application/json",
    ...(key === null ? {} : { "idempotency-key": key }),
    ...(tenant === null ? {} : { "x-tenant": tenant }),
    ...headers,
  };
}

/** Sends a request on a connection of its own, of which it is the only stream. */
export function openStream(
  port: number,
  path: string,
  key: string | string[] | null = '"k"',
  settings: RequestSettings = {},
): Sent {
  const { method = "POST", body = "", unfinished = false } = settings;
  // HTTP/2 has no white space around a value; a header that has it is dropped on the way.
  const sentKey = typeof key === "string" ? key.trim() : key;
  const session = connect(`http://127.0.0.1:${port}`);
  const headers = { ":method": method, ":path": path, ...headersOf(sentKey, settings) };
  const stream = session.request(headers, { endStream: body.length === 0 && !unfinished });
  const reply = new Promise<Reply>((resolve, reject) => {
    let received: IncomingHttpHeaders = {};
    const parts: Buffer[] = [];
    session.once("error", reject);
    stream.once("error", reject);
    stream.once("response", (found) => {
      received = found;
    });
    stream.on("data", (part: Buffer) => parts.push(part));
    stream.once("close", () => {
      session.close();
      const status = received[":status"];
      if (status === undefined || stream.rstCode !== constants.NGHTTP2_NO_ERROR) reject(new Error("no whole answer"));
      else resolve({ status: Number(status), headers: received, body: Buffer.concat(parts) });
    });
  });
  if (unfinished) stream.write(body);
  else if (body.length > 0) stream.end(body);
  // To close a stream ends its body in order, which is no longer unfinished then.
  const abort = (): void => (unfinished ? session.destroy() : stream.close(constants.NGHTTP2_CANCEL));
  return { reply, abort };
}

/**
 * Sends a request.
 * @param key the header as it is sent, several for several headers, null for none
 */
export function openRequest(
  port: number,
  agent: Agent,
  path: string,
  key: string | string[] | null = '"k"',
  settings: RequestSettings = {},
): Sent {
  const { method = "POST", body = "", unfinished = false } = settings;
  const outgoing = httpRequest({
    host: "127.0.0.1",
    port: port,
    path,
    method,
    agent,
    headers: headersOf(key, settings),
  });
  const reply = new Promise<Reply>((resolve, reject) => {
    outgoing.once("error", reject);
    outgoing.once("response", (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.once("error", reject);
      response.once("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) }),
      );
    });
  });
  if (unfinished) outgoing.write(body);
  else outgoing.end(body);
  return { reply, abort: () => outgoing.destroy() };
}
