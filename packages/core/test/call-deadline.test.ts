/** How long a call waits under an ambient deadline, and what becomes of what was sent. */
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Connection, LeaseKeeper, now, systemClock, withAmbientDeadline } from "../src/index.ts";
import { disconnected, failure, openClients, patientMs } from "./clients.ts";
import { apply, peek } from "./test-script.ts";

const open = openClients();
let server: RedisServer;

beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());
afterEach(async () => {
  server.resume();
  await server.call("FLUSHALL");
});

function add(connection: Connection, id: string, options: object = {}): Promise<unknown[]> {
  const keys = { count: "{k}count", record: `{k}record:${id}` };
  const call = { operation: "add", operationId: id, timeoutMs: patientMs, ...options };
  return connection.run(apply, keys, { operationId: id }, call);
}

/** A connection that knows the server's time. */
async function connect(): Promise<Connection> {
  const connection = Connection.of(open(server));
  await add(connection, "first");
  return connection;
}

/** What a call under an ambient deadline of 150 ms fails with, and when. */
async function hurried(call: () => Promise<unknown>): Promise<{ error: Error; afterMs: number }> {
  const startedMs = performance.now();
  const error = await failure(withAmbientDeadline(150, call));
  return { error, afterMs: performance.now() - startedMs };
}

describe("a call under an ambient deadline", () => {
  it("K1 ends with the deadline, and what was sent does nothing when it is executed later", async () => {
    const connection = await connect();
    server.pause();
    const { error, afterMs } = await hurried(() => add(connection, "1"));
    expect(error).toMatchObject({ name: "OutcomeUnknownError", operationId: "1", effect: "possible" });
    expect(afterMs).toBeLessThan(patientMs / 2);
    server.resume();
    await connection.run(peek, { value: "x" }, {}, { operation: "peek", timeoutMs: patientMs });
    expect(await server.call("GET", "{k}count")).toBe("1");
  });

  it("counter-test: without one it waits for its own timeout, and what was sent is executed", async () => {
    const connection = await connect();
    server.pause();
    const call = add(connection, "1");
    expect(await Promise.race([call, pollUntil("a while", () => false, { timeoutMs: 400 }).catch(() => "waits")])).toBe(
      "waits",
    );
    server.resume();
    expect(await call).toEqual(["applied", 2, "1"]);
  });

  it("ends with the deadline, with no effect, while the client is not connected or only reads", async () => {
    const connection = await connect();
    server.pause();
    const options = { operation: "peek", timeoutMs: patientMs };
    for (const call of [
      () => connection.run(peek, { value: "x" }, {}, options),
      () => connection.read("time", [], options),
      () => add(Connection.of(open(server)), "1"),
    ]) {
      const { error, afterMs } = await hurried(call);
      expect(error).toMatchObject({ name: "RedisUnavailableError", effect: "none" });
      expect(afterMs).toBeLessThan(patientMs / 2);
    }
  });

  it("ends with the deadline although replicas may take longer to confirm", async () => {
    const connection = await connect();
    // The connection for durable writes stands before the deadline begins.
    expect(await failure(add(connection, "0", { durability: { replicas: 1, timeoutMs: 1 } }))).toMatchObject({
      name: "NotReplicatedError",
    });
    const durability = { replicas: 1, timeoutMs: patientMs };
    const { error, afterMs } = await hurried(() => add(connection, "1", { durability }));
    expect(error).toMatchObject({ name: "OutcomeUnknownError", operationId: "1" });
    expect(afterMs).toBeLessThan(patientMs / 2);
    await connection.close();
  });

  it("is not hurried by a deadline that has passed, or that comes later than its own timeout", async () => {
    const connection = await connect();
    expect(await withAmbientDeadline(0, () => add(connection, "1"))).toEqual(["applied", 2, "1"]);
    server.pause();
    const startedMs = performance.now();
    const error = await failure(withAmbientDeadline(60_000, () => add(connection, "2", { timeoutMs: 100 })));
    expect(error).toMatchObject({ name: "OutcomeUnknownError", operationId: "2" });
    expect(performance.now() - startedMs).toBeLessThan(patientMs);
  });

  it("leaves the client and its other calls alone", async () => {
    const connection = await connect();
    server.pause();
    const other = add(connection, "other");
    await hurried(() => add(connection, "1"));
    server.resume();
    expect(await other).toEqual(["applied", 2, "other"]);
    expect(await add(connection, "1")).toEqual(["applied", 3, "1"]);
  });
});

it("a lease that was taken under an ambient deadline is renewed in the background after it", async () => {
  const connection = await connect();
  let renewals = 0;
  const keeper = new LeaseKeeper<string>({
    clock: systemClock,
    renew: async () => {
      await add(connection, `renewal ${renewals}`);
      renewals += 1;
      return "renewed";
    },
  });
  const lease = withAmbientDeadline(30, () =>
    keeper.keep({
      resource: "lock:a",
      token: 7,
      data: "owner",
      leaseMs: 600_000,
      sentAt: now(systemClock),
      renewEveryMs: 20,
      endError: (end) => new Error(end),
    }),
  );
  await pollUntil("it was renewed after the deadline", () => renewals >= 4);
  expect(lease.ended).toBeUndefined();
  keeper.close();
});

it("a client that is lost under an ambient deadline serves the calls after it", async () => {
  const client = open(server);
  const connection = Connection.of(client);
  await withAmbientDeadline(patientMs, () => add(connection, "1"));
  client.disconnect(true);
  await disconnected(client);
  expect(await withAmbientDeadline(patientMs, () => add(connection, "2"))).toEqual(["applied", 2, "2"]);
});
