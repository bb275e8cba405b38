import { once } from "node:events";
import { connect, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { FaultProxy, pollUntil, RedisServer } from "../src/index.ts";

interface ClientOptions {
  commandTimeout?: number;
  maxRetriesPerRequest?: number;
  protocol?: 2 | 3;
}

describe("FaultProxy", () => {
  let server: RedisServer;
  let proxy: FaultProxy;
  const clients: Redis[] = [];
  const open = (options: ClientOptions = {}): Redis => {
    const client = new Redis({ port: proxy.port, maxRetriesPerRequest: 0, retryStrategy: () => 10, ...options });
    client.on("error", () => undefined);
    clients.push(client);
    return client;
  };

  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(async () => {
    await server.stop();
  });
  beforeEach(async () => {
    await server.call("FLUSHALL");
    proxy = await FaultProxy.start(server);
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.disconnect();
    await proxy.close();
  });

  it("passes everything unchanged, binary and large values included", async () => {
    const client = open();
    const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => index % 256));
    await client.set("big", bytes);
    expect((await client.getBuffer("big"))?.equals(bytes)).toBe(true);
    expect(await Promise.all(Array.from({ length: 500 }, () => client.incr("n")))).toHaveLength(500);
    expect(await client.get("n")).toBe("500");
    expect(proxy.counts).toMatchObject({ connections: 1, delayed: 0, blackholed: 0, swallowed: 0 });
  });

  it("delays each direction by its latency and counts what it delayed", async () => {
    const client = open();
    await client.ping();
    proxy.latency({ upMs: 60, downMs: 40, jitterMs: 5 });
    const start = performance.now();
    await client.ping();
    expect(performance.now() - start).toBeGreaterThanOrEqual(99);
    expect(proxy.counts.delayed).toBeGreaterThanOrEqual(2);
    await proxy.heal();
    const { delayed } = proxy.counts;
    await client.ping();
    expect(proxy.counts.delayed).toBe(delayed);
  });

  it("keeps the order of requests under jitter", async () => {
    const client = open();
    await client.ping();
    proxy.latency({ upMs: 1, downMs: 1, jitterMs: 10 });
    const order = await Promise.all(Array.from({ length: 40 }, () => client.incr("n")));
    expect(order).toEqual(Array.from({ length: 40 }, (_, index) => index + 1));
  });

  it("holds requests in an upward blackhole and delivers them late, after their client has given up", async () => {
    const client = open({ commandTimeout: 50 });
    await pollUntil("the client is ready", () => client.status === "ready");
    proxy.blackhole("up");
    await expect(client.incr("n")).rejects.toThrow("Command timed out");
    expect(await server.call("GET", "n")).toBe(null);
    expect(proxy.counts.blackholed).toBeGreaterThan(0);
    await proxy.heal();
    await pollUntil("the request arrives", async () => (await server.call("GET", "n")) === "1");
  });

  it("holds replies in a downward blackhole while requests are executed", async () => {
    const client = open();
    await client.ping();
    proxy.blackhole("down");
    const reply = client.incr("n");
    await pollUntil("the request arrives", async () => (await server.call("GET", "n")) === "1");
    await proxy.heal();
    expect(await reply).toBe(1);
  });

  it("drops what a blackhole held when told to, and resets those connections", async () => {
    const client = open();
    await client.ping();
    proxy.blackhole();
    const reply = client.incr("n");
    reply.catch(() => undefined);
    await pollUntil("the request is held", () => proxy.counts.blackholed > 0);
    await proxy.heal({ held: "drop" });
    await expect(reply).rejects.toThrow();
    expect(proxy.counts.dropped).toBe(1);
    await client.ping().catch(() => undefined);
    expect(await server.call("GET", "n")).toBe(null);
  });

  it("resets open connections with RST", async () => {
    const socket = connect(proxy.port, proxy.host);
    socket.write("PING\r\n");
    await once(socket, "data");
    const failed = once(socket, "error");
    expect(proxy.reset()).toBe(1);
    expect(await failed).toMatchObject([{ code: "ECONNRESET" }]);
    expect(proxy.counts.reset).toBe(1);
    await pollUntil("the connection is gone", () => proxy.openConnections === 0);
  });

  it("refuses new connections while open ones go on, and takes them again on the same port", async () => {
    const client = open();
    await client.ping();
    await proxy.refuse();
    const refused = connect(proxy.port, proxy.host);
    expect(await once(refused, "error")).toMatchObject([{ code: "ECONNREFUSED" }]);
    expect(await client.ping()).toBe("PONG");
    await proxy.refuse({ how: "reset" });
    const reset = connect(proxy.port, proxy.host);
    expect(await once(reset, "error")).toMatchObject([{ code: "ECONNRESET" }]);
    expect(proxy.counts.refused).toBe(1);
    await proxy.accept();
    expect(await open().ping()).toBe("PONG");
  });

  it("takes connections again also when another process had its port for a while", async () => {
    await proxy.refuse();
    const other = createServer().listen({ port: proxy.port, host: proxy.host });
    await once(other, "listening");
    const accepted = proxy.accept();
    const early = await Promise.race([accepted.then(() => "accepted"), delay(100, "waits")]);
    other.close();
    await accepted;
    expect(early).toBe("waits");
    expect(await open().ping()).toBe("PONG");
  });

  it("swallows the reply of a matching command that the server has executed, and no other's", async () => {
    const client = open();
    await client.ping();
    const fault = proxy.swallowReply((command) => command[0]?.toLowerCase() === "incr" && command[1] === "b");
    const replies = await Promise.allSettled([client.incr("a"), client.incr("b"), client.incr("c")]);
    expect(replies.map((reply) => reply.status)).toEqual(["fulfilled", "rejected", "rejected"]);
    await fault.hit;
    expect(fault.hits).toBe(1);
    expect(proxy.counts).toMatchObject({ swallowed: 1 });
    expect(await server.call("MGET", "a", "b", "c")).toEqual(["1", "1", "1"]);
    await client.ping().catch(() => undefined);
    await pollUntil("the client is back", async () => (await client.incr("b")) === 2);
    expect(fault.hits).toBe(1);
  });

  it("shows that a client which resends after a lost reply doubles an INCR", async () => {
    const client = open({ maxRetriesPerRequest: 20 });
    await client.ping();
    proxy.swallowReply("incr");
    expect(await client.incr("n")).toBe(2);
  });

  it("delivers a matching command twice and gives the client one reply, the first or the last", async () => {
    const client = open();
    const first = proxy.repeat(/^incr a$/i);
    const last = proxy.repeat(/^incr b$/i, { keep: "last" });
    expect(await Promise.all([client.incr("a"), client.incr("b"), client.incr("c"), client.get("a")])).toEqual([
      1,
      2,
      1,
      "2",
    ]);
    await Promise.all([first.hit, last.hit]);
    expect(proxy.counts.repeated).toBe(2);
    expect(await client.incr("a")).toBe(3);
  });

  it("finds a command however the bytes were cut into packets, and in the middle of a pipeline", async () => {
    const socket = connect({ port: proxy.port, host: proxy.host, noDelay: true });
    const fault = proxy.repeat("INCR", { times: Number.POSITIVE_INFINITY });
    const received: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => received.push(chunk));
    const request = "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\nINCR n\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n";
    for (const byte of request) {
      socket.write(byte);
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
    await pollUntil(
      "all replies are there",
      () => Buffer.concat(received).toString() === "+PONG\r\n:1\r\n:3\r\n:5\r\n",
    );
    expect(fault.hits).toBe(3);
    socket.destroy();
  });

  it("holds a matching request until it is released, when its client has long gone", async () => {
    const client = open({ commandTimeout: 50 });
    await pollUntil("the client is ready", () => client.status === "ready");
    const fault = proxy.hold("request", "set");
    await expect(client.set("a", "late")).rejects.toThrow("Command timed out");
    await fault.hit;
    client.disconnect();
    expect(await server.call("GET", "a")).toBe(null);
    fault.release();
    await pollUntil("the request arrives", async () => (await server.call("GET", "a")) === "late");
    expect(proxy.counts.held).toBe(1);
  });

  it("holds a matching reply until it is released", async () => {
    const client = open();
    const fault = proxy.hold("reply", "incr");
    let answered = false;
    const reply = client.incr("n").finally(() => (answered = true));
    await fault.hit;
    expect(await server.call("GET", "n")).toBe("1");
    expect(answered).toBe(false);
    fault.release();
    expect(await reply).toBe(1);
  });

  it("does not hold a reply that arrives after the release", async () => {
    const client = open();
    await client.ping();
    const [request, reply] = [proxy.hold("request", "set"), proxy.hold("reply", "incr")];
    const answers = [client.set("a", "b"), client.incr("n")];
    await request.hit;
    // Its request waits behind the other one, so there is nothing yet that could be let go.
    reply.release();
    request.release();
    expect(await Promise.all(answers)).toEqual(["OK", 1]);
    expect(reply.hits).toBe(1);
  });

  it.each([2, 3] as const)("is not confused by pub/sub messages (RESP%i)", async (protocol) => {
    const client = open({ protocol });
    const messages: string[] = [];
    client.on("message", (_channel, message) => messages.push(message));
    await client.subscribe("one", "two");
    await server.call("PUBLISH", "one", "a");
    const fault = proxy.repeat("ping");
    await client.ping();
    await server.call("PUBLISH", "two", "b");
    await pollUntil("both messages are there", () => messages.join() === "a,b");
    await client.unsubscribe();
    expect(await client.incr("n")).toBe(1);
    expect(fault.hits).toBe(1);
  });

  it("shows a dead server as a reset connection", async () => {
    await using other = await RedisServer.start();
    await using toOther = await FaultProxy.start(other);
    await other.kill();
    const socket = connect(toOther.port, toOther.host);
    expect(await once(socket, "error")).toMatchObject([{ code: "ECONNRESET" }]);
  });

  it("passes any protocol as plain TCP, where aiming at commands is refused", async () => {
    await using plain = await FaultProxy.start(server, { protocol: "tcp" });
    const client = new Redis(plain.url);
    expect(await client.ping()).toBe("PONG");
    expect(() => plain.swallowReply("get")).toThrow(TypeError);
    client.disconnect();
  });
});
