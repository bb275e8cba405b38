/** A client that sends what it is told: any form of the header, any method, and connections that it closes. */
import { request as httpRequest } from "node:http";
import type { Agent, IncomingMessage } from "node:http";

/** An answer. */
export interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

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
  const { method = "POST", body = "", tenant = "acme", headers = {} } = settings;
  const outgoing = httpRequest({
    host: "127.0.0.1",
    port: port,
    path,
    method,
    agent,
    headers: {
      "content-type": "application/json",
      ...(key === null ? {} : { "idempotency-key": key }),
      ...(tenant === null ? {} : { "x-tenant": tenant }),
      ...headers,
    },
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
  outgoing.end(body);
  return { reply, abort: () => outgoing.destroy() };
}
