/** The same behind Sentinel: a failover in the middle of calls. */
import { once } from "node:events";
import { pollUntil, RedisSentinel, Stopwatch } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkServer, Connection } from "../src/index.ts";
import { patientMs } from "./clients.ts";
import { apply } from "./test-script.ts";

let group: RedisSentinel;

beforeAll(async () => {
  group = await RedisSentinel.start();
});
afterAll(() => group.stop());

function connect(options: object = {}): Redis {
  const client = new Redis({ ...group.clientOptions, replyMapping: "legacy", ...options });
  client.on("error", () => undefined);
  return client;
}

function add(connection: Connection, id: string, timeoutMs: number = patientMs): Promise<unknown[]> {
  const keys = { count: "{k}count", record: `{k}record:${id}` };
  return connection.run(apply, keys, { operationId: id }, { operation: "add", operationId: id, timeoutMs });
}

describe("a failover behind Sentinel", () => {
  it("K1 of a killed master: calls fail typed and in time, go on with the new one, hints arrive, repeats tell the truth", async () => {
    const client = connect();
    const connection = Connection.of(client);
    const heard: (string | null)[] = [];
    connection.wakeUps.listen("hints", (hint) => heard.push(hint));
    await add(connection, "0");
    const old = await group.currentMaster();
    await old.kill();
    const names = new Set<string>();
    const failing = pollUntil(
      "a call is applied by the new master",
      async () => {
        using watch = Stopwatch.start();
        try {
          await add(connection, "1", 1_000);
          return true;
        } catch (error) {
          names.add((error as Error).name);
          expect(watch.ranMs).toBeLessThan(2_500);
          return false;
        }
      },
      { timeoutMs: 60_000 },
    );
    const next = await group.waitForFailover(old);
    await failing;
    expect([...names].filter((name) => !/^(OutcomeUnknown|RedisUnavailable|TooLate)Error$/.test(name))).toEqual([]);
    expect(names.size).toBeGreaterThan(0);
    const [, count] = await add(connection, "1");
    expect(await next.call("GET", "{k}count")).toBe(String(count));
    await pollUntil("a hint of the new master is heard", async () => {
      await next.call("PUBLISH", "hints", "x");
      return heard.includes("x");
    });
    await connection.close();
    client.disconnect();
    await old.restart();
    await group.ready();
  }, 120_000);
});

describe("a client that ends by itself", () => {
  /** What ioredis's failover detector does when it hears of the failover while the client connects anew. */
  async function endByItself(client: Redis): Promise<void> {
    const { connector } = client as unknown as { connector: { disconnect(): void } };
    const connecting = once(client, "connecting");
    client.disconnect(true);
    await connecting;
    connector.disconnect();
    await pollUntil("the client has ended", () => client.status === "end");
  }

  it("is connected again by the next calls, once", async () => {
    const client = connect();
    const connection = Connection.of(client);
    await add(connection, "before");
    await endByItself(client);
    const replies = await Promise.all(["a", "b", "c"].map((id) => add(connection, id)));
    expect(replies.map(([tag]) => tag)).toEqual(["applied", "applied", "applied"]);
    client.disconnect();
  });

  it("counter-test: nothing else connects it again", async () => {
    const client = connect();
    await client.ping();
    await endByItself(client);
    await expect(client.ping()).rejects.toThrow("Connection is closed.");
    await pollUntil("some time passes", () => client.status !== "end", { timeoutMs: 500 }).catch(() => undefined);
    expect(client.status).toBe("end");
  });

  it("is left alone when it was closed on purpose", async () => {
    for (const stopNow of [true, false]) {
      const client = connect();
      const connection = Connection.of(client);
      if (!stopNow) await add(connection, "before");
      client.disconnect();
      await pollUntil("the client has ended", () => client.status === "end");
      await expect(add(connection, "after")).rejects.toMatchObject({ name: "RedisUnavailableError" });
      expect(client.status).toBe("end");
    }
  });
});

describe("the check of a client behind Sentinel", () => {
  it("warns when the client would not notice a failover", async () => {
    const [careful, careless] = [connect(), connect({ failoverDetector: false })];
    const topics = async (client: Redis): Promise<string[]> =>
      (await checkServer(client, { commandTimeoutMs: patientMs })).findings
        .filter(({ topic }) => topic === "client")
        .map(({ message }) => message);
    expect(await topics(careful)).toEqual([]);
    expect(await topics(careless)).toEqual([expect.stringMatching(/^failoverDetector is off/)]);
    careful.disconnect();
    careless.disconnect();
  });
});
