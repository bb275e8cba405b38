/** Hints by publish/subscribe on one server: shared, closed with the last listener, never in the way. */
import { FaultProxy, pollUntil, RedisServer } from "@holdfast/testkit";
import type { RedisOptions } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Connection, withAmbientDeadline, ambientRemainingMs } from "../src/index.ts";
import { openClients, patientMs } from "./clients.ts";

const open = openClients();
let server: RedisServer;
let proxy: FaultProxy;
const connections: Connection[] = [];

beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());
beforeEach(async () => {
  proxy = await FaultProxy.start(server);
});
afterEach(async () => {
  for (const connection of connections.splice(0)) await connection.close();
  await proxy.close();
});

function connect(options: RedisOptions = {}, through: { readonly url: string } = server): Connection {
  const connection = Connection.of(open(through, options));
  connections.push(connection);
  return connection;
}

/** A listener that keeps what it heard. */
function ear() {
  const heard: (string | null)[] = [];
  return { heard, listener: (hint: string | null) => void heard.push(hint) };
}

const subscribers = async (): Promise<number> =>
  [...String(await server.call("CLIENT", "LIST", "TYPE", "pubsub")).matchAll(/^id=/gm)].length;

async function publishUntilHeard(channel: string, hint: string, heard: readonly unknown[]): Promise<void> {
  await pollUntil(`${hint} is heard`, async () => {
    await server.call("PUBLISH", channel, hint);
    return heard.includes(hint);
  });
}

describe("a wake-up", () => {
  it("reaches every listener of its channel and nobody else, over one connection", async () => {
    const { wakeUps } = connect();
    const ears = Array.from({ length: 200 }, ear);
    for (const [index, { listener }] of ears.entries()) wakeUps.listen(`c${index % 100}`, listener);
    await pollUntil("all subscriptions stand", () => ears.every(({ heard }) => heard.length > 0));
    expect(await subscribers()).toBe(1);
    await server.call("PUBLISH", "c7", "hello");
    await pollUntil("it is heard", () => ears[7]?.heard.includes("hello") === true);
    expect(ears.flatMap(({ heard }, index) => (heard.includes("hello") ? [index] : []))).toEqual([7, 107]);
  });

  it("comes without a hint when the subscription stands, since something may have happened before", async () => {
    const { heard, listener } = ear();
    connect().wakeUps.listen("c", listener);
    await pollUntil("the listener is woken", () => heard.length > 0);
    expect(heard).toEqual([null]);
    expect(await server.call("PUBLISH", "c", "x")).toBe(1);
  });

  it("comes to all listeners after the connection was lost, when hints arrive again", async () => {
    const { wakeUps } = connect({}, proxy);
    const [a, b] = [ear(), ear()];
    wakeUps.listen("a", a.listener);
    wakeUps.listen("b", b.listener);
    await pollUntil("both stand", () => a.heard.length > 0 && b.heard.length > 0);
    const before = [a.heard.length, b.heard.length];
    proxy.reset();
    await pollUntil("both are woken", () => a.heard.length > (before[0] ?? 0) && b.heard.length > (before[1] ?? 0));
    // Woken means subscribed again: no hint from now on is lost.
    expect(await server.call("PUBLISH", "a", "after")).toBe(1);
    expect(await server.call("PUBLISH", "b", "after")).toBe(1);
    await pollUntil("both hear", () => a.heard.includes("after") && b.heard.includes("after"));
  });

  it("comes after a long outage, also when the caller's client has given up by then", async () => {
    const { wakeUps } = connect({ retryStrategy: () => null }, proxy);
    const { heard, listener } = ear();
    wakeUps.listen("c", listener);
    await pollUntil("it stands", () => heard.length > 0);
    await proxy.refuse();
    proxy.reset();
    await pollUntil("the subscriber is gone", async () => (await subscribers()) === 0);
    await proxy.accept();
    await publishUntilHeard("c", "back", heard);
  });

  it("reaches the other listeners although one throws, and the error becomes a warning", async () => {
    const warnings: string[] = [];
    const onWarning = (warning: Error): number => warnings.push(warning.message);
    process.on("warning", onWarning);
    const { wakeUps } = connect();
    wakeUps.listen("c", () => {
      throw new Error("listener broke");
    });
    const { heard, listener } = ear();
    wakeUps.listen("c", listener);
    await publishUntilHeard("c", "x", heard);
    await pollUntil("the warning is out", () => warnings.includes("listener broke"));
    process.off("warning", onWarning);
  });

  it("ends for one listening alone, although the same function listens twice", async () => {
    const { wakeUps } = connect();
    const { heard, listener } = ear();
    const first = wakeUps.listen("c", listener);
    wakeUps.listen("c", listener);
    await publishUntilHeard("c", "x", heard);
    first.close();
    first.close();
    await publishUntilHeard("c", "y", heard);
  });

  it("carries nobody's deadline to the listeners", async () => {
    const { wakeUps } = connect();
    const remaining: number[] = [];
    withAmbientDeadline(10, () => wakeUps.listen("c", () => void remaining.push(ambientRemainingMs())));
    await pollUntil("it is woken", () => remaining.length > 0);
    expect(remaining).toContain(Infinity);
    expect(remaining.every((ms) => ms === Infinity)).toBe(true);
  });
});

describe("the subscriber", () => {
  it("is closed with the last listener and opened again by the next", async () => {
    const { wakeUps } = connect();
    const [a, b] = [ear(), ear()];
    const subscriptions = [wakeUps.listen("a", a.listener), wakeUps.listen("b", b.listener)];
    await pollUntil("both stand", () => a.heard.length > 0 && b.heard.length > 0);
    subscriptions[0]?.close();
    await pollUntil("one channel is left", async () => String(await server.call("PUBSUB", "CHANNELS")) === "b");
    subscriptions[1]?.close();
    await pollUntil("nobody is subscribed", async () => (await subscribers()) === 0);
    wakeUps.listen("a", a.listener);
    await publishUntilHeard("a", "again", a.heard);
    expect(await subscribers()).toBe(1);
  });

  it.each<[string, RedisOptions]>([
    ["lazyConnect", { lazyConnect: true }],
    ["no queue", { enableOfflineQueue: false }],
    ["a command timeout", { commandTimeout: 1 }],
    ["automatic pipelines", { enableAutoPipelining: true }],
    ["no subscriptions after a reconnect", { autoResubscribe: false }],
    ["no commands sent again", { autoResendUnfulfilledCommands: false }],
    ["one try per request", { maxRetriesPerRequest: 0 }],
    ["RESP2", { protocol: 2 }],
  ])("works for a client with %s", async (_, options) => {
    const { wakeUps } = connect(options, proxy);
    const { heard, listener } = ear();
    wakeUps.listen("c", listener);
    await publishUntilHeard("c", "x", heard);
    proxy.reset();
    await publishUntilHeard("c", "y", heard);
  });

  it("tries again while it may not subscribe, and disturbs nobody", async () => {
    await server.call("ACL", "SETUSER", "deaf", "reset", "on", ">p", "~*", "+@all", "resetchannels");
    const connection = connect({ username: "deaf", password: "p" });
    const { heard, listener } = ear();
    connection.wakeUps.listen("c", listener);
    expect(await connection.read("ping", [], { operation: "ping", timeoutMs: patientMs })).toBe("PONG");
    expect(heard).toEqual([]);
    await server.call("ACL", "SETUSER", "deaf", "&c");
    await publishUntilHeard("c", "allowed", heard);
  });

  it("is gone after close, with listeners left and while it still connects", async () => {
    const connection = connect({}, proxy);
    proxy.latency({ upMs: 50 });
    connection.wakeUps.listen("c", () => undefined);
    await connection.close();
    proxy.latency({});
    await pollUntil("nobody is subscribed", async () => (await subscribers()) === 0);
  });
});
