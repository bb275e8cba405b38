import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { pipeline, Readable } from "node:stream";
import express from "express";
import type { ErrorRequestHandler } from "express";
import { attemptOf, idempotencyErrors, idempotent, keepRawBody } from "../../src/express/index.ts";
import { httpContract } from "./contract.ts";

httpContract("Express", async (idempotency, options, handler) => {
  const app = express();
  app.use(express.json({ verify: keepRawBody, strict: false }));
  app.use(express.raw({ type: "application/octet-stream" }));
  app.use(
    idempotent(idempotency, {
      ...options,
      tenant: (request) => request.headers["x-tenant"]?.toString(),
      applies: (request) => !request.originalUrl.startsWith("/open"),
    }),
  );
  // Express 5 takes the rejection of a handler for its error.
  // oxlint-disable-next-line oxc/no-async-endpoint-handlers
  app.use(async (request, response) => {
    const { pathname: path, searchParams: query } = new URL(request.originalUrl, "http://localhost");
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const answer = await handler({ method: request.method, path, query, body, attempt: attemptOf(request) });
    response.status(answer.status);
    for (const [name, value] of answer.headers) response.append(name, value);
    if (!Buffer.isBuffer(answer.body)) pipeline(Readable.from(answer.body), response, () => undefined);
    else if (answer.body.length === 0) response.end();
    else response.send(answer.body);
  });
  app.use(idempotencyErrors());
  const onError: ErrorRequestHandler = (error: { status?: number }, _request, response, _next) => {
    response.status(error.status ?? 500).json({ error: error instanceof Error ? error.message : "?" });
  };
  app.use(onError);
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
});
