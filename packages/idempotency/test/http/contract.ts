/**
 * What every adapter keeps, over real sockets. An adapter brings a server that hands every request to one handler, written once below.
 */
import { Agent, request as httpRequest } from "node:http";
import type { IncomingMessage } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { pollUntil } from "@holdfast/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Attempt, Idempotency, IdempotencyOptions } from "../../src/index.ts";
import type { HttpOptions } from "../../src/http/index.ts";
import { gate, useBench } from "../fixture.ts";
import type { Gate } from "../fixture.ts";

/** What the handler of the contract is given. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: Buffer;
  readonly attempt: Attempt | undefined;
}

/** What it answers; the server turns it into the framework's own response. */
export interface Answer {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer | AsyncIterable<Buffer>;
}

/** Options of the guard that do not depend on the framework's request. */
export type ContractOptions = Omit<HttpOptions<never>, "tenant" | "applies" | "fingerprint">;

/** A server on loopback. */
export interface RunningServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Starts a server whose every route is guarded and answered by `handler`. The tenant is the header `x-tenant`; paths that begin with
 * `/open` are not guarded.
 */
export type StartServer = (
  idempotency: Idempotency,
  options: ContractOptions,
  handler: (call: Call) => Promise<Answer>,
) => Promise<RunningServer>;

interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

interface Sent {
  readonly reply: Promise<Reply>;
  /** Closes the connection from the client's side. */
  abort(): void;
}

const json = (status: number, value: unknown, headers: Answer["headers"] = []): Answer => ({
  status,
  headers: [["content-type", "application/json"], ...headers],
  body: Buffer.from(JSON.stringify(value)),
});

/** Runs the suite. */
export function httpContract(framework: string, start: StartServer): void {
  const bench = useBench();
  const bytes = Buffer.from(Array.from({ length: 700 }, (_, index) => (index * 7) % 256));
  let effects: string[];
  let slow: Gate<string>;
  let server: RunningServer | undefined;
  let agent: Agent;

  beforeEach(() => {
    effects = [];
    slow = gate();
    agent = new Agent({ keepAlive: false });
  });
  afterEach(async () => {
    agent.destroy();
    await server?.close();
    server = undefined;
  });

  const attemptOf = ({ attempt }: Call): Record<string, unknown> => ({
    number: attempt?.number,
    recovered: attempt?.recovered,
    key: attempt?.key,
    tenant: attempt?.tenant,
    downstreamKey: attempt?.downstreamKey,
  });

  async function* chunks(): AsyncGenerator<Buffer> {
    yield Buffer.from("one,");
    await delay(30);
    yield Buffer.from("two,");
    await delay(30);
    yield Buffer.from("three");
  }

  const handler = async (call: Call): Promise<Answer> => {
    const { path, query, body } = call;
    effects.push(path);
    const first = effects.filter((effect) => effect === path).length === 1;
    switch (path) {
      case "/create":
        return json(201, { made: effects.length }, [
          ["location", "/things/1"],
          ["set-cookie", "session=secret"],
          ["x-internal", "yes"],
          ["x-shown", "yes"],
        ]);
      case "/bytes":
        return {
          status: 200,
          headers: [["content-type", "application/octet-stream"]],
          body: body.length > 0 ? body : bytes,
        };
      case "/nothing":
        return { status: 204, headers: [], body: Buffer.alloc(0) };
      case "/attempt":
        return json(200, attemptOf(call));
      case "/slow":
        return json(200, { said: await slow.handler() });
      case "/before":
        effects.pop();
        if (query.get("again") === null) throw Object.assign(new Error("not now"), { effect: "none" });
        return json(200, attemptOf(call));
      case "/after":
        if (first) throw new Error("after the effect");
        return json(200, attemptOf(call));
      case "/timeout":
        if (first) throw new DOMException("the provider did not answer", "TimeoutError");
        return json(200, attemptOf(call));
      case "/status":
        return json(Number(query.get("code")), { attempt: call.attempt?.number });
      case "/stream":
        return { status: 200, headers: [["content-type", "text/plain"]], body: chunks() };
      case "/big":
        return { status: 200, headers: [], body: Buffer.alloc(5_000, "x") };
      default:
        return json(200, { guarded: call.attempt !== undefined });
    }
  };

  const listen = async (options: ContractOptions = {}, settings: IdempotencyOptions = {}): Promise<Idempotency> => {
    const idempotency = bench.idempotency({ leaseMs: 500, ...settings });
    server = await start(idempotency, options, handler);
    return idempotency;
  };

  const open = (
    path: string,
    key: string | string[] | null = '"k"',
    settings: {
      method?: string;
      body?: Buffer | string;
      tenant?: string | null;
      headers?: Record<string, string>;
    } = {},
  ): Sent => {
    const { method = "POST", body = "", tenant = "acme", headers = {} } = settings;
    const outgoing = httpRequest({
      host: "127.0.0.1",
      port: server?.port,
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
  };
  const send = (...args: Parameters<typeof open>): Promise<Reply> => open(...args).reply;

  const expectProblem = ({ status, headers, body }: Reply, wanted: number, code: string): void => {
    expect({ status, type: headers["content-type"] }).toEqual({ status: wanted, type: "application/problem+json" });
    const problem = JSON.parse(body.toString()) as Record<string, unknown>;
    expect(problem).toMatchObject({
      status: wanted,
      title: expect.any(String) as string,
      detail: expect.any(String) as string,
    });
    expect(problem["type"]).toMatch(new RegExp(`^https://.+#${code}$`));
    expect(headers["link"]).toBe(`<${String(problem["type"])}>; rel="describedby"`);
    expect(headers["idempotency-replayed"]).toBeUndefined();
  };

  describe(`${framework}: replay`, () => {
    it("I6 replays status, body and allowed headers byte for byte, marked, and never cookies, hop-by-hop or other headers", async () => {
      await listen();
      const first = await send("/create");
      expect(first.status).toBe(201);
      expect(first.headers["set-cookie"]).toEqual(["session=secret"]);
      expect(first.headers["idempotency-replayed"]).toBeUndefined();
      const again = await send("/create");
      expect(again.status).toBe(201);
      expect(again.body).toEqual(first.body);
      expect(again.headers).toMatchObject({ "idempotency-replayed": "true", location: "/things/1" });
      expect(again.headers["content-type"]).toBe(first.headers["content-type"]);
      expect(again.headers["content-length"]).toBe(String(first.body.length));
      for (const name of ["set-cookie", "x-internal", "x-shown"]) expect(again.headers[name]).toBeUndefined();
      expect(effects).toEqual(["/create"]);
    });

    it("I6 replays binary and empty bodies", async () => {
      await listen();
      const first = await send("/bytes", '"a"', {
        body: bytes,
        headers: { "content-type": "application/octet-stream" },
      });
      expect(first.body).toEqual(bytes);
      const again = await send("/bytes", '"a"', {
        body: bytes,
        headers: { "content-type": "application/octet-stream" },
      });
      expect(again.body).toEqual(bytes);
      expect(again.headers["idempotency-replayed"]).toBe("true");
      for (const replayed of [undefined, "true"]) {
        const empty = await send("/nothing", '"b"');
        expect({ status: empty.status, length: empty.body.length }).toEqual({ status: 204, length: 0 });
        expect(empty.headers["idempotency-replayed"]).toBe(replayed);
      }
      expect(effects).toHaveLength(2);
    });

    it("replays the headers that the options name, and refuses to replay cookies", async () => {
      await listen({ replayHeaders: ["X-Shown"] });
      await send("/create");
      const again = await send("/create");
      expect(again.headers["x-shown"]).toBe("yes");
      expect(again.headers["location"]).toBeUndefined();
      const refused = start(bench.idempotency(), { replayHeaders: ["Set-Cookie"] }, handler);
      await expect(refused).rejects.toThrow(/replayHeaders must not name set-cookie/);
    });

    it("answers HEAD with headers and without a body, first and replayed", async () => {
      await listen({ methods: ["HEAD"] });
      const first = await send("/create", '"k"', { method: "HEAD" });
      const again = await send("/create", '"k"', { method: "HEAD" });
      expect([first.status, again.status]).toEqual([201, 201]);
      expect([first.body.length, again.body.length]).toEqual([0, 0]);
      expect(again.headers).toMatchObject({ "idempotency-replayed": "true", location: "/things/1" });
      expect(effects).toEqual(["/create"]);
    });

    it("leaves other methods and routes alone, with a key and without", async () => {
      await listen();
      for (const key of ['"k"', null, "malformed key"]) {
        const got = await send("/plain", key, { method: "PUT" });
        expect(JSON.parse(got.body.toString())).toEqual({ guarded: false });
        const unguarded = await send("/open/x", key);
        expect(JSON.parse(unguarded.body.toString())).toEqual({ guarded: false });
      }
    });
  });

  describe(`${framework}: the key`, () => {
    it("is accepted quoted and bare, which are the same key", async () => {
      await listen();
      const first = await send("/create", '"8e03978e-40d5"');
      for (const form of ["8e03978e-40d5", ' "8e03978e-40d5" ', '"8e03978e-40d5";v=1']) {
        const again = await send("/create", form);
        expect(again.headers["idempotency-replayed"]).toBe("true");
        expect(again.body).toEqual(first.body);
      }
      expect(effects).toEqual(["/create"]);
    });

    it.each([
      ['""', "empty, quoted"],
      ["", "empty"],
      ['"open', "a quote that is not closed"],
      ["two words", "bare with a space"],
      ['"a", "b"', "a list"],
      [`"${"x".repeat(256)}"`, "over-long, quoted"],
      ["x".repeat(256), "over-long, bare"],
      ['"a\\x"', "a wrong escape"],
    ])("is refused with 400 when it is %s (%s)", async (form) => {
      await listen();
      expectProblem(await send("/create", form), 400, "idempotency-key-malformed");
      expect(effects).toEqual([]);
    });

    it("is refused with 400 when it comes twice, or not at all; without a need for it the request passes", async () => {
      await listen();
      expectProblem(await send("/create", ["a", "b"]), 400, "idempotency-key-malformed");
      expectProblem(await send("/create", null), 400, "idempotency-key-missing");
      expect(effects).toEqual([]);
      await server?.close();
      await listen({ required: false });
      expect(JSON.parse((await send("/plain", null)).body.toString())).toEqual({ guarded: false });
      expect(JSON.parse((await send("/plain", "k")).body.toString())).toEqual({ guarded: true });
    });

    it("of 255 characters, with escapes, reaches the handler as it was meant", async () => {
      await listen();
      const key = `${"x".repeat(250)} \\"'~`;
      const { body } = await send("/attempt", `"${key.replace(/["\\]/g, "\\$&")}"`);
      expect(JSON.parse(body.toString())).toMatchObject({ key, tenant: "acme", number: 1, recovered: false });
    });

    it("I7 belongs to a tenant: another tenant's same key runs, and no tenant is refused with 400", async () => {
      await listen();
      await send("/create", "k", { tenant: "a" });
      const other = await send("/create", "k", { tenant: "b" });
      expect(other.headers["idempotency-replayed"]).toBeUndefined();
      expect(effects).toHaveLength(2);
      for (const tenant of ["", null]) expectProblem(await send("/create", "k", { tenant }), 400, "tenant-missing");
      expect(effects).toHaveLength(2);
    });
  });

  describe(`${framework}: other payloads`, () => {
    it("I3 another body, path or query under the same key is 422, while the first runs and after", async () => {
      await listen();
      const first = send("/slow", "k", { body: '{"a":1}' });
      await slow.entered;
      expectProblem(await send("/slow", "k", { body: '{"a":2}' }), 422, "payload-mismatch");
      slow.open("hi");
      expect((await first).status).toBe(200);
      for (const path of ["/slow?x=1", "/create"])
        expectProblem(await send(path, "k", { body: '{"a":1}' }), 422, "payload-mismatch");
      expectProblem(await send("/slow", "k", { body: '{"a":2}' }), 422, "payload-mismatch");
    });

    it("I7 the same JSON in another order is the same payload, and a digit that JSON would lose is another", async () => {
      await listen();
      await send("/create", "k", { body: '{"amount":12345678901234567890,"b":{"x":1,"y":2}}' });
      const again = await send("/create", "k", { body: '{ "b": {"y":2,"x":1}, "amount":12345678901234567890 }' });
      expect(again.headers["idempotency-replayed"]).toBe("true");
      const other = await send("/create", "k", { body: '{"amount":12345678901234567891,"b":{"x":1,"y":2}}' });
      expectProblem(other, 422, "payload-mismatch");
    });
  });

  describe(`${framework}: concurrent duplicates`, () => {
    it("I1 run once: the others hear 409 with Retry-After", async () => {
      await listen();
      const all = Array.from({ length: 20 }, () => send("/slow"));
      await slow.entered;
      await pollUntil("the others are answered", async () => {
        const early = await Promise.race([Promise.any(all), delay(5)]);
        return early !== undefined;
      });
      slow.open("done");
      const replies = await Promise.all(all);
      expect(
        replies.filter(({ status, headers }) => status === 200 && headers["idempotency-replayed"] === undefined),
      ).toHaveLength(1);
      const busy = replies.filter(({ status }) => status === 409);
      expect(busy.length).toBeGreaterThanOrEqual(1);
      for (const reply of busy) {
        expectProblem(reply, 409, "in-progress");
        expect(Number(reply.headers["retry-after"])).toBeGreaterThanOrEqual(1);
      }
      expect(effects).toEqual(["/slow"]);
    });

    it("I1 wait when they may, and get the same answer", async () => {
      await listen({ waitMs: 10_000 });
      const all = Array.from({ length: 20 }, () => send("/slow"));
      await slow.entered;
      await delay(50);
      slow.open("done");
      const replies = await Promise.all(all);
      expect(new Set(replies.map(({ status, body }) => `${status} ${body.toString()}`))).toEqual(
        new Set(['200 {"said":"done"}']),
      );
      expect(replies.filter(({ headers }) => headers["idempotency-replayed"] === "true")).toHaveLength(19);
      expect(effects).toEqual(["/slow"]);
    });
  });

  describe(`${framework}: clients that disconnect`, () => {
    it("never abort an attempt: it ends, is stored, and the retry gets its answer", async () => {
      const idempotency = await listen();
      const first = open("/slow");
      first.reply.catch(() => undefined);
      await slow.entered;
      first.abort();
      await delay(50);
      slow.open("nobody was there");
      await pollUntil(
        "the outcome is stored",
        async () => (await idempotency.inspect({ key: "k", tenant: "acme" }))?.kind === "completed",
      );
      const again = await send("/slow");
      expect(again.headers["idempotency-replayed"]).toBe("true");
      expect(again.body.toString()).toBe('{"said":"nobody was there"}');
      expect(effects).toEqual(["/slow"]);
    });

    it("end their waiting for another attempt, and nothing else", async () => {
      await listen({ waitMs: 10_000 }, { leaseMs: 5_000 });
      const first = send("/slow");
      await slow.entered;
      const waiting = open("/slow");
      waiting.reply.catch(() => undefined);
      await pollUntil("it waits", async () => (await bench.redis.pubsub("CHANNELS")).length === 1);
      waiting.abort();
      await pollUntil("it does not wait", async () => (await bench.redis.pubsub("CHANNELS")).length === 0);
      slow.open("done");
      expect((await first).status).toBe(200);
      expect(effects).toEqual(["/slow"]);
    });
  });

  describe(`${framework}: handlers that throw`, () => {
    it("I8 before the effect: the key is free, also for another payload, and nothing is recovered", async () => {
      await listen();
      expect((await send("/before", "k")).status).toBe(500);
      const again = await send("/before?again", "k");
      expect(JSON.parse(again.body.toString())).toMatchObject({ number: 2, recovered: false });
    });

    it("I8 after the effect: the framework's answer goes out, and the retry runs and is told", async () => {
      await listen();
      const first = await send("/after");
      expect(first.status).toBe(500);
      expect(first.headers["idempotency-replayed"]).toBeUndefined();
      const again = await send("/after");
      expect(JSON.parse(again.body.toString())).toMatchObject({ number: 2, recovered: true });
      expect((await send("/after")).headers["idempotency-replayed"]).toBe("true");
    });

    it("with a timeout: 504, the key stays closed for a lease, then the retry recovers with the same downstream key", async () => {
      await listen();
      const first = await send("/timeout");
      expectProblem(first, 504, "outcome-unknown");
      expect(Number(first.headers["retry-after"])).toBeGreaterThanOrEqual(1);
      const early = await send("/timeout");
      expectProblem(early, 409, "in-progress");
      const late = await pollUntil("the lease has passed", async () => {
        const reply = await send("/timeout");
        return reply.status === 200 && reply;
      });
      expect(JSON.parse(late.body.toString())).toMatchObject({ number: 2, recovered: true });
      expect(effects).toEqual(["/timeout", "/timeout"]);
    });

    it("with onError store: what the client got is what a replay gives", async () => {
      await listen({}, { onError: () => "store" });
      const first = await send("/after");
      expect(first.status).toBe(500);
      const again = await send("/after");
      expect(again.status).toBe(500);
      expect(effects).toEqual(["/after"]);
    });
  });

  describe(`${framework}: statuses`, () => {
    it.each([400, 404, 409, 422])("stores %i", async (code) => {
      await listen();
      await send(`/status?code=${code}`);
      const again = await send(`/status?code=${code}`);
      expect({ status: again.status, replayed: again.headers["idempotency-replayed"] }).toEqual({
        status: code,
        replayed: "true",
      });
    });

    it.each([408, 425, 429, 500, 502, 503])("does not store %i: the next attempt runs", async (code) => {
      await listen();
      for (const attempt of [1, 2]) {
        const reply = await send(`/status?code=${code}`);
        expect({ status: reply.status, body: reply.body.toString() }).toEqual({
          status: code,
          body: JSON.stringify({ attempt }),
        });
        expect(reply.headers["idempotency-replayed"]).toBeUndefined();
      }
    });

    it("never stores 429 and 503, whatever the options say, and stores 500 when they do", async () => {
      await listen({ stores: () => true });
      for (const code of [429, 503]) {
        await send(`/status?code=${code}`, `k${code}`);
        expect((await send(`/status?code=${code}`, `k${code}`)).headers["idempotency-replayed"]).toBeUndefined();
      }
      await send("/status?code=500", "k500");
      expect((await send("/status?code=500", "k500")).headers["idempotency-replayed"]).toBe("true");
    });
  });

  describe(`${framework}: bodies that are not kept`, () => {
    it("a stream is passed through as it comes; a repetition is refused by type, and does not run", async () => {
      await listen();
      const first = await send("/stream");
      expect({ status: first.status, body: first.body.toString() }).toEqual({ status: 200, body: "one,two,three" });
      for (let retry = 0; retry < 2; retry += 1) expectProblem(await send("/stream"), 409, "response-not-stored");
      expect(effects).toEqual(["/stream"]);
    });

    it("a body beyond the cap is passed through; a repetition is refused by type, and does not run", async () => {
      await listen({}, { resultBytesMax: 4_096 });
      const first = await send("/big");
      expect(first.body).toEqual(Buffer.alloc(5_000, "x"));
      const again = await send("/big");
      expectProblem(again, 409, "response-not-stored");
      expect(effects).toEqual(["/big"]);
    });
  });

  describe(`${framework}: a store that is down`, () => {
    it("answers 503 with Retry-After and runs nothing; with whenUnreachable open it runs", async () => {
      const { proxy, redis } = await bench.proxied();
      await proxy.refuse();
      proxy.reset();
      for (const whenUnreachable of ["closed", "open"] as const) {
        const idempotency = bench.idempotency({ commandTimeoutMs: 100, whenUnreachable }, redis);
        server = await start(idempotency, {}, handler);
        const reply = await send("/create");
        if (whenUnreachable === "closed") {
          expectProblem(reply, 503, "store-unavailable");
          expect(effects).toEqual([]);
        } else {
          expect(reply.status).toBe(201);
          expect(effects).toEqual(["/create"]);
        }
        await server.close();
      }
    });
  });

  describe(`${framework}: many requests`, () => {
    it("a hundred requests under ten keys run ten times and answer the same per key", async () => {
      await listen({ waitMs: 10_000 });
      const replies = await Promise.all(
        Array.from({ length: 100 }, (_, index) => send("/attempt", `k${index % 10}`, { body: `{"i":${index % 10}}` })),
      );
      expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
      expect(new Set(replies.map(({ body }) => body.toString())).size).toBe(10);
      expect(effects).toHaveLength(10);
    });
  });
}
