/** The server times that a connection fills in, where it learns them from, and how often its client lost its connection. */
import { ManualClock, pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Connection } from "../src/index.ts";
import { disconnected, openClients } from "./clients.ts";
import { apply, testScript } from "./test-script.ts";

const open = openClients();
let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

const askTimes = testScript("ask-times", ["any"], ["notAfterUs", "sentUs"]);
const timeoutMs = 60_000;

interface Times {
  readonly notAfterUs: number;
  readonly sentUs: number;
  readonly nowUs: number;
}

/** A connection whose local clock moves only when the test says so, so that the arithmetic is exact. */
function setting() {
  const clock = new ManualClock();
  const connection = Connection.of(open(server), clock);
  const ask = async (askedAtMs?: number): Promise<Times> => {
    const options = { operation: "ask", operationId: "1", timeoutMs, askedAtMs };
    const [, notAfterUs, sentUs, nowUs] = await connection.run(askTimes, { any: "k" }, {}, options);
    return { notAfterUs: Number(notAfterUs), sentUs: Number(sentUs), nowUs: Number(nowUs) };
  };
  return { clock, connection, ask };
}

describe("sentUs", () => {
  it("K1 is no later than the server's time when the caller asked, and a timeout before the bound", async () => {
    const { ask } = setting();
    for (let round = 0; round < 3; round += 1) {
      const { notAfterUs, sentUs, nowUs } = await ask();
      expect(sentUs).toBeLessThanOrEqual(nowUs);
      expect(notAfterUs - sentUs).toBe(timeoutMs * 1_000);
    }
  });

  it("K1 of a call that is made again is that of the first, while the bound moves on", async () => {
    const { clock, ask } = setting();
    const askedAtMs = clock.monotonicMs();
    const first = await ask(askedAtMs);
    await clock.advance(1_500);
    const again = await ask(askedAtMs);
    expect(again.sentUs).toBe(first.sentUs);
    expect(again.notAfterUs - first.notAfterUs).toBe(1_500_000);
  });

  it("K1 counter-test: without askedAtMs the repeat claims to be younger than what happened meanwhile", async () => {
    const { clock, ask } = setting();
    const first = await ask();
    await clock.advance(1_500);
    expect((await ask()).sentUs - first.sentUs).toBe(1_500_000);
  });

  it("counts a fraction of a millisecond against the caller", async () => {
    const { clock, ask } = setting();
    await clock.advance(10);
    const { sentUs } = await ask(10 - 0.0004);
    expect((await ask(10)).sentUs - sentUs).toBe(1);
  });
});

describe("observeTime", () => {
  it("K1 takes over a time that came with an answer when it is later than what is known", async () => {
    const { connection, ask } = setting();
    const known = (await ask()).sentUs;
    connection.observeTime("k", known + 700);
    expect((await ask()).sentUs).toBe(known + 700);
    connection.observeTime("k", known + 300);
    expect((await ask()).sentUs).toBe(known + 700);
  });

  it("spares the question for the time, and an old time gives way to a new one", async () => {
    const { clock, connection, ask } = setting();
    const [seconds, microseconds] = (await server.call("TIME")) as [string, string];
    const serverUs = Number(seconds) * 1_000_000 + Number(microseconds);
    connection.observeTime("k", serverUs);
    const asked = async (): Promise<number> =>
      Number(/cmdstat_time:calls=(\d+)/.exec(String(await server.call("INFO", "commandstats")))?.[1] ?? 0);
    const before = await asked();
    expect((await ask()).sentUs).toBe(serverUs);
    // The script reads the time once, and nobody else asks.
    expect((await asked()) - before).toBe(1);
    await clock.advance(5_001);
    connection.observeTime("k", serverUs);
    expect((await ask()).sentUs).toBe(serverUs);
  });
});

describe("epoch", () => {
  it("is another number after each loss of the connection, for every connection of the client, and only then", async () => {
    const client = open(server);
    const connections = [Connection.of(client), Connection.of(client, new ManualClock())];
    const epochs = (): number[] => connections.map(({ epoch }) => epoch);
    const call = { operation: "add", operationId: "1", timeoutMs };
    const add = (): Promise<unknown> =>
      (connections[0] as Connection).run(apply, { count: "{k}c", record: "{k}r" }, { operationId: "1" }, call);
    await add();
    const [first = -1] = epochs();
    await add();
    expect(epochs()).toEqual([first, first]);
    for (const losses of [1, 2]) {
      client.disconnect(true);
      await disconnected(client);
      await pollUntil("it is connected again", () => client.status === "ready");
      expect(epochs()).toEqual([first + losses, first + losses]);
    }
  });
});
