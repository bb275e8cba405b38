/** A master behind Sentinel that stands still, as a virtual machine does, and comes back after its successor was named. */
import { pollUntil, RedisSentinel, Stopwatch } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, it } from "vitest";
import { checkServer, Connection } from "../src/index.ts";
import { failure, patientMs } from "./clients.ts";
import { apply } from "./test-script.ts";

let group: RedisSentinel;

beforeAll(async () => {
  group = await RedisSentinel.start();
});
afterAll(() => group.stop());

/** A client with the options of the README, or without the one in question. */
function connect(failoverDetector: boolean): Redis {
  const client = new Redis({
    ...group.clientOptions,
    failoverDetector,
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
    replyMapping: "legacy",
  });
  client.on("error", () => undefined);
  return client;
}

const timeoutMs = 1_000;

function add(connection: Connection, id: string): Promise<unknown[]> {
  const keys = { count: "{k}count", record: `{k}record:${id}` };
  return connection.run(apply, keys, { operationId: id }, { operation: "add", operationId: id, timeoutMs });
}

const isTyped = /^(OutcomeUnknown|RedisUnavailable|TooLate)Error$/;

/** Repeats a call until it is done; what it failed with on the way, each time typed and in time. */
async function insist(connection: Connection, id: string): Promise<Set<string>> {
  const names = new Set<string>();
  await pollUntil(
    `${id} is done`,
    async () => {
      using watch = Stopwatch.start();
      const error = await add(connection, id).then(
        () => undefined,
        (reason: unknown) => reason as Error,
      );
      if (error !== undefined) {
        expect(error.name).toMatch(isTyped);
        expect(watch.ranMs).toBeLessThan(timeoutMs + 1_500);
        names.add(error.name);
      }
      return error === undefined;
    },
    { timeoutMs: 60_000 },
  );
  return names;
}

it("a paused master: with failoverDetector calls go on with its successor; without it they hang on it, and are lost with it", async () => {
  const [careful, careless] = [connect(true), connect(false)];
  const [wary, trusting] = [Connection.of(careful), Connection.of(careless)];
  await Promise.all([insist(wary, "wary before"), insist(trusting, "trusting before")]);
  const old = await group.currentMaster();
  old.pause();
  const [unknown, ownUnknown] = await Promise.all([failure(add(wary, "in flight")), failure(add(trusting, "hung"))]);
  for (const error of [unknown, ownUnknown]) {
    expect(error).toMatchObject({ name: "OutcomeUnknownError", effect: "possible" });
  }
  const next = await group.waitForFailover(old);

  // With the detector: the client hears of the failover and leaves the master that stands still. The repeat learns the outcome.
  await insist(wary, "in flight");
  await insist(wary, "wary after");
  expect(await next.call("EXISTS", "{k}record:in flight", "{k}record:wary after")).toBe(2);

  // Counter-test: without it each call waits for its whole timeout, for as long as the old master stands still. When that has taken long,
  // the server's time is not known any more, and the call waits for that.
  for (const id of ["hung", "hung again"]) {
    const startedMs = performance.now();
    expect((await failure(add(trusting, id))).name).toMatch(/^(OutcomeUnknown|RedisUnavailable)Error$/);
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(timeoutMs - 1);
  }
  // And once that one is back it takes writes, until Sentinel has told it that it is no master any more.
  for (const sentinel of group.sentinelServers) sentinel.pause();
  old.resume();
  await insist(trusting, "lost");
  expect(await old.call("EXISTS", "{k}record:lost")).toBe(1);
  expect(await next.call("EXISTS", "{k}record:lost")).toBe(0);
  // What the paused master found in its socket came after its bound (K1).
  expect(await old.call("EXISTS", "{k}record:in flight", "{k}record:hung", "{k}record:hung again")).toBe(0);

  for (const sentinel of group.sentinelServers) sentinel.resume();
  await group.ready();
  await pollUntil("the old master has taken over its successor's data", async () => {
    return (await old.call("EXISTS", "{k}record:wary after")) === 1;
  });
  expect(await old.call("EXISTS", "{k}record:lost")).toBe(0);
  // Told READONLY, or thrown out, the client asks Sentinel anew.
  await insist(trusting, "trusting after");
  expect(await next.call("EXISTS", "{k}record:trusting after")).toBe(1);

  const topics = async (client: Redis): Promise<string[]> =>
    (await checkServer(client, { commandTimeoutMs: patientMs })).findings
      .filter(({ topic }) => topic === "client")
      .map(({ message }) => message);
  expect(await topics(careful)).toEqual([]);
  expect(await topics(careless)).toEqual([expect.stringMatching(/^failoverDetector is off/)]);
  careful.disconnect();
  careless.disconnect();
}, 240_000);
