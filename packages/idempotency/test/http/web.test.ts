import { serve } from "@hono/node-server";
import type { ServerType } from "@hono/node-server";
import { idempotentHandler } from "../../src/http/index.ts";
import { httpContract } from "./contract.ts";
import type { Answer } from "./stage.ts";

function responseOf({ status, headers, body }: Answer): Response {
  const init = { status, headers: headers.map(([name, value]): [string, string] => [name, value]) };
  if ([204, 205, 304].includes(status)) return new Response(null, init);
  return new Response(Buffer.isBuffer(body) ? body : ReadableStream.from(body), init);
}

httpContract("web", async (idempotency, options, handler) => {
  const tenant = (request: Request): string | undefined => request.headers.get("x-tenant") ?? undefined;
  const applies = (request: Request): boolean => !new URL(request.url).pathname.startsWith("/open");
  const handle = idempotentHandler(idempotency, { ...options, tenant, applies }, async (request, attempt) => {
    const { pathname: path, searchParams: query } = new URL(request.url);
    const body = Buffer.from(await request.arrayBuffer());
    return responseOf(await handler({ method: request.method, path, query, body, attempt }));
  });
  const fetch = (request: Request): Promise<Response> =>
    handle(request).catch((error: unknown) => Response.json({ error: String(error) }, { status: 500 }));
  const server = await new Promise<ServerType>((resolve) => {
    const listening = serve({ fetch, hostname: "127.0.0.1", port: 0 }, () => resolve(listening));
  });
  const address = server.address();
  return {
    port: typeof address === "object" ? (address?.port ?? 0) : 0,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
});
