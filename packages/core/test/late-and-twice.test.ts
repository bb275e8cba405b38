/** K1, the rule against requests that are executed twice or late, each case beside what happens without it. */
import { ClockSkew, FaultProxy, pollUntil, RedisServer, Stopwatch } from "@holdfast/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Connection, OutcomeUnknownError } from "../src/index.ts";
import { disconnected, failure, openClients, patientMs } from "./clients.ts";
import { apply, peek, testScript } from "./test-script.ts";

const keys = { count: "{k}count", record: "{k}record:1" };
const options = { operation: "test.apply", operationId: "1", timeoutMs: 300 };
/** For calls that are to succeed, however busy the machine is. */
const patient = { ...options, timeoutMs: patientMs };
const unbounded = testScript("apply-unbounded", ["count", "record"], ["notAfterUs", "operationId"]);
const forgetful = testScript("apply-forgetful", ["count", "record"], ["notAfterUs", "operationId"]);

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

async function serverMs(): Promise<number> {
  const [seconds, microseconds] = (await server.call("TIME")) as [string, string];
  return Number(seconds) * 1_000 + Number(microseconds) / 1_000;
}

const count = async (): Promise<number> => Number(await server.call("GET", keys.count));

describe("K1", () => {
  it("K1 a repeat under the same operation id answers the first answer and does nothing", async () => {
    const connection = Connection.of(open(server));
    const run = (id: string) =>
      connection.run(
        apply,
        { ...keys, record: `{k}record:${id}` },
        { operationId: id },
        { ...patient, operationId: id },
      );
    expect(await run("1")).toEqual(["applied", 1, "1"]);
    expect(await run("2")).toEqual(["applied", 2, "2"]);
    expect(await run("1")).toEqual(["applied", "1", "1"]);
    expect(await count()).toBe(2);
  });

  it("K1 a lost reply that makes the client send again is applied once, and answers the first answer", async () => {
    const connection = Connection.of(open(proxy));
    await connection.run(apply, { ...keys, record: "{k}record:0" }, { operationId: "0" }, patient);
    const lost = proxy.swallowReply("evalsha");
    const reply = await connection.run(apply, keys, { operationId: "1" }, patient);
    expect(lost.hits).toBe(1);
    expect(reply).toEqual(["applied", "2", "1"]);
    expect(await count()).toBe(2);
  });

  it("K1 a command that the network delivers after its bound writes nothing", async () => {
    const connection = Connection.of(open(proxy));
    await connection.run(apply, { ...keys, record: "{k}record:0" }, { operationId: "0" }, patient);
    const held = proxy.hold("request", "evalsha");
    const boundMs = (await serverMs()) + options.timeoutMs;
    expect(await failure(connection.run(apply, keys, { operationId: "1" }, options))).toBeInstanceOf(
      OutcomeUnknownError,
    );
    await pollUntil("the bound has passed", async () => (await serverMs()) > boundMs);
    held.release();
    // The connection keeps its order: when this read is answered, the late command has been executed.
    await connection.run(peek, { value: "x" }, {}, { operation: "peek", timeoutMs: patientMs });
    expect(held.hits).toBe(1);
    expect(await count()).toBe(1);
  });

  it("K1 counter-test: without the bound, the same late command is applied after its caller was told nothing", async () => {
    const connection = Connection.of(open(proxy));
    await connection.run(unbounded, { ...keys, record: "{k}record:0" }, { operationId: "0" }, patient);
    const held = proxy.hold("request", "evalsha");
    expect(await failure(connection.run(unbounded, keys, { operationId: "1" }, options))).toBeInstanceOf(
      OutcomeUnknownError,
    );
    held.release();
    await pollUntil("the ghost is applied", async () => (await count()) === 2);
  });

  it("K1 a command that a stopped server reads after its bound writes nothing", async () => {
    const client = open(server);
    const connection = Connection.of(client);
    await connection.run(apply, { ...keys, record: "{k}record:0" }, { operationId: "0" }, patient);
    server.pause();
    using watch = Stopwatch.start();
    const error = await failure(connection.run(apply, keys, { operationId: "1" }, options));
    expect(error).toMatchObject({ name: "OutcomeUnknownError", operationId: "1", effect: "possible" });
    expect(watch.ranMs).toBeLessThan(1_500);
    server.resume();
    await connection.run(peek, { value: "x" }, {}, { operation: "peek", timeoutMs: patientMs });
    expect(await count()).toBe(1);
    // The outcome is learnt by the repeat: it was not applied, and is now.
    expect(await connection.run(apply, keys, { operationId: "1" }, patient)).toEqual(["applied", 2, "1"]);
  });

  it("K1 a call made while the server is away is never sent, not even when the server comes back", async () => {
    const client = open(proxy);
    const connection = Connection.of(client);
    await connection.run(apply, { ...keys, record: "{k}record:0" }, { operationId: "0" }, patient);
    await proxy.refuse();
    proxy.reset();
    await disconnected(client);
    const error = await failure(connection.run(apply, keys, { operationId: "1" }, options));
    expect(error).toMatchObject({ name: "RedisUnavailableError", reason: "UNREACHABLE", effect: "none" });
    await proxy.accept();
    await connection.run(peek, { value: "x" }, {}, { operation: "peek", timeoutMs: patientMs });
    expect(await count()).toBe(1);
  });

  it("K1 counter-test: the client's own queue sends a command after its caller has been told that it timed out", async () => {
    const client = open(proxy, { commandTimeout: 200, maxRetriesPerRequest: null });
    await pollUntil("the client is ready", () => client.status === "ready");
    await server.call("INCR", keys.count);
    await proxy.refuse();
    proxy.reset();
    await expect(client.incr(keys.count)).rejects.toThrow("Command timed out");
    await proxy.accept();
    await pollUntil("the ghost is applied", async () => (await count()) === 2);
  });

  it("K1 a too-late answer to a request that the client sent twice is not taken for nothing done", async () => {
    await using skew = await ClockSkew.create();
    await using skewed = await RedisServer.start({ env: skew.env });
    await using toSkewed = await FaultProxy.start(skewed);
    const connection = Connection.of(open(toSkewed));
    await connection.run(forgetful, keys, { operationId: "0" }, patient);
    const lost = toSkewed.swallowReply("evalsha");
    const outcome = failure(connection.run(forgetful, keys, { operationId: "1" }, patient));
    await lost.hit;
    await toSkewed.refuse();
    // The bound passes long before the caller gives up.
    await skew.set(3_600_000);
    await toSkewed.accept();
    expect(await outcome).toMatchObject({ name: "OutcomeUnknownError", operationId: "1" });
    expect(await skewed.call("GET", keys.count)).toBe("2");
  });

  it("K1 a request that was applied, whose reply was lost, and whose repeat is refused, has not had no effect", async () => {
    const connection = Connection.of(open(proxy));
    await connection.run(apply, { ...keys, record: "{k}record:0" }, { operationId: "0" }, patient);
    const lost = proxy.swallowReply("evalsha");
    const outcome = failure(connection.run(apply, keys, { operationId: "1" }, patient));
    await lost.hit;
    // It cannot send again before the right is gone.
    await proxy.refuse();
    await server.call("ACL", "SETUSER", "default", "-evalsha");
    await proxy.accept();
    const error = await outcome;
    await server.call("ACL", "SETUSER", "default", "+evalsha");
    expect(await count()).toBe(2);
    expect(error).toMatchObject({ name: "OutcomeUnknownError", operationId: "1", effect: "possible" });
    expect(await connection.run(apply, keys, { operationId: "1" }, patient)).toEqual(["applied", "2", "1"]);
  });

  it("K1 a too-late answer without a lost connection is tried once more with the time that it carried", async () => {
    const connection = Connection.of(open(server));
    await connection.run(apply, { ...keys, record: "{k}record:0" }, { operationId: "0" }, patient);
    connection.serverClock.observe("", Math.floor((await serverMs()) * 1_000) - 3_600_000_000, true);
    expect(await connection.run(apply, keys, { operationId: "1" }, patient)).toEqual(["applied", 2, "1"]);
  });
});
