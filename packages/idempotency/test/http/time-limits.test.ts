/**
 * Time limits that stand behind the guard: they answer for a handler that goes on. The key must not be free while it does, or the client's
 * retry runs beside it.
 */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";
import type { ServerType } from "@hono/node-server";
import express from "express";
import type { RequestHandler } from "express";
import { fastify } from "fastify";
import type { FastifyRequest } from "fastify";
import { Hono } from "hono";
import { timeout } from "hono/timeout";
import { pollUntil } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { idempotencyErrors, idempotent as expressIdempotent } from "../../src/express/index.ts";
import { fastifyIdempotency } from "../../src/fastify/index.ts";
import { idempotent as honoIdempotent } from "../../src/hono/index.ts";
import type { HonoIdempotency } from "../../src/hono/index.ts";
import { longLeaseMs } from "../fixture.ts";
import { expectProblem, useHttpBench } from "./http-bench.ts";
import type { HttpBench, StartServer } from "./http-bench.ts";

/** Longer than a claim takes on a machine that stands still for a moment. */
const limitMs = 1_500;
const path = "/slow";

const onFastify: StartServer = async (idempotency, options, handler) => {
  const app = fastify({ handlerTimeout: limitMs });
  // Fastify forgets its limit once the request is read to its end, so this one is not read.
  app.addContentTypeParser("application/json", (_request, _payload, done) => done(null));
  await app.register(fastifyIdempotency, { ...options, idempotency, tenant: () => "acme", fingerprint: () => "same" });
  const answer = async (request: FastifyRequest): Promise<unknown> => {
    const attempt = request.idempotency ?? undefined;
    return (await handler({ method: "POST", path, query: new URLSearchParams(), body: Buffer.alloc(0), attempt })).body;
  };
  app.route({ method: "POST", url: path, handler: answer });
  await app.listen({ host: "127.0.0.1", port: 0 });
  return { port: (app.server.address() as AddressInfo).port, close: () => app.close() };
};

const onHono: StartServer = async (idempotency, options, handler) => {
  const app = new Hono<HonoIdempotency>();
  app.use(honoIdempotent(idempotency, { ...options, tenant: () => "acme" }));
  app.use(timeout(limitMs));
  app.post(path, async (c) => {
    const attempt = c.get("idempotency");
    await handler({ method: "POST", path, query: new URLSearchParams(), body: Buffer.alloc(0), attempt });
    return c.text("done");
  });
  const server = await new Promise<ServerType>((resolve) => {
    const listening = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, () => resolve(listening));
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
};

/** @param place where the limit stands: either way it answers on the response that the handler has */
const onExpress =
  (place: "before" | "behind"): StartServer =>
  async (idempotency, options, handler) => {
    const app = express();
    const guard = expressIdempotent(idempotency, { ...options, tenant: () => "acme" });
    // What connect-timeout does.
    const limit: RequestHandler = (_request, _response, next) => {
      const late = Object.assign(new Error("Response timeout"), { code: "ETIMEDOUT", status: 503, timeout: limitMs });
      setTimeout(() => next(late), limitMs);
      next();
    };
    for (const middleware of place === "before" ? [limit, guard] : [guard, limit]) app.use(middleware);
    app.post(path, (_request, response) => {
      const call = { method: "POST", path, query: new URLSearchParams(), body: Buffer.alloc(0), attempt: undefined };
      void handler(call).then(() => !response.headersSent && response.send("done"));
    });
    app.use(idempotencyErrors());
    const server = app.listen(0, "127.0.0.1");
    await once(server, "listening");
    return {
      port: (server.address() as AddressInfo).port,
      close: () => new Promise((resolve) => server.close(() => resolve())),
    };
  };

function limited(framework: string, http: HttpBench): void {
  describe(framework, () => {
    it("I1 a time limit that answers while the handler goes on does not free the key: the retry hears 409", async () => {
      await http.listen();
      expectProblem(await http.send(path), 504, "outcome-unknown");
      expectProblem(await http.send(path), 409, "in-progress");
      http.slow.open("late");
      expectProblem(await http.send(path), 409, "in-progress");
      expect(http.effects).toEqual([path]);
    });
  });
}

/** A limit that is over before the key is claimed. */
function overBefore(framework: string, http: HttpBench): void {
  describe(`${framework}, when it is over before the key is claimed`, () => {
    it("I4 leaves the key free: its handler never begins, and the retry runs", async () => {
      const { redis, proxy } = await http.bench.proxied();
      const idempotency = http.bench.idempotency({ leaseMs: longLeaseMs, waitMs: 60_000 }, redis);
      await idempotency.run("warm", () => 1);
      await http.serve(idempotency);
      const held = proxy.hold("reply", "EVALSHA");
      expect((await http.send(path)).status).toBe(503);
      held.release();
      await pollUntil("the claim is given back", async () => {
        return (await idempotency.inspect({ key: "k", tenant: "acme" }))?.kind === "released";
      });
      expect(http.effects).toEqual([]);
      http.slow.open("done");
      expect((await http.send(path)).status).toBe(200);
      expect(http.effects).toEqual([path]);
    });
  });
}

const onFastifyBench = useHttpBench(onFastify);
limited("Fastify's handlerTimeout", onFastifyBench);
overBefore("Fastify's handlerTimeout", onFastifyBench);
limited("Hono's timeout", useHttpBench(onHono));
limited("Express, with what connect-timeout does", useHttpBench(onExpress("behind")));
const beforeGuard = useHttpBench(onExpress("before"));
limited("Express, with what connect-timeout does before the guard", beforeGuard);
overBefore("Express, with what connect-timeout does before the guard", beforeGuard);
