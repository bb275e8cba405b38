import { getEventListeners } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";

import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { ManualClock, SeededRandom } from "@holdfast/testkit";
import { describe, expect, it } from "vitest";
import { Bulkhead, wrapFetch } from "../src/index.ts";
import { settled, watch } from "./work.ts";

interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  /** Sends a piece of the body, and no more. */
  readonly stalls?: boolean;
}

/** A dependency that answers in turn, the last for ever, and never without one; notes each request's method and body. */
async function serve(answers: readonly Answer[], calls: string[] = [], bodies: string[] = []) {
  let came: () => void = () => undefined;
  let went: () => void = () => undefined;
  const arrived = new Promise<void>((resolve) => (came = resolve));
  const aborted = new Promise<void>((resolve) => (went = resolve));
  const answerTo = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    calls.push(request.method ?? "");
    const answer = answers[Math.min(calls.length - 1, answers.length - 1)];
    response.on("close", went);
    came();
    bodies.push(await text(request));
    if (answer === undefined) return;
    response.writeHead(answer.status, answer.headers);
    if (answer.stalls === true) response.write("the beginning");
    else response.end("body");
  };
  const server = createServer((request, response) => void answerTo(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    arrived,
    /** The connection of a request is gone. */
    aborted,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What another implementation of `fetch` answers with: the global class is not its own. */
class OtherResponse {
  readonly headers = new Headers();
  readonly body: ReadableStream;
  readonly status: number;

  constructor(status: number, onCancel: () => void = () => undefined) {
    this.status = status;
    this.body = new ReadableStream({ cancel: onCancel });
  }
}

describe("wrapFetch", () => {
  it("counts 5xx as failures and hands the response on; 429 says nothing about health", async () => {
    const calls: string[] = [];
    await using server = await serve([{ status: 503 }, { status: 429 }, { status: 404 }, { status: 503 }], calls);
    const one = new Bulkhead("api", { timeoutMs: 60_000, breaker: { callsMin: 3 } });
    const get = wrapFetch(one);
    expect((await get(server.url)).status).toBe(503);
    expect((await get(server.url)).status).toBe(429);
    expect((await get(server.url)).status).toBe(404);
    expect(one.snapshot()).toMatchObject({ state: "closed", outcomes: { failed: 1, success: 2 } });
    expect((await get(server.url)).status).toBe(503);
    await expect(get(server.url)).rejects.toMatchObject({ reason: "rejected-open" });
  });

  it("counts the failures of another fetch, whose responses are of a class of their own", async () => {
    const one = new Bulkhead("api", { timeoutMs: 60_000, breaker: { callsMin: 3 } });
    const answer = (status: number): Response => new OtherResponse(status) as unknown as Response;
    const answers = [answer(503), answer(429), answer(200), answer(500)];
    const get = wrapFetch(one, { fetch: () => Promise.resolve(answers.shift() as Response) });
    const statuses = [await get("x:"), await get("x:"), await get("x:"), await get("x:")].map(({ status }) => status);
    expect(statuses).toEqual([503, 429, 200, 500]);
    expect(one.snapshot()).toMatchObject({ state: "open", outcomes: { failed: 2, success: 2 } });
  });

  it("repeats GET after Retry-After, and never POST", async () => {
    const calls: string[] = [];
    await using server = await serve(
      [{ status: 503, headers: { "retry-after": "0" } }, { status: 200 }, { status: 503 }],
      calls,
    );
    const get = wrapFetch(new Bulkhead("api", { timeoutMs: 60_000, retry: { backoff: { baseMs: 1 } } }));
    expect((await get(server.url)).status).toBe(200);
    expect((await get(server.url, { method: "POST", body: "x" })).status).toBe(503);
    expect(calls).toEqual(["GET", "GET", "POST"]);
  });

  it("a timeout aborts the request, and the server sees its connection go", async () => {
    await using server = await serve([]);
    const clock = new ManualClock();
    const ended = wrapFetch(new Bulkhead("api", { timeoutMs: 500, clock }))(server.url).catch(
      (error: unknown) => error,
    );
    await server.arrived;
    await clock.advance(500);
    expect(await ended).toMatchObject({ name: "CallTimeoutError" });
    await server.aborted;
  });

  it("the caller's signal aborts the request, of a Request too", async () => {
    for (const form of ["init", "Request"]) {
      await using server = await serve([]);
      const { signal, abort } = abortable();
      const get = wrapFetch(new Bulkhead("api", { timeoutMs: 60_000 }));
      const call = form === "init" ? get(server.url, { signal }) : get(new Request(server.url, { signal }));
      const ended = call.catch((error: unknown) => error);
      await server.arrived;
      abort(new Error("the customer has gone"));
      expect(await ended).toMatchObject({ message: "the customer has gone" });
      await server.aborted;
    }
  });

  it("the caller's signal aborts the body too, when the call has its headers", async () => {
    await using server = await serve([{ status: 200, stalls: true }]);
    const { signal, abort } = abortable();
    const response = await wrapFetch(new Bulkhead("api", { timeoutMs: 60_000 }))(server.url, { signal });
    const body = response.text().catch((error: unknown) => error);
    abort(new Error("the customer has gone"));
    expect(await body).toMatchObject({ message: "the customer has gone" });
    await server.aborted;
  });

  it("a call that has ended leaves no listener on the caller's signal", async () => {
    await using server = await serve([{ status: 200 }]);
    const { signal } = abortable();
    const get = wrapFetch(new Bulkhead("api", { timeoutMs: 60_000 }));
    for (let call = 0; call < 20; call += 1) await (await get(server.url, { signal })).text();
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});

describe("wrapFetch repeats", () => {
  const data = new TextEncoder().encode("all the data");
  const form = new FormData();
  form.set("field", "all the data");

  /** How often a request is sent whose first answer is a 503, and what the last one carries. */
  async function sent(init: RequestInit & { duplex?: "half" }, as: "init" | "Request" = "init") {
    const calls: string[] = [];
    const bodies: string[] = [];
    await using server = await serve([{ status: 503 }, { status: 200 }], calls, bodies);
    const put = wrapFetch(new Bulkhead("api", { timeoutMs: 60_000, retry: { backoff: { baseMs: 0 } } }));
    const { status } = await (as === "init" ? put(server.url, init) : put(new Request(server.url, init)));
    expect(status).toBe(calls.length === 1 ? 503 : 200);
    return { times: calls.length, body: bodies.at(-1) };
  }

  it.each(["GET", "OPTIONS", "PUT", "DELETE"])("%s", async (method) => {
    expect(await sent({ method })).toMatchObject({ times: 2 });
  });

  it.each(["POST", "PATCH"])("never %s", async (method) => {
    expect(await sent({ method, body: "x" })).toEqual({ times: 1, body: "x" });
  });

  it.each<[string, NonNullable<RequestInit["body"]>]>([
    ["text", "all the data"],
    ["a typed array", data],
    ["a Buffer", Buffer.from(data)],
    ["an ArrayBuffer", data.slice().buffer],
    ["a Blob", new Blob([data])],
    ["a form", form],
    ["parameters", new URLSearchParams({ field: "all the data" })],
  ])("a body that can be sent again: %s", async (_, body) => {
    const { times, body: last } = await sent({ method: "PUT", body });
    expect(times).toBe(2);
    expect(last).toMatch(/all.the.data/u);
  });

  it("never a body that can be sent once only: a stream, a generator, Node's stream, a Request's own", async () => {
    async function* pieces(): AsyncGenerator<Uint8Array> {
      yield data;
    }
    const once = [new Blob([data]).stream(), pieces(), Readable.from([data])];
    for (const body of once) {
      const init = { method: "PUT", body: body as unknown as ReadableStream, duplex: "half" } as const;
      expect(await sent(init)).toEqual({ times: 1, body: "all the data" });
    }
    expect(await sent({ method: "PUT", body: "all the data" }, "Request")).toEqual({ times: 1, body: "all the data" });
  });

  it("a request after the time that the header asks for, in seconds or as a date", async () => {
    for (const header of ["2", "Tue, 01 Jan 2030 00:00:02 GMT"]) {
      const clock = new ManualClock();
      const calls: string[] = [];
      await using server = await serve([{ status: 503, headers: { "retry-after": header } }, { status: 200 }], calls);
      const get = wrapFetch(
        new Bulkhead("api", {
          timeoutMs: 60_000,
          clock,
          random: new SeededRandom(1),
          retry: { backoff: { baseMs: 0 } },
        }),
      );
      const call = watch(get(server.url));
      await settled(() => clock.pendingTimers > 1, "it waits for its second attempt");
      await clock.advance(1_999);
      expect([call.done, calls.length]).toEqual([false, 1]);
      await clock.advance(1);
      await settled(() => call.done, "the second attempt is answered");
      expect(calls).toHaveLength(2);
    }
  });

  it("no request that asks for more time than the call has", async () => {
    const calls: string[] = [];
    await using server = await serve([{ status: 503, headers: { "retry-after": "3600" } }], calls);
    const get = wrapFetch(new Bulkhead("api", { timeoutMs: 60_000, retry: {} }));
    expect((await get(server.url)).status).toBe(503);
    expect(calls).toHaveLength(1);
  });

  it.each(["the global", "another"])(
    "and reads no more of what it drops of %s fetch: its connection is free",
    async (whose) => {
      let cancelled = 0;
      const cancel = (): void => void (cancelled += 1);
      const answer = (status: number): Response =>
        whose === "another"
          ? (new OtherResponse(status, cancel) as unknown as Response)
          : new Response(new ReadableStream({ cancel }), { status });
      const answers = [answer(503), answer(200)];
      const get = wrapFetch(new Bulkhead("api", { timeoutMs: 60_000, retry: { backoff: { baseMs: 0 } } }), {
        fetch: () => Promise.resolve(answers.shift() as Response),
      });
      const last = await get("http://dependency.invalid/");
      expect([last.status, cancelled]).toEqual([200, 1]);
      await last.body?.cancel();
    },
  );
});

function abortable(): { readonly signal: AbortSignal; readonly abort: (reason: Error) => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: (reason) => controller.abort(reason) };
}
