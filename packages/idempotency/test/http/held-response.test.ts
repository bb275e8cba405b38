/** What is held back of a response of Node's http server, beside others that change its methods, too. */
import { once } from "node:events";
import { Agent, createServer } from "node:http";
import type { ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline, Readable } from "node:stream";
import { createGzip, gunzipSync } from "node:zlib";
import { UnexpectedReplyError } from "@holdfast/core";
import { afterEach, describe, expect, it } from "vitest";
import { LeapClock, pollUntil } from "@holdfast/testkit";
import { idempotencyErrors, idempotent } from "../../src/express/index.ts";
import type { ExpressRequest } from "../../src/express/index.ts";
import type { Idempotency, IdempotencyOptions } from "../../src/index.ts";
import { gate, longLeaseMs, renewedBy, useBench } from "../fixture.ts";
import { openRequest } from "./client.ts";
import type { Reply, Sent } from "./client.ts";

type Handler = (response: ServerResponse) => void;

const bench = useBench();
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

interface Site {
  readonly idempotency: Idempotency;
  readonly open: (path?: string) => Sent;
  readonly send: (path?: string) => Promise<Reply>;
}

/** A server without a framework: what is before the guard, the guard, the handler behind it. */
async function serve(before: Handler, handler: Handler, options: IdempotencyOptions = {}): Promise<Site> {
  const idempotency = bench.idempotency({ leaseMs: longLeaseMs, ...options });
  const guard = idempotent(idempotency, { tenant: () => "acme" });
  const server = createServer((request, response) => {
    before(response);
    guard(Object.assign(request, { originalUrl: request.url }) as ExpressRequest, response, () => handler(response));
  });
  const agent = new Agent({ keepAlive: false });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ends.push(
    () => agent.destroy(),
    () => new Promise((resolve) => server.close(resolve)),
  );
  const open: Site["open"] = (path = "/") => openRequest((server.address() as AddressInfo).port, agent, path);
  return { idempotency, open, send: (path) => open(path).reply };
}

/** As on-headers does it: adds a header when the head is about to be sent. */
function stampsHead(response: ServerResponse): void {
  const writeHead = response.writeHead.bind(response) as (...args: unknown[]) => ServerResponse;
  response.writeHead = (...args: unknown[]) => {
    response.setHeader("x-stamped", "yes");
    return writeHead(...args);
  };
}

/** As compression does it: what is written goes through gzip first. */
function compresses(response: ServerResponse): void {
  const write = response.write.bind(response) as (chunk: Buffer) => boolean;
  const end = response.end.bind(response) as () => ServerResponse;
  const gzip = createGzip();
  gzip.on("data", (chunk: Buffer) => {
    if (!write(chunk)) gzip.pause();
  });
  gzip.on("end", () => end());
  response.on("drain", () => gzip.resume());
  Object.assign(response, {
    write(chunk: Buffer | string) {
      if (!response.headersSent) response.setHeader("content-encoding", "gzip");
      return gzip.write(chunk);
    },
    end(chunk?: Buffer | string) {
      if (!response.headersSent) response.setHeader("content-encoding", "gzip");
      if (!response.headersSent) response.removeHeader("content-length");
      gzip.end(chunk);
      return response;
    },
  });
}

const nothing: Handler = () => undefined;

describe("others that change a response's methods", () => {
  it("keep them, when they came before the guard: the head is stamped, the body compressed once", async () => {
    const { send } = await serve(
      (response) => {
        compresses(response);
        stampsHead(response);
      },
      (response) => response.end("a body"),
    );
    for (const replayed of [undefined, "true"]) {
      const { headers, body } = await send();
      expect({ stamped: headers["x-stamped"], replayed: headers["idempotency-replayed"] }).toEqual({
        stamped: "yes",
        replayed,
      });
      expect(gunzipSync(body).toString()).toBe("a body");
    }
  });

  it("keep them, when they come behind the guard: a stream stays compressed to its end", async () => {
    const { send } = await serve(nothing, (response) => {
      stampsHead(response);
      compresses(response);
      response.write("x".repeat(1_000));
      setTimeout(() => {
        response.write("y".repeat(1_000));
        response.end();
      }, 30);
    });
    const { headers, body } = await send();
    expect(headers["x-stamped"]).toBe("yes");
    expect(gunzipSync(body).toString()).toBe("x".repeat(1_000) + "y".repeat(1_000));
  });
});

describe("writeHead", () => {
  it.each<[string, Parameters<ServerResponse["writeHead"]>[1]]>([
    [
      "names and values in turn",
      ["Content-Type", "text/plain", "Link", "</a>", "Link", "</b>", "Set-Cookie", ["a", "b"]] as never,
    ],
    [
      "pairs",
      [
        ["Content-Type", "text/plain"],
        ["Link", "</a>"],
        ["Link", "</b>"],
        ["Set-Cookie", ["a", "b"]],
      ] as never,
    ],
    ["an object", { "Content-Type": "text/plain", link: ["</a>", "</b>"], "set-cookie": ["a", "b"] }],
  ])("takes %s, which replace what was set before", async (_, headers) => {
    const { send } = await serve(nothing, (response) => {
      response.setHeader("content-type", "text/html");
      response.writeHead(202, headers);
      response.end("x");
    });
    const first = await send();
    expect(first.headers).toMatchObject({ "content-type": "text/plain", link: "</a>, </b>", "set-cookie": ["a", "b"] });
    expect((await send()).headers).toMatchObject({ "content-type": "text/plain", link: "</a>, </b>" });
  });
});

describe("a handler that gives its response up", () => {
  it("has an unknown outcome when it destroys it: 504, and the key recovers after its lease", async () => {
    let calls = 0;
    const { idempotency, send } = await serve(nothing, (response) => {
      calls += 1;
      if (calls === 1) response.destroy();
      else response.end("x");
    });
    expect((await send()).status).toBe(504);
    expect((await idempotency.inspect({ key: "k", tenant: "acme" }))?.kind).toBe("unknown");
    expect((await send()).status).toBe(409);
    await bench.lapse();
    expect((await send()).status).toBe(200);
    expect(calls).toBe(2);
  });

  it("has thrown when it destroys it with an error: the key is free, and the connection is closed", async () => {
    let calls = 0;
    const { send } = await serve(nothing, (response) => {
      calls += 1;
      if (calls > 1) response.end("x");
      else response.destroy(new Error("no source"));
    });
    await expect(send()).rejects.toThrow();
    expect((await send()).status).toBe(200);
  });

  it("is not told as not processed when it destroys it with an error of ours", async () => {
    const { send } = await serve(
      nothing,
      (response) => void response.destroy(new UnexpectedReplyError("a call of its own", "a reply", "another")),
      { onError: () => "release" },
    );
    await expect(send()).rejects.toThrow();
  });

  it("to a pipeline of which the client has heard nothing looks open, and what it writes is kept", async () => {
    const work = gate<string>();
    const { idempotency, open, send } = await serve(nothing, (response) => {
      void work.handler().then(async (said) => {
        response.setHeader("content-length", said.length);
        pipeline(Readable.from([Buffer.from(said)]), response, () => undefined);
      });
    });
    const first = open();
    first.reply.catch(() => undefined);
    await work.entered;
    first.abort();
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
    work.open("all of it");
    await pollUntil(
      "it is stored",
      async () => (await idempotency.inspect({ key: "k", tenant: "acme" }))?.kind === "completed",
    );
    expect((await send()).body.toString()).toBe("all of it");
  });

  it("I2 or throws behind its answer has answered: a repetition gets it, and runs nothing", async () => {
    let calls = 0;
    const { send } = await serve(nothing, (response) => {
      calls += 1;
      response.end("an answer");
      // As Express tells of what a handler throws.
      idempotencyErrors()(new Error("behind it"), response.req as ExpressRequest, response, () => undefined);
    });
    expect((await send()).body.toString()).toBe("an answer");
    expect((await send()).headers["idempotency-replayed"]).toBe("true");
    expect(calls).toBe(1);
  });

  it("I4 and that does not answer keeps its key for no longer than attemptMaxMs", async () => {
    let calls = 0;
    const clock = new LeapClock();
    const { idempotency, open, send } = await serve(
      nothing,
      (response) => {
        calls += 1;
        // As a handler does that gives up when its client has gone: unknown to everybody, it has ended.
        if (calls > 1) response.end("x");
      },
      { clock, attemptMaxMs: longLeaseMs * 2 },
    );
    const first = open();
    first.reply.catch(() => undefined);
    await pollUntil("it runs", () => calls === 1);
    first.abort();
    await renewedBy(bench)(clock, 2);
    expect((await send()).status).toBe(409);
    clock.leap(longLeaseMs * 2);
    await bench.lapse();
    expect((await idempotency.inspect({ key: "k", tenant: "acme" }))?.kind).toBe("lapsed");
    expect((await send()).body.toString()).toBe("x");
  });
});

describe("a handler that writes more than is kept", () => {
  it("in one turn of the event loop is asked to wait, and what it wrote passes on", async () => {
    const asked: boolean[] = [];
    const { send } = await serve(
      nothing,
      (response) => {
        for (let part = 0; part < 3; part += 1) asked.push(response.write("x".repeat(1_000)));
        response.once("drain", () => response.end());
      },
      { resultBytesMax: 1_500 },
    );
    expect((await send()).body.toString()).toBe("x".repeat(3_000));
    expect(asked).toEqual([true, false, false]);
    expect((await send()).status).toBe(409);
  });
});

describe("a handler that fails in the middle of its body", () => {
  it.each([
    ["that is as long as it says", 10],
    ["that is a stream", undefined],
  ])("%s is answered as its error is, and nothing of the body is left for the next answer", async (_, length) => {
    const { send } = await serve(nothing, (response) => {
      if (length !== undefined) response.setHeader("content-length", length);
      response.write("one,");
      response.write("two,");
      // As frameworks answer an error while nothing was sent.
      response.writeHead(500, { "content-length": 5 }).end("wrong");
    });
    const { status, headers, body } = await send();
    expect([status, headers["content-length"], body.toString()]).toEqual([500, "5", "wrong"]);
  });

  it("and ends it with more than its head says has all of it in this answer", async () => {
    const { send } = await serve(nothing, (response) => {
      response.setHeader("content-length", 10);
      response.write("one,");
      response.statusCode = 500;
      response.end("all went wrong");
    });
    const { status, body } = await send();
    expect([status, body.toString()]).toEqual([500, "one,all went wrong"]);
  });

  it.each(["in one piece", "in pieces"])("I6 and is answered %s is stored as it was answered", async (pieces) => {
    const { send } = await serve(nothing, (response) => {
      response.setHeader("content-length", 10);
      response.write("one,");
      response.writeHead(422, { "content-length": 5 });
      if (pieces === "in pieces") response.write("wro");
      response.end(pieces === "in pieces" ? "ng" : "wrong");
    });
    for (const replayed of [undefined, "true"]) {
      const { status, headers, body } = await send();
      expect([status, body.toString(), headers["idempotency-replayed"]]).toEqual([422, "wrong", replayed]);
    }
  });
});

describe("a handler that goes on behind a time limit", () => {
  it("ends no process with the head and the body that come too late", async () => {
    let late: ServerResponse | undefined;
    const { send } = await serve(nothing, (response) => {
      late = response;
      response.writeHead(504).end();
    });
    const { status, headers } = await send();
    expect({ status, headers }).toMatchObject({ status: 504, headers: { "content-type": "application/problem+json" } });
    expect(() => {
      late?.setHeader("x", "y");
      late?.setHeaders(new Map([["x", "y"]]));
      late?.appendHeader("x", "z").removeHeader("x");
      late?.writeHead(201, { x: "y" }).end("late");
    }).not.toThrow();
  });
});

describe("a handler that waits for what it has written", () => {
  const written = (response: ServerResponse, chunk: string): Promise<void> =>
    new Promise((resolve, reject) => {
      response.write(chunk, (error) => (error ? reject(error) : resolve()));
    });
  const ended = (response: ServerResponse, chunk: string): Promise<void> =>
    new Promise((resolve) => {
      response.end(chunk, () => resolve());
    });

  it.each([
    ["is stored when its length is announced", 6, "true"],
    ["is passed through when its length is not", undefined, undefined],
  ])(
    "%s",
    async (_, length, replayed) => {
      const { send } = await serve(nothing, (response) => {
        if (length !== undefined) response.setHeader("content-length", length);
        void written(response, "abc").then(() => ended(response, "def"));
      });
      expect((await send()).body.toString()).toBe("abcdef");
      expect((await send()).headers["idempotency-replayed"]).toBe(replayed);
    },
    20_000,
  );

  it("is passed through when it is longer than what is kept", async () => {
    const big = "x".repeat(1_000);
    const { send } = await serve(
      nothing,
      (response) => {
        response.setHeader("content-length", 3_000);
        void (async () => {
          for (let part = 0; part < 2; part += 1) await written(response, big);
          await ended(response, big);
        })();
      },
      { resultBytesMax: 1_500 },
    );
    expect((await send()).body.toString()).toBe(big.repeat(3));
    expect((await send()).status).toBe(409);
  });

  it.each(["whole", "stream"])(
    "goes on when another answer replaces its %s, which goes nowhere",
    async (kind) => {
      const wentOn = Promise.withResolvers<string>();
      const site: Site = await serve(nothing, (response) => {
        void (async () => {
          // Overtaken: an operator takes the key away while it works.
          await site.idempotency.forget({ key: "k", tenant: "acme" });
          if (kind === "stream") for (const part of ["a", "b", "c"]) await written(response, part);
          await ended(response, "done");
          await ended(response, "again");
          wentOn.resolve(kind);
        })();
      });
      expect((await site.send()).status).toBe(409);
      expect(await wentOn.promise).toBe(kind);
    },
    20_000,
  );
});
