import { createServer } from "node:http";
import type { IncomingMessage, Server } from "node:http";
import type { AddressInfo } from "node:net";
import { ManualClock } from "@holdfast/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { cancellableFetch, scope, ScopeTimeoutError } from "../src/index.ts";

let server: Server;
let url: string;
/** The next request, which is never answered unless its path says so. */
let next: PromiseWithResolvers<IncomingMessage>;
let closed: PromiseWithResolvers<void>;

beforeEach(async () => {
  next = Promise.withResolvers();
  closed = Promise.withResolvers();
  server = createServer((request, response) => {
    request.on("close", () => closed.resolve());
    next.resolve(request);
    if (request.url === "/echo") response.end(JSON.stringify(request.headers));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

it("is aborted with its scope and tells the callee the time that is left", async () => {
  const clock = new ManualClock();
  const run = scope({ name: "page", timeoutMs: 300, clock }, (s) => s.fork("call", () => cancellableFetch(url)));
  const ended = run.catch((error: unknown) => error);
  expect((await next.promise).headers["x-holdfast-timeout-ms"]).toBe("300");
  await clock.advance(300);
  expect(await ended).toBeInstanceOf(ScopeTimeoutError);
  await closed.promise;
});

it("keeps the headers of its request, and outside of a scope is fetch as it is", async () => {
  const headersOf = async (fetched: Promise<Response>) => (await (await fetched).json()) as Record<string, string>;
  const request = new Request(`${url}/echo`, { headers: { "x-request-id": "7" } });
  const within = await scope({ name: "page", timeoutMs: 60_000 }, () => headersOf(cancellableFetch(request)));
  expect(within["x-request-id"]).toBe("7");
  expect(Number(within["x-holdfast-timeout-ms"])).toBeGreaterThan(0);
  const outside = await headersOf(cancellableFetch(`${url}/echo`, { headers: { "x-request-id": "8" } }));
  expect(outside).toMatchObject({ "x-request-id": "8" });
  expect(outside).not.toHaveProperty("x-holdfast-timeout-ms");
});

it.each(["in init", "of a Request"])("a signal %s ends it as well as the scope does", async (where) => {
  for (const whoEnds of ["own", "scope"]) {
    next = Promise.withResolvers();
    closed = Promise.withResolvers();
    const own = new AbortController();
    const caller = new AbortController();
    const { signal } = own;
    const call = () =>
      where === "in init" ? cancellableFetch(url, { signal }) : cancellableFetch(new Request(url, { signal }));
    const run = scope({ name: "page", signal: caller.signal }, (s) => s.fork("call", call));
    const ended = run.catch((error: unknown) => error);
    await next.promise;
    const reason = new Error(`ended by ${whoEnds}`);
    (whoEnds === "own" ? own : caller).abort(reason);
    expect(await ended).toMatchObject(whoEnds === "own" ? reason : { name: "CallerCancelledError", cause: reason });
    await closed.promise;
  }
});
