/** Writes that count as done when replicas have them. */
import { FaultProxy, pollUntil, RedisServer, Stopwatch } from "@holdfast/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Connection, type NotReplicatedError } from "../src/index.ts";
import { failure, openClients, patientMs } from "./clients.ts";
import { apply } from "./test-script.ts";

const open = openClients();
let master: RedisServer;
let replica: RedisServer;

beforeAll(async () => {
  master = await RedisServer.start({ config: { "repl-diskless-sync-delay": 0 } });
  replica = await RedisServer.start();
  await replica.call("REPLICAOF", master.host, master.port);
  await pollUntil("the replica has the data set", async () =>
    /master_link_status:up/.test(String(await replica.call("INFO", "replication"))),
  );
  // The master sends what comes after the data set, and asks for confirmations, only when it has heard that the replica has loaded it.
  await master.call("SET", "linked", "yes");
  await pollUntil("the replica follows", async () => (await replica.call("GET", "linked")) === "yes");
  await master.call("FLUSHALL");
});
afterAll(() => Promise.all([master.stop(), replica.stop()]));
afterEach(async () => {
  replica.resume();
  await master.call("FLUSHALL");
});

const durability = { replicas: 1, timeoutMs: patientMs };
/** For writes that are not to be confirmed. */
const hasty = { durability: { replicas: 1, timeoutMs: 200 } };

function add(connection: Connection, id: string, options: object = {}): Promise<unknown[]> {
  const keys = { count: "{k}count", record: `{k}record:${id}` };
  const call = { operation: "add", operationId: id, timeoutMs: patientMs, durability, ...options };
  return connection.run(apply, keys, { operationId: id }, call);
}

describe("a durable write", () => {
  it("is on the replica when the call is done, over one connection for many calls", async () => {
    const connection = Connection.of(open(master));
    await Promise.all(Array.from({ length: 100 }, (_, index) => add(connection, String(index))));
    expect(await replica.call("GET", "{k}count")).toBe("100");
    // The client's own, the durable one and this question's.
    expect(Number(/connected_clients:(\d+)/.exec(String(await master.call("INFO", "clients")))?.[1])).toBe(3);
    await connection.close();
  });

  it("is reported as not replicated when the replica is paused, stands on the master, and is confirmed by the repeat", async () => {
    const connection = Connection.of(open(master));
    await add(connection, "0");
    replica.pause();
    expect(await failure(add(connection, "1", hasty))).toMatchObject({
      name: "NotReplicatedError",
      code: "NOT_REPLICATED",
      effect: "possible",
      operationId: "1",
      replicasWanted: 1,
      replicasConfirmed: 0,
    });
    expect(await master.call("GET", "{k}count")).toBe("2");
    // A repeat only reads its first answer; it is confirmed no earlier than the write, also over another connection.
    await connection.close();
    const again = (await failure(add(connection, "1", hasty))) as NotReplicatedError;
    expect(again).toMatchObject({ name: "NotReplicatedError" });
    // Its sender can tell from the reply whether anything was done; nobody stores or logs it with the error.
    expect(again.reply).toEqual(["applied", "2", "1"]);
    expect(Object.keys(again)).not.toContain("reply");
    replica.resume();
    expect(await add(connection, "1")).toEqual(["applied", "2", "1"]);
  });

  it("of fifty calls at once waits for slow replicas together, not one after the other", async () => {
    const connection = Connection.of(open(master));
    await add(connection, "0");
    replica.pause();
    using watch = Stopwatch.start();
    const calls = Array.from({ length: 50 }, (_, index) => failure(add(connection, `a${index}`, hasty)));
    const errors = await Promise.all(calls);
    expect(watch.ranMs).toBeLessThan(1_500);
    expect(errors.map(({ name }) => name)).toEqual(Array.from({ length: 50 }, () => "NotReplicatedError"));
  });

  it("finds its script again after SCRIPT FLUSH", async () => {
    const connection = Connection.of(open(master));
    await add(connection, "0");
    await master.call("SCRIPT", "FLUSH");
    expect(await add(connection, "1")).toEqual(["applied", 2, "1"]);
  });

  it.each([
    ["a timeout shorter than the wait", { commandTimeout: 50 }],
    ["no queue", { enableOfflineQueue: false }],
    ["lazyConnect", { lazyConnect: true }],
  ])("does not inherit %s of the caller's client", async (_, options) => {
    const connection = Connection.of(open(master, options));
    await add(connection, "0");
    replica.pause();
    expect(await failure(add(connection, "1", hasty))).toMatchObject({ name: "NotReplicatedError" });
  });

  it("whose reply is lost is unknown or done, and the repeat tells the truth", async () => {
    await using proxy = await FaultProxy.start(master);
    const connection = Connection.of(open(proxy));
    await add(connection, "0");
    const lost = proxy.swallowReply("wait");
    await add(connection, "1").catch((error: Error) => expect(error.name).toBe("OutcomeUnknownError"));
    expect(lost.hits).toBe(1);
    expect(await add(connection, "1")).toEqual(["applied", "2", "1"]);
    expect(await master.call("GET", "{k}count")).toBe("2");
    await connection.close();
  });

  it("for which the server does not ask the replicas stands on the master, and is not called undone", async () => {
    await master.call("ACL", "SETUSER", "hasty", "reset", "on", ">p", "~*", "&*", "+@all", "-wait");
    const connection = Connection.of(open(master, { username: "hasty", password: "p" }));
    const error = await failure(add(connection, "0"));
    expect(await master.call("GET", "{k}count")).toBe("1");
    expect(error).toMatchObject({ name: "NotReplicatedError", effect: "possible", replicasConfirmed: 0 });
    expect(error.message).toContain("NOPERM");
    await connection.close();
  });

  it("that was applied, whose reply was lost, and whose repeat is refused, has not had no effect", async () => {
    await using proxy = await FaultProxy.start(master);
    const connection = Connection.of(open(proxy));
    await add(connection, "0");
    const lost = proxy.swallowReply("evalsha");
    const outcome = failure(add(connection, "1"));
    await lost.hit;
    // It cannot send again before the right is gone.
    await proxy.refuse();
    await master.call("ACL", "SETUSER", "default", "-evalsha");
    await proxy.accept();
    const error = await outcome;
    await master.call("ACL", "SETUSER", "default", "+evalsha");
    expect(await master.call("GET", "{k}count")).toBe("2");
    expect(error).toMatchObject({ effect: "possible", operationId: "1" });
    expect(await add(connection, "1")).toEqual(["applied", "2", "1"]);
    await connection.close();
  });

  it("on a server that does not answer is unknown within both timeouts", async () => {
    const connection = Connection.of(open(master));
    await add(connection, "0");
    master.pause();
    using watch = Stopwatch.start();
    const error = await failure(add(connection, "1", { ...hasty, timeoutMs: 300 }));
    expect(error).toMatchObject({ name: "OutcomeUnknownError" });
    expect(watch.elapsedMs).toBeGreaterThanOrEqual(499);
    expect(watch.ranMs).toBeLessThan(1_500);
    master.resume();
    expect(await add(connection, "2")).toEqual(["applied", 2, "2"]);
  });

  it("closes its connection with the caller's client", async () => {
    const client = open(master);
    await add(Connection.of(client), "0");
    client.disconnect();
    await pollUntil("nobody is connected", async () =>
      /connected_clients:1\b/.test(String(await master.call("INFO", "clients"))),
    );
  });
});
