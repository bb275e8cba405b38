/** The contract on Hono, over HTTP/1.1 and HTTP/2. */
import { createServer } from "node:http2";
import { serve } from "@hono/node-server";
import type { ServerType } from "@hono/node-server";
import { Hono } from "hono";
import { idempotent } from "../../src/hono/index.ts";
import type { HonoIdempotency } from "../../src/hono/index.ts";
import { httpContract } from "./contract.ts";
import type { RunningServer, StartServer } from "./http-bench.ts";

/** Serves the handler of the contract. */
const start = async (
  listen: typeof serve,
  ...[idempotency, options, handler]: Parameters<StartServer>
): Promise<RunningServer> => {
  const app = new Hono<HonoIdempotency>();
  app.use(
    idempotent(idempotency, {
      ...options,
      tenant: (c) => c.req.header("x-tenant"),
      applies: (c) => !c.req.path.startsWith("/open"),
    }),
  );
  app.all("*", async (c) => {
    const attempt = c.get("idempotency");
    const query = new URL(c.req.url).searchParams;
    const body = Buffer.from(await c.req.arrayBuffer());
    const answer = await handler({ method: c.req.method, path: c.req.path, query, body, attempt });
    for (const [name, value] of answer.headers) c.header(name, value, { append: true });
    if ([204, 205, 304].includes(answer.status)) return c.body(null, answer.status as 204);
    const content = Buffer.isBuffer(answer.body) ? new Uint8Array(answer.body) : ReadableStream.from(answer.body);
    return c.body(content, answer.status as 200);
  });
  app.onError((error, c) => c.json({ error: error.message }, 500));
  const server = await new Promise<ServerType>((resolve) => {
    const listening = listen({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, () => resolve(listening));
  });
  const address = server.address();
  return {
    port: typeof address === "object" ? (address?.port ?? 0) : 0,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
};

httpContract("Hono", (...settings) => start(serve, ...settings));

const serveHttp2: typeof serve = ({ fetch }, onListen) =>
  serve({ fetch, hostname: "127.0.0.1", port: 0, createServer }, onListen);

httpContract("Hono, HTTP/2", async (...settings) => ({ ...(await start(serveHttp2, ...settings)), protocol: "h2c" }));
