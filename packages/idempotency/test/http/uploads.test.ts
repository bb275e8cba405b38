/** Bodies that the handler reads itself, and parsers that read them in part or not at all: nothing is lost, nothing is taken for empty. */
import { once } from "node:events";
import { Agent } from "node:http";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import type { RequestHandler } from "express";
import { fastify } from "fastify";
import type { FastifyInstance } from "fastify";
import { Hono } from "hono";
import type { MiddlewareHandler } from "hono";
import { afterEach, describe, expect, it } from "vitest";
import { idempotent, keepRawBody } from "../../src/express/index.ts";
import type { ExpressOptions } from "../../src/express/index.ts";
import { fastifyIdempotency } from "../../src/fastify/index.ts";
import type { FastifyIdempotencyOptions } from "../../src/fastify/index.ts";
import { idempotent as idempotentHono } from "../../src/hono/index.ts";
import type { HonoIdempotency, HonoOptions } from "../../src/hono/index.ts";
import { idempotentHandler } from "../../src/http/index.ts";
import type { WebOptions } from "../../src/http/index.ts";
import { longLeaseMs, useBench } from "../fixture.ts";
import { openRequest } from "./client.ts";
import type { Reply, RequestSettings, Sent } from "./client.ts";

const bench = useBench();
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

type Post = (type: string, body: Buffer | string, settings?: RequestSettings) => Sent;

function client(port: number): Post {
  const agent = new Agent({ keepAlive: false });
  ends.push(() => agent.destroy());
  return (type, body, settings = {}) =>
    openRequest(port, agent, "/pay", "k", { ...settings, body, headers: { "content-type": type } });
}

const textOf = ({ status, body }: Reply): string => `${status} ${body.toString()}`;

async function lengthOf(body: AsyncIterable<Buffer>): Promise<number> {
  let length = 0;
  for await (const chunk of body) length += chunk.length;
  return length;
}

const big = Buffer.alloc(500_000, "x");
const tenant = (): string => "acme";

describe("Fastify", () => {
  async function serve(
    options: Partial<FastifyIdempotencyOptions>,
    add: (app: FastifyInstance) => void,
  ): Promise<Post> {
    const app = fastify();
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs });
    await app.register(fastifyIdempotency, { idempotency, tenant, ...options });
    // As multipart does: the parser takes nothing, and the handler reads the raw request.
    app.addContentTypeParser("multipart/form-data", (_request, _payload, done) => done(null));
    app.addContentTypeParser("text/csv", (_request, payload, done) => done(null, payload));
    add(app);
    await app.listen({ port: 0, host: "127.0.0.1" });
    ends.push(() => app.close());
    return client((app.server.address() as AddressInfo).port);
  }

  const countsRaw = (app: FastifyInstance): unknown =>
    app.post("/pay", async ({ raw }) => ({ bytes: await lengthOf(raw) }));
  const countsBody = (app: FastifyInstance): unknown =>
    app.post("/pay", async ({ body }) => ({ bytes: await lengthOf(body as AsyncIterable<Buffer>) }));

  it.each([
    ["multipart/form-data", countsRaw],
    ["text/csv", countsBody],
  ])("%s of which the fingerprint is said arrives whole", async (type, add) => {
    const post = await serve({ fingerprint: ({ headers }) => headers["content-length"] }, add);
    expect(textOf(await post(type, big).reply)).toBe('200 {"bytes":500000}');
    expect((await post(type, big).reply).headers["idempotency-replayed"]).toBe("true");
    expect((await post(type, "other").reply).status).toBe(422);
  });

  it.each([
    ["multipart/form-data", countsRaw],
    ["text/csv", countsBody],
  ])("%s arrives whole where the route is not guarded", async (type, add) => {
    const post = await serve({ applies: () => false }, add);
    expect(textOf(await post(type, big).reply)).toBe('200 {"bytes":500000}');
  });

  it("multipart arrives whole where `applies` has said yes at first and then no", async () => {
    let asked = 0;
    const post = await serve({ applies: () => (asked += 1) === 1 }, (app) => {
      // As an authentication does, it takes a while: what comes meanwhile is not lost.
      app.addHook("preHandler", async () => {
        await bench.redis.ping();
      });
      countsRaw(app);
    });
    expect(textOf(await post("multipart/form-data", big).reply)).toBe('200 {"bytes":500000}');
  });

  it.each(["multipart/form-data", "text/csv"])(
    "I3 %s that the handler is to read is refused, and does not run",
    async (type) => {
      const post = await serve({}, (app) => app.post("/pay", () => expect.unreachable()));
      for (const body of ["amount,1", "amount,1000"]) {
        const { status, body: answer } = await post(type, body).reply;
        expect({ status, answer: answer.toString() }).toMatchObject({
          status: 415,
          answer: expect.stringContaining(`a body of ${type} cannot be compared`) as string,
        });
      }
      expect(await bench.redis.keys("*:record:*")).toEqual([]);
    },
  );

  it("I3 is asked by `applies` that looks at the body: another body is 422", async () => {
    const applies = ({ body }: { readonly body?: unknown }): boolean =>
      (body as { pay?: number } | undefined)?.pay !== undefined;
    const post = await serve({ applies }, (app) => app.post("/pay", ({ body }) => body));
    expect(textOf(await post("application/json", '{"pay":1}').reply)).toBe('200 {"pay":1}');
    expect((await post("application/json", '{"pay":1}').reply).headers["idempotency-replayed"]).toBe("true");
    expect((await post("application/json", '{"pay":1000}').reply).status).toBe(422);
  });

  it("a client that goes while nobody reads its upload does not end the process", async () => {
    const entered = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    const post = await serve({}, (app) => {
      app.addHook("preValidation", async ({ raw, headers }) => {
        if (headers["content-type"] !== "text/csv") return;
        entered.resolve();
        raw.socket.once("close", closed.resolve);
        await closed.promise;
      });
      app.post("/pay", () => ({ ok: true }));
    });
    const upload = post("text/csv", "amount,", { unfinished: true });
    upload.reply.catch(() => undefined);
    await entered.promise;
    upload.abort();
    await closed.promise;
    expect(textOf(await post("application/json", "{}").reply)).toBe('200 {"ok":true}');
  });
});

describe("Express", () => {
  async function serve(
    before: RequestHandler[],
    options: Partial<ExpressOptions>,
    handler: RequestHandler,
  ): Promise<Post> {
    const app = express();
    for (const each of before) app.use(each);
    app.use(idempotent(bench.idempotency({ leaseMs: longLeaseMs }), { tenant, ...options }));
    app.post("/pay", handler);
    const server = app.listen(0, "127.0.0.1");
    await once(server, "listening");
    ends.push(() => new Promise((resolve) => server.close(resolve)));
    return client((server.address() as AddressInfo).port);
  }
  const counts: RequestHandler = (request, response, next) => {
    lengthOf(request).then((bytes) => response.json({ bytes }), next);
  };
  const json = express.json({ verify: keepRawBody });

  it("a body of which the fingerprint is said arrives whole", async () => {
    const fingerprint = ({ headers }: IncomingMessage): unknown => headers["content-length"];
    const post = await serve([json], { fingerprint }, counts);
    expect(textOf(await post("text/csv", big).reply)).toBe('200 {"bytes":500000}');
    expect((await post("text/csv", big).reply).headers["idempotency-replayed"]).toBe("true");
  });

  const parsesNothing: RequestHandler = (request, _response, next) => {
    request.body = {};
    next();
  };
  const parsesFields: RequestHandler = (request, _response, next) => {
    request.on("end", () => next()).resume();
    request.body = { field: "the same" };
  };
  it.each<[string, RequestHandler[], string]>([
    ["no parser takes", [json], "text/csv"],
    ["a parser has left an empty object for", [parsesNothing], "text/csv"],
    ["is parsed into fields, and files that went elsewhere", [parsesFields], "multipart/form-data; boundary=b"],
  ])("I3 a body that %s is refused, and does not run", async (_, before, type) => {
    const post = await serve(before, {}, () => expect.unreachable());
    for (const body of ["amount,1", "amount,1000"]) {
      const { status, body: answer } = await post(type, body).reply;
      expect({ status, answer: answer.toString() }).toMatchObject({
        status: 415,
        answer: expect.stringContaining("cannot be compared") as string,
      });
    }
    expect(await bench.redis.keys("*:record:*")).toEqual([]);
  });

  it("I3 a parsed body is compared without its bytes, too", async () => {
    const post = await serve([express.json()], {}, (request, response) => response.json(request.body));
    expect((await post("application/json", '{"a":1,"b":2}').reply).status).toBe(200);
    expect((await post("application/json", '{"b":2,"a":1}').reply).headers["idempotency-replayed"]).toBe("true");
    expect((await post("application/json", '{"a":2,"b":2}').reply).status).toBe(422);
  });
});

describe("web", () => {
  const post = (amount: number): Request =>
    new Request("http://localhost/pay", { method: "POST", body: String(amount), headers: { "idempotency-key": "k" } });

  it("I3 a body that somebody has read before is refused, unless its fingerprint is said", async () => {
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs });
    const amounts: number[] = [];
    const server = (options: Partial<WebOptions>): ((amount: number) => Promise<Response>) => {
      const handle = idempotentHandler(idempotency, { tenant, ...options }, () => new Response("paid"));
      return async (amount) => {
        const request = post(amount);
        for await (const chunk of request.body ?? []) amounts.push(Number(Buffer.from(chunk).toString()));
        return handle(request);
      };
    };
    const compared = server({});
    for (const amount of [1, 1000]) await expect(compared(amount)).rejects.toThrow("cannot be compared");
    const said = server({ fingerprint: () => amounts.at(-1) });
    expect((await said(1)).headers.get("idempotency-replayed")).toBeNull();
    expect((await said(1)).headers.get("idempotency-replayed")).toBe("true");
    expect((await said(1000)).status).toBe(422);
  });
});

describe("Hono", () => {
  function server(
    before: MiddlewareHandler,
    options: Partial<HonoOptions> = {},
  ): (key: string, amount: number) => Promise<Response> {
    const app = new Hono<HonoIdempotency>();
    app.use(before);
    app.use(idempotentHono(bench.idempotency({ leaseMs: longLeaseMs }), { tenant, ...options }));
    app.post("/pay", (c) => c.text("paid"));
    app.onError((error, c) => c.text(error.message, "status" in error ? (error.status as 415) : 500));
    return async (key, amount) => {
      const body = new FormData();
      body.set("amount", String(amount));
      return app.request("/pay", { method: "POST", body, headers: { "idempotency-key": key } });
    };
  }

  it("I3 a form that was read before is refused, for its bytes are gone, unless its fingerprint is said", async () => {
    const parses: MiddlewareHandler = async (c, next) => {
      await c.req.formData();
      await next();
    };
    const refused = await server(parses)("k", 1);
    expect({ status: refused.status, text: await refused.text() }).toEqual({
      status: 415,
      text: expect.stringContaining("a body of multipart/form-data") as string,
    });
    const post = server(parses, { fingerprint: async (c) => [...(await c.req.formData())] });
    expect(await (await post("k", 1)).text()).toBe("paid");
    expect((await post("k", 1)).headers.get("idempotency-replayed")).toBe("true");
    expect((await post("k", 1000)).status).toBe(422);
  });

  it("I3 a raw request that was read before is refused", async () => {
    const post = server(async (c, next) => {
      await c.req.raw.text();
      await next();
    });
    for (const amount of [1, 1000]) expect((await post("k", amount)).status).toBe(500);
    expect(await bench.redis.keys("*:record:*")).toEqual([]);
  });
});
