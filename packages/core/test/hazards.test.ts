/** Rows of the table of hazards that concern core and are shown nowhere else in this folder. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pollUntil, RedisServer } from "@holdfast/testkit";
import { Cluster as Cluster5, Redis as Redis5 } from "ioredis5";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { checkServer, Connection } from "../src/index.ts";
import { failure, openClients, patientMs } from "./clients.ts";
import { apply, testScript } from "./test-script.ts";

const open = openClients();
const call = { operation: "test", operationId: "1", timeoutMs: patientMs };
let server: RedisServer;

beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());
beforeEach(() => server.call("FLUSHALL"));

describe("a counter key that is evicted or lost", () => {
  const grant = testScript("grant", ["last"], ["notAfterUs", "retentionMs"]);

  it("K5 is followed by a higher token, since tokens have the time for a floor", async () => {
    const connection = Connection.of(open(server));
    const token = async (): Promise<number> =>
      Number((await connection.run(grant, { last: "last" }, { retentionMs: "60000" }, call))[1]);
    const before = await token();
    await server.call("DEL", "last");
    expect(await token()).toBeGreaterThan(before);
  });

  it("K5 counter-test: a plain counter starts again at one", async () => {
    const client = open(server);
    await client.set("last", 41);
    await client.del("last");
    expect(await client.incr("last")).toBe(1);
  });
});

describe("a script in a transaction after SCRIPT FLUSH", () => {
  it("counter-test: is half applied by plain ioredis, which is why no script of ours stands in MULTI", async () => {
    const client = open(server);
    const results = await client.multi().evalsha("0".repeat(40), 0).incr("n").exec();
    expect(results?.map(([error]) => error === null)).toEqual([false, true]);
    const folder = join(import.meta.dirname, "../src");
    const sources = readdirSync(folder).filter((name) => name.endsWith(".ts"));
    expect(sources.filter((name) => /\bmulti\b/i.test(readFileSync(join(folder, name), "utf8")))).toEqual([]);
  });
});

describe("a user with exactly the rights of the README", () => {
  it("runs scripts, waits for replicas, hears hints and checks the server", async () => {
    const rights = "+evalsha +eval +time +info +wait +subscribe +unsubscribe";
    const inScript = "+get +set +incr +publish";
    const line = ["~holdfast:*", "&holdfast:*", ...`${rights} ${inScript}`.split(" ")];
    await server.call("ACL", "SETUSER", "exact", "reset", "on", ">p", ...line);
    const connection = Connection.of(open(server, { username: "exact", password: "p" }));
    const heard: (string | null)[] = [];
    connection.wakeUps.listen("holdfast:{t}:hints", (hint) => heard.push(hint));
    const keys = { count: "holdfast:{t}:count", record: "holdfast:{t}:record" };
    expect(await connection.run(apply, keys, { operationId: "1" }, call)).toEqual(["applied", 1, "1"]);
    const durability = { replicas: 1, timeoutMs: 50 };
    const error = await failure(connection.run(apply, keys, { operationId: "1" }, { ...call, durability }));
    expect(error).toMatchObject({ name: "NotReplicatedError" });
    const tell = testScript("tell", ["value", "channel"], ["notAfterUs", "publish", "text"]);
    const told = { value: "holdfast:{t}:value", channel: "holdfast:{t}:hints" };
    await pollUntil("the hint is heard", async () => {
      await connection.run(tell, told, { publish: "PUBLISH", text: "x" }, call);
      return heard.includes("x");
    });
    expect(
      (await checkServer(connection.redis, { commandTimeoutMs: patientMs })).findings.filter(
        ({ topic }) => topic === "access",
      ),
    ).toEqual([]);
    await connection.close();
  });
});

describe("ioredis 5", () => {
  it("runs scripts alone and together, whole after SCRIPT FLUSH, and hears hints", async () => {
    const client = new Redis5(server.url);
    const connection = Connection.of(client);
    const heard: (string | null)[] = [];
    connection.wakeUps.listen("hints", (hint) => heard.push(hint));
    const add = (id: string): Promise<unknown[]> =>
      connection.run(apply, { count: "{k}c", record: `{k}${id}` }, { operationId: id }, { ...call, operationId: id });
    expect(await add("0")).toEqual(["applied", 1, "0"]);
    await server.call("SCRIPT", "FLUSH");
    await Promise.all(Array.from({ length: 40 }, (_, index) => add(`p${index}`)));
    expect(await server.call("GET", "{k}c")).toBe("41");
    await pollUntil("a hint is heard", async () => {
      await server.call("PUBLISH", "hints", "x");
      return heard.includes("x");
    });
    await connection.close();
    client.disconnect();
  });

  it("as a Cluster runs scripts on one node that serves all slots", async () => {
    await using node = await RedisServer.start({
      config: { "cluster-enabled": "yes", "cluster-announce-ip": "127.0.0.1" },
    });
    await node.call("CLUSTER", "ADDSLOTSRANGE", 0, 16_383);
    const client = new Cluster5([{ host: node.host, port: node.port }]);
    client.on("error", () => undefined);
    const connection = Connection.of(client);
    const heard: (string | null)[] = [];
    connection.wakeUps.listen("{k}hints", (hint) => heard.push(hint));
    const keys = { count: "{k}c", record: "{k}1" };
    await pollUntil("the node serves its slots", () =>
      connection.run(apply, keys, { operationId: "1" }, call).then(() => true),
    );
    expect(await connection.run(apply, keys, { operationId: "1" }, call)).toEqual(["applied", "1", "1"]);
    await pollUntil("a hint is heard", async () => {
      await node.call("SPUBLISH", "{k}hints", "x");
      return heard.includes("x");
    });
    await connection.close();
    client.disconnect();
  });
});
