/** The estimate of the server's time from which every bound is made (K1). */
import { ClockSkew, FaultProxy, ManualClock, RedisServer } from "@holdfast/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Connection } from "../src/index.ts";
import { ServerClock } from "../src/server-clock.ts";
import { openClients, patientMs } from "./clients.ts";
import { apply } from "./test-script.ts";

const open = openClients();
const call = { operation: "apply", operationId: "1", timeoutMs: patientMs };

/** A server whose time runs beside a manual clock, and answers when the test says so. */
function setting(offsetMs = 1_000_000) {
  const clock = new ManualClock();
  const answers: (() => void)[] = [];
  const source = {
    epoch: 1,
    asked: 0,
    serverUs: () => (clock.monotonicMs() + offsetMs) * 1_000,
    readTimeUs: () => {
      source.asked += 1;
      return new Promise<number>((resolve) => {
        const serverUs = source.serverUs();
        answers.push(() => resolve(serverUs));
      });
    },
  };
  return { clock, source, answers, serverClock: new ServerClock(clock, source) };
}

describe("the estimate", () => {
  it("K1 is never ahead of a steady server, whatever the delays of its answers", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ afterMs: fc.nat(8_000), delayMs: fc.nat(3_000) }), { maxLength: 12 }),
        async (questions) => {
          const { clock, source, answers, serverClock } = setting();
          for (const { afterMs, delayMs } of questions) {
            await clock.advance(afterMs);
            const fetched = serverClock.fetchUs("", "k");
            await clock.advance(delayMs);
            for (const answer of answers.splice(0)) answer();
            await fetched;
            const estimate = serverClock.estimateUs("", "k");
            expect(estimate).toBeLessThanOrEqual(source.serverUs());
            expect(estimate).toBeGreaterThanOrEqual(source.serverUs() - 3_000_000);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("is unknown at first, after 30 s without an answer, and after a lost connection", async () => {
    const { clock, source, serverClock } = setting();
    expect(serverClock.estimateUs("", "k")).toBeUndefined();
    serverClock.observe("", source.serverUs());
    expect(serverClock.estimateUs("", "k")).toBe(source.serverUs());
    source.epoch += 1;
    expect(serverClock.estimateUs("", "k")).toBeUndefined();
    serverClock.observe("", source.serverUs());
    await clock.advance(30_001);
    expect(serverClock.estimateUs("", "k")).toBeUndefined();
  });

  it("is refreshed beside the call once it is 5 s old, by one question for many callers", async () => {
    const { clock, source, answers, serverClock } = setting();
    serverClock.observe("", source.serverUs());
    await clock.advance(5_001);
    for (let index = 0; index < 5; index += 1) expect(serverClock.estimateUs("", "k")).toBe(source.serverUs());
    expect(source.asked).toBe(1);
    for (const answer of answers) answer();
    await clock.advance(5_000);
    serverClock.estimateUs("", "k");
    expect(source.asked).toBe(1);
  });

  it("asks again when a question has had no answer for a second", async () => {
    const { clock, source, serverClock } = setting();
    void serverClock.fetchUs("", "k");
    await clock.advance(999);
    void serverClock.fetchUs("", "k");
    expect(source.asked).toBe(1);
    await clock.advance(2);
    void serverClock.fetchUs("", "k");
    expect(source.asked).toBe(2);
  });

  it("is kept per node", () => {
    const { source, serverClock } = setting();
    serverClock.observe("a", source.serverUs());
    expect(serverClock.estimateUs("b", "k")).toBeUndefined();
  });
});

describe("a server whose clock is stepped while the process runs", () => {
  it.each([
    ["forward by an hour", 3_600_000],
    ["back by an hour", -3_600_000],
    ["forward by a second", 1_000],
    ["back by a second", -1_000],
  ])("K1 %s takes the next calls, the first of them at the second try at most", async (_, offsetMs) => {
    await using skew = await ClockSkew.create();
    await using server = await RedisServer.start({ env: skew.env });
    const connection = Connection.of(open(server));
    const add = (id: string): Promise<unknown> =>
      connection.run(apply, { count: "{k}c", record: `{k}${id}` }, { operationId: id }, { ...call, operationId: id });
    await add("0");
    await skew.set(offsetMs);
    expect(await add("1")).toEqual(["applied", 2, "1"]);
    expect(await add("2")).toEqual(["applied", 3, "2"]);
  });
});

it("K1 a bound made over a slow link is not later than what the caller waits for", async () => {
  await using server = await RedisServer.start();
  await using proxy = await FaultProxy.start(server);
  const connection = Connection.of(open(proxy));
  proxy.latency({ upMs: 20, downMs: 60 });
  await connection.run(apply, { count: "{k}c", record: "{k}0" }, { operationId: "0" }, call);
  const estimateUs = connection.serverClock.estimateUs("", "k") as number;
  const [seconds, microseconds] = (await server.call("TIME")) as [string, string];
  expect(estimateUs).toBeLessThanOrEqual(Number(seconds) * 1_000_000 + Number(microseconds));
});
