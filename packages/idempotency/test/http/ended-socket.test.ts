/**
 * A handler that ends the socket of its request instead of its response. To the guard that is a client that has gone, which says nothing of
 * the work: the handler may go on, and what it then answers is stored.
 */
import { once } from "node:events";
import { Agent } from "node:http";
import type { ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { fastify } from "fastify";
import { LeapClock, pollUntil } from "@holdfast/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { attemptOf, idempotent } from "../../src/express/index.ts";
import { fastifyIdempotency } from "../../src/fastify/index.ts";
import type { Attempt, Idempotency } from "../../src/index.ts";
import { gate, longLeaseMs, rejection, renewedBy, useBench } from "../fixture.ts";
import { openRequest } from "./client.ts";
import type { Reply } from "./client.ts";

const bench = useBench();
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

type Handler = (response: ServerResponse, attempt: Attempt | null | undefined) => void;
type Serve = (idempotency: Idempotency, handler: Handler) => Promise<number>;

const onExpress: Serve = async (idempotency, handler) => {
  const app = express();
  app.use(idempotent(idempotency, { tenant: () => "acme" }));
  app.post("/", (request, response) => handler(response, attemptOf(request)));
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  ends.push(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as AddressInfo).port;
};

const onFastify: Serve = async (idempotency, handler) => {
  const app = fastify();
  app.addContentTypeParser("application/json", { parseAs: "string" }, (_request, _body, done) => done(null));
  await app.register(fastifyIdempotency, { idempotency, tenant: () => "acme" });
  app.post("/", (request, reply) => {
    reply.hijack();
    handler(reply.raw, request.idempotency);
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  ends.push(() => app.close());
  return (app.server.address() as AddressInfo).port;
};

const ways: readonly [string, (response: ServerResponse) => void][] = [
  ["destroys it", ({ socket }) => void socket?.destroy()],
  ["answers on it by itself", ({ socket }) => void socket?.end("HTTP/1.1 402 No\r\nConnection: close\r\n\r\n")],
];
const key = { key: "k", tenant: "acme" };

function sender(port: number): () => Promise<Reply> {
  const agent = new Agent({ keepAlive: false });
  ends.push(() => agent.destroy());
  return () => openRequest(port, agent, "/").reply;
}

describe.each([
  ["Express", onExpress],
  ["Fastify", onFastify],
])("%s: a handler that ends its socket instead of its response", (_, serve) => {
  it.each(ways)("I4 and %s keeps its key until attemptMaxMs; then the next attempt is told", async (__, end) => {
    const clock = new LeapClock();
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs, attemptMaxMs: longLeaseMs * 2, clock });
    let calls = 0;
    const send = sender(
      await serve(idempotency, (response, attempt) => {
        calls += 1;
        if (calls === 1) end(response);
        else response.end(`recovered ${attempt?.recovered}`);
      }),
    );
    await send().catch(() => undefined);
    await renewedBy(bench)(clock, 2);
    expect((await send()).status).toBe(409);
    clock.leap(longLeaseMs * 2);
    await bench.lapse();
    expect((await send()).body.toString()).toBe("recovered true");
  });

  it.each(ways)("I1 and %s, and then goes on to its end, is stored and not run beside", async (__, end) => {
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs });
    const work = gate<string>();
    let calls = 0;
    const send = sender(
      await serve(idempotency, (response) => {
        calls += 1;
        void work.handler().then((said) => response.end(said));
        end(response);
      }),
    );
    await send().catch(() => undefined);
    expect((await send()).status).toBe(409);
    work.open("charged");
    await pollUntil("it is stored", async () => (await idempotency.inspect(key))?.kind === "completed");
    const again = await send();
    expect([again.body.toString(), again.headers["idempotency-replayed"], calls]).toEqual(["charged", "true", 1]);
  });

  it("I8 gives its key to whoever comes after an operator's forget, who is told", async () => {
    const idempotency = bench.idempotency({ leaseMs: longLeaseMs });
    let calls = 0;
    const send = sender(
      await serve(idempotency, (response, attempt) => {
        calls += 1;
        if (calls === 1) response.socket?.destroy();
        else response.end(`recovered ${attempt?.recovered}`);
      }),
    );
    await rejection(send());
    expect(await idempotency.forget(key)).toEqual({ kind: "forgotten" });
    expect((await send()).body.toString()).toBe("recovered true");
  });
});
