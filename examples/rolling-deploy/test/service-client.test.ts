import { createServer, type RequestListener, type Server } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { AnswerLostError, ServiceClient } from "../src/service-client.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function listen(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return typeof address === "object" && address !== null ? `http://127.0.0.1:${address.port}` : "";
}

/** Where nothing listens. */
async function silence(): Promise<string> {
  const url = await listen(() => undefined);
  await new Promise((resolve) => servers.pop()?.close(resolve));
  return url;
}

const well: RequestListener = (_request, response) => void response.end('{"well":true}');

describe("a request", () => {
  it("goes round robin", async () => {
    const hits = [0, 0];
    const urls = await Promise.all(
      hits.map((_hit, index) =>
        listen((_request, response) => {
          hits[index] = (hits[index] ?? 0) + 1;
          response.end("{}");
        }),
      ),
    );
    const client = new ServiceClient(() => urls);
    for (let sent = 0; sent < 10; sent += 1) await client.post("/");
    expect(hits).toEqual([5, 5]);
  });

  it("goes on to another replica when nothing listens, or the replica says that it takes none", async () => {
    const urls = [
      await silence(),
      await listen((_request, response) => void response.writeHead(503).end()),
      await listen(well),
    ];
    const client = new ServiceClient(() => urls);
    for (let sent = 0; sent < 3; sent += 1)
      expect(await client.post("/")).toEqual({ status: 200, body: { well: true } });
    expect(client.retries).toBeGreaterThan(0);
  });

  it("is sent once when its connection breaks: it may have been done", async () => {
    let hits = 0;
    const url = await listen((request) => {
      hits += 1;
      request.socket.destroy();
    });
    await expect(new ServiceClient(() => [url]).post("/")).rejects.toBeInstanceOf(AnswerLostError);
    expect(hits).toBe(1);
  });

  it("is sent once when a service that knows no keys could not answer: it may have been done", async () => {
    let hits = 0;
    const url = await listen((_request, response) => {
      hits += 1;
      response.writeHead(500).end('{"error":"the service could not answer; try again"}');
    });
    const client = new ServiceClient(() => [url], { knowsKeys: false });
    await expect(client.post("/orders")).rejects.toBeInstanceOf(AnswerLostError);
    expect(hits).toBe(1);
  });

  it.each([
    ["does not know what became of it", 504, { type: "https://service.example#outcome-unknown" }],
    ["could not answer", 500, { error: "the service could not answer; try again" }],
  ])("is repeated under its key when the service says that it %s", async (_words, status, problem) => {
    const keys: unknown[] = [];
    const url = await listen((request, response) => {
      keys.push(request.headers["idempotency-key"]);
      if (keys.length > 2) response.end('{"well":true}');
      else response.writeHead(status).end(JSON.stringify(problem));
    });
    const client = new ServiceClient(() => [url]);
    expect(await client.post("/orders")).toEqual({ status: 200, body: { well: true } });
    expect(keys).toEqual([expect.any(String), keys[0], keys[0]]);
  });

  it("fails with what was tried when no replica is there", async () => {
    await expect(new ServiceClient(() => []).post("/orders")).rejects.toThrow("No replica took POST /orders");
  });
});
