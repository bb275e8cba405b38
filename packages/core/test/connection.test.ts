/** What a call does between the caller and the socket: NOSCRIPT, lost replies, clients that are away, and what is left behind. */
import { FaultProxy, pollUntil, RedisServer, Stopwatch } from "@holdfast/testkit";
import type { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Connection, systemClock, type Clock, type RedisLike } from "../src/index.ts";
import { disconnected, failure, openClients, patientMs } from "./clients.ts";
import { apply, peek, testScript } from "./test-script.ts";

const call = { operation: "apply counter", operationId: "op", timeoutMs: patientMs };
const peekCall = { operation: "peek", timeoutMs: patientMs };
/** For calls that are to fail. */
const hurriedMs = 400;

let server: RedisServer;
let proxy: FaultProxy;
const open = openClients();

beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());
beforeEach(async () => {
  await server.call("FLUSHALL");
  proxy = await FaultProxy.start(server);
});
afterEach(() => proxy.close());

const count = async (): Promise<number> => Number(await server.call("GET", "{k}count"));

/** Adds one under an operation id. */
function add(connection: Connection, operationId: string, timeoutMs = call.timeoutMs): Promise<unknown[]> {
  const keys = { count: "{k}count", record: `{k}record:${operationId}` };
  return connection.run(apply, keys, { operationId }, { ...call, operationId, timeoutMs });
}

function addMany(connection: Connection, calls: number, name: string): Promise<unknown[][]> {
  return Promise.all(Array.from({ length: calls }, (_, index) => add(connection, `${name}${index}`)));
}

function listenersOf(client: Redis): number {
  return client.eventNames().reduce((sum, event) => sum + client.listenerCount(event), 0);
}

describe("scripts that the server does not have", () => {
  it("are sent whole after SCRIPT FLUSH, alone and together, and run once each", async () => {
    const connection = Connection.of(open(server));
    for (const calls of [1, 2, 40]) {
      await server.call("SCRIPT", "FLUSH");
      const before = await count();
      const replies = await addMany(connection, calls, `${calls}:`);
      expect(replies.every(([tag]) => tag === "applied")).toBe(true);
      expect(await count()).toBe(before + calls);
    }
  });

  it("are sent by their hash when the server has them", async () => {
    const connection = Connection.of(open(server));
    await addMany(connection, 20, "a");
    await server.call("CONFIG", "RESETSTAT");
    await addMany(connection, 20, "b");
    const stats = String(await server.call("INFO", "commandstats"));
    expect(stats).toMatch(/cmdstat_evalsha:calls=20,/);
    expect(stats).not.toMatch(/cmdstat_eval:/);
  });

  it("answer bytes when they are asked for, also alone after SCRIPT FLUSH and together", async () => {
    const connection = Connection.of(open(server));
    const bytes = Buffer.from([0xff, 0x00, 0xfe]);
    await server.call("SCRIPT", "FLUSH");
    const raw = { ...peek, binary: true };
    await connection.redis.call("set", ["bytes", bytes]);
    const replies = await Promise.all([1, 2, 3].map(() => connection.run(raw, { value: "bytes" }, {}, peekCall)));
    const alone = await connection.run(raw, { value: "bytes" }, {}, peekCall);
    for (const [tag, value] of [...replies, alone]) expect([String(tag), value]).toEqual(["value", bytes]);
  });
});

describe("a client that is not connected", () => {
  it("is waited for, and the call goes through when it is back in time", async () => {
    const client = open(proxy);
    const connection = Connection.of(client);
    await add(connection, "0");
    await proxy.refuse();
    proxy.reset();
    await disconnected(client);
    const before = listenersOf(client);
    const applied = add(connection, "1");
    await proxy.accept();
    expect(await applied).toEqual(["applied", 2, "1"]);
    // A listener for errors that stayed would silence the client's own report of them.
    expect(listenersOf(client)).toBe(before);
  });

  it("ends 200 waiting calls within their timeout with one listener per event and without a warning", async () => {
    const warnings: string[] = [];
    const onWarning = (warning: Error): number => warnings.push(warning.name);
    process.on("warning", onWarning);
    await proxy.refuse();
    const client = open(proxy);
    const connection = Connection.of(client);
    // Waits from before the others, and until the client has heard why: a stand-still could use up all the time that they have.
    const patient = connection.run(peek, { value: "x" }, {}, peekCall);
    await new Promise((resolve) => void client.once("error", resolve));
    using watch = Stopwatch.start();
    const waiting = Array.from({ length: 200 }, (_, index) => failure(add(connection, String(index), hurriedMs)));
    const while200Wait = listenersOf(client);
    const errors = await Promise.all(waiting);
    expect(watch.ranMs).toBeLessThan(hurriedMs + 1_000);
    for (const error of errors) {
      expect(error).toMatchObject({ name: "RedisUnavailableError", reason: "UNREACHABLE", effect: "none" });
      expect(error.cause).toMatchObject({ code: "ECONNREFUSED" });
    }
    expect(while200Wait).toBeLessThan(10);
    expect(warnings).toEqual([]);
    process.off("warning", onWarning);
    await proxy.accept();
    await patient;
    expect(await server.call("KEYS", "*")).toEqual([]);
  });

  it("fails at once when it was closed for good", async () => {
    const client = open(server);
    const connection = Connection.of(client);
    await add(connection, "0");
    client.disconnect();
    await pollUntil("the client has ended", () => client.status === "end");
    using watch = Stopwatch.start();
    expect(await failure(add(connection, "1"))).toMatchObject({ name: "RedisUnavailableError", effect: "none" });
    expect(watch.ranMs).toBeLessThan(1_000);
  });

  it("is connected by the first call when it was made with lazyConnect, and may have no queue of its own", async () => {
    const client = open(server, { lazyConnect: true, enableOfflineQueue: false });
    expect(await add(Connection.of(client), "1")).toEqual(["applied", 1, "1"]);
  });

  it("that is closed in the middle of a call leaves an unknown outcome and nothing pending", async () => {
    const client = open(proxy);
    const connection = Connection.of(client);
    await add(connection, "0");
    const held = proxy.hold("reply", "evalsha");
    const error = failure(add(connection, "1"));
    await held.hit;
    client.disconnect();
    // The end of the connection waits behind the held reply.
    proxy.reset();
    expect(await error).toMatchObject({ name: "OutcomeUnknownError", operationId: "1", effect: "possible" });
    expect(await count()).toBe(2);
  });
});

describe("a lost reply", () => {
  it("is an unknown outcome with its operation id when the client does not send again, and the repeat tells the truth", async () => {
    const connection = Connection.of(open(proxy, { maxRetriesPerRequest: 0 }));
    await add(connection, "0");
    const lost = proxy.swallowReply("evalsha");
    expect(await failure(add(connection, "1"))).toMatchObject({ name: "OutcomeUnknownError", operationId: "1" });
    expect(lost.hits).toBe(1);
    expect(await add(connection, "1")).toEqual(["applied", "2", "1"]);
    expect(await count()).toBe(2);
  });

  it("makes each of the calls written together unknown or done once, and the repeats tell the truth", async () => {
    const connection = Connection.of(open(proxy));
    await add(connection, "0");
    const lost = proxy.swallowReply((command) => command.includes("5"));
    const ids = Array.from({ length: 16 }, (_, index) => String(index + 1));
    await Promise.allSettled(ids.map((id) => add(connection, id)));
    expect(lost.hits).toBe(1);
    const answers = await Promise.all(ids.map((id) => add(connection, id)));
    expect(new Set(answers.map(([, number]) => Number(number))).size).toBe(16);
    expect(await count()).toBe(17);
  });

  it("counter-test: plain ioredis applies an increment twice", async () => {
    const client = open(proxy);
    await client.incr("{k}count");
    proxy.swallowReply("incr");
    expect(await client.incr("{k}count")).toBe(3);
  });

  it("bounds the call even when the client would leave it pending for ever", async () => {
    const client = open(proxy, { autoResendUnfulfilledCommands: false });
    const connection = Connection.of(client);
    await add(connection, "0");
    const lost = proxy.swallowReply("evalsha");
    expect(await failure(add(connection, "1", hurriedMs))).toMatchObject({ name: "OutcomeUnknownError" });
    expect(lost.hits).toBe(1);
    expect(await add(connection, "2")).toEqual(["applied", 3, "2"]);
  });

  it("of the question for the time does not wedge later calls", async () => {
    const connection = Connection.of(open(proxy, { autoResendUnfulfilledCommands: false }));
    await connection.run(peek, { value: "x" }, {}, peekCall);
    const lost = proxy.swallowReply("time");
    const unanswered = await failure(add(connection, "1", hurriedMs));
    expect(unanswered).toMatchObject({ name: "RedisUnavailableError", effect: "none" });
    expect(lost.hits).toBe(1);
    expect(await add(connection, "2")).toEqual(["applied", 1, "2"]);
  });
});

describe("a server that does not answer", () => {
  afterEach(() => server.resume());

  it("ends a call that had not asked for the time yet within its timeout, with no effect", async () => {
    const client = open(server);
    await client.ping();
    server.pause();
    using watch = Stopwatch.start();
    const error = await failure(add(Connection.of(client), "1", hurriedMs));
    expect(error).toMatchObject({ name: "RedisUnavailableError", reason: "UNREACHABLE", effect: "none" });
    expect(watch.ranMs).toBeLessThan(hurriedMs + 1_000);
  });

  it("ends reads and scripts that change nothing within their timeout, with no effect", async () => {
    const connection = Connection.of(open(server));
    await connection.read("ping", [], peekCall);
    server.pause();
    const options = { operation: "peek", timeoutMs: 100 };
    for (const pending of [connection.read("ping", [], options), connection.run(peek, { value: "x" }, {}, options)]) {
      expect(await failure(pending)).toMatchObject({ name: "RedisUnavailableError", effect: "none" });
    }
  });
});

describe("a connection", () => {
  it("is one object per client and clock", () => {
    const client = open(server);
    const other: Clock = { ...systemClock };
    expect(Connection.of(client)).toBe(Connection.of(client, systemClock));
    expect(Connection.of(client, other)).not.toBe(Connection.of(client));
    expect(Connection.of(client, other)).toBe(Connection.of(client, other));
    expect(Connection.of(open(server))).not.toBe(Connection.of(client));
  });

  it("refuses a key prefix and what is no client", () => {
    expect(() => Connection.of(open(server, { keyPrefix: "x:" }))).toThrow(/redis must have no keyPrefix, got "x:"/);
    for (const wrong of [undefined, null, {}, "redis://"]) {
      expect(() => Connection.of(wrong as RedisLike)).toThrow(/redis must be an ioredis client/);
    }
    expect(() => Connection.of(open(server, { keyPrefix: "" }))).not.toThrow();
  });

  it("leaves no listener and no command behind after 10,000 calls with 30 clocks", async () => {
    const client = open(server);
    await addMany(Connection.of(client), 1, "first");
    const before = listenersOf(client);
    for (let index = 0; index < 30; index += 1) await add(Connection.of(client, { ...systemClock }), `clock${index}`);
    for (let round = 0; round < 10; round += 1) await addMany(Connection.of(client), 1_000, `${round}:`);
    expect(await count()).toBe(10_031);
    expect(listenersOf(client)).toBe(before);
    const { commandQueue, offlineQueue } = client as unknown as Record<string, { length: number }>;
    expect([commandQueue?.length, offlineQueue?.length]).toEqual([0, 0]);
  });

  it("leaves the caller's client open when it is closed", async () => {
    const client = open(server);
    const connection = Connection.of(client);
    connection.wakeUps.listen("{k}channel", () => undefined);
    await connection.close();
    expect(await add(connection, "1")).toEqual(["applied", 1, "1"]);
    await pollUntil(
      "the subscriber is gone",
      async () => !String(await server.call("CLIENT", "LIST")).includes("sub=1"),
    );
  });

  it("passes arguments in the order of the header, numbers and bytes included", async () => {
    const script = testScript("tell", ["value", "channel"], ["notAfterUs", "publish", "text"]);
    const connection = Connection.of(open(server));
    await connection.run(script, { channel: "{t}c", value: "{t}v" }, { text: 42, publish: "PUBLISH" }, call);
    expect(await server.call("GET", "{t}v")).toBe("42");
  });
});

describe("the process standing still", () => {
  it("does not make an unknown outcome of an answer that waits in the socket", async () => {
    const connection = Connection.of(open(server));
    await add(connection, "0");
    const applied = add(connection, "1", 1_500);
    // The request leaves at the end of this tick; then the loop stands still beyond the timeout.
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    const untilMs = performance.now() + 1_700;
    while (performance.now() < untilMs) Math.sqrt(untilMs);
    expect(await applied).toEqual(["applied", 2, "1"]);
  });
});

it("ioredis's own commandTimeout is an unknown outcome, too", async () => {
  const connection = Connection.of(open(proxy, { commandTimeout: 100 }));
  await pollUntil("a call is in time", () => add(connection, "0").then(() => true));
  const held = proxy.hold("reply", "evalsha");
  expect(await failure(add(connection, "1"))).toMatchObject({ name: "OutcomeUnknownError", operationId: "1" });
  held.release();
});
