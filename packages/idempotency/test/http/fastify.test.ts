/** The contract on Fastify, which serves HTTP/1.1 and HTTP/2 alike. */
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { fastify } from "fastify";
import type { FastifyInstance } from "fastify";
import { fastifyIdempotency } from "../../src/fastify/index.ts";
import { httpContract } from "./contract.ts";
import type { RunningServer, StartServer } from "./http-bench.ts";

/** Hands every request of an app to the handler of the contract. */
const start = async (
  app: FastifyInstance,
  ...[idempotency, options, handler]: Parameters<StartServer>
): Promise<RunningServer> => {
  app.addContentTypeParser("application/octet-stream", { parseAs: "buffer" }, (_request, body, done) =>
    done(null, body),
  );
  app.addContentTypeParser("application/json", { parseAs: "string" }, (_request, body, done) => {
    done(null, body === "" ? undefined : JSON.parse(body.toString()));
  });
  // As parsers do that leave the body to the handler.
  app.addContentTypeParser("text/csv", (_request, payload, done) => done(null, payload));
  await app.register(fastifyIdempotency, {
    ...options,
    idempotency,
    tenant: (request) => request.headers["x-tenant"]?.toString(),
    applies: (request) => !request.originalUrl.startsWith("/open"),
  });
  app.route({
    method: ["POST", "PUT", "HEAD"],
    url: "*",
    handler: async (request, reply) => {
      const { pathname: path, searchParams: query } = new URL(request.originalUrl, "http://localhost");
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      const attempt = request.idempotency ?? undefined;
      const answer = await handler({ method: request.method, path, query, body, attempt });
      reply.code(answer.status);
      const names = new Set(answer.headers.map(([name]) => name));
      for (const name of names) {
        const values = answer.headers.filter(([other]) => other === name).map(([, value]) => value);
        reply.header(name, values.length === 1 ? values[0] : values);
      }
      if (!Buffer.isBuffer(answer.body)) return reply.send(Readable.from(answer.body));
      return answer.body.length === 0 ? reply.send() : reply.send(answer.body);
    },
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return { port, close: () => app.close() };
};

httpContract("Fastify", (...settings) => start(fastify(), ...settings));

httpContract("Fastify, HTTP/2", async (...settings) => ({
  ...(await start(fastify({ http2: true }) as unknown as FastifyInstance, ...settings)),
  protocol: "h2c",
}));
