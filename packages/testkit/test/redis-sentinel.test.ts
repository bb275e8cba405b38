import { once } from "node:events";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pollUntil, RedisSentinel } from "../src/index.ts";

describe("RedisSentinel", () => {
  let group: RedisSentinel;
  let client: Redis;

  beforeAll(async () => {
    group = await RedisSentinel.start();
    client = new Redis(group.clientOptions);
    client.on("error", () => undefined);
  });
  afterAll(async () => {
    client.disconnect();
    await group.stop();
  });

  it("starts with a master that its sentinels name, and clients find it", async () => {
    expect(await group.currentMaster()).toBe(group.servers[0]);
    expect(await client.set("a", "1")).toBe("OK");
    const [, replica] = group.servers;
    await pollUntil("the write is replicated", async () => (await replica?.call("GET", "a")) === "1");
  });

  it("fails over when the master is killed, and takes it back as a replica", async () => {
    const old = await group.currentMaster();
    await old.kill();
    const promoted = await group.waitForFailover(old);
    expect(promoted).not.toBe(old);
    await group.waitForClient(client);
    expect(await client.set("b", "2")).toBe("OK");
    expect(await promoted.call("GET", "b")).toBe("2");
    await old.restart();
    await group.ready();
    expect([await old.call("ROLE")].flat()[0]).toBe("slave");
  }, 120_000);

  it("fails over when the master is paused", async () => {
    const old = await group.currentMaster();
    old.pause();
    const promoted = await group.waitForFailover(old);
    expect(promoted).not.toBe(old);
    await group.waitForClient(client);
    expect(await client.set("c", "3")).toBe("OK");
    old.resume();
    await group.ready();
    // Whether the new one is still the master is up to the Sentinels: on a starved machine they may have failed over again.
    expect([await old.call("ROLE")].flat()[0]).toBe("slave");
  }, 120_000);

  it("connects a client again that ended when it heard of the failover while it connected", async () => {
    await group.waitForClient(client);
    // What the failover detector of ioredis does then.
    const { connector } = client as unknown as { connector: { disconnect(): void } };
    const connecting = once(client, "connecting");
    client.disconnect(true);
    await connecting;
    connector.disconnect();
    await pollUntil("the client has ended", () => client.status === "end");
    await group.waitForClient(client);
    expect(client.status).toBe("ready");
  });

  it("fails over on request", async () => {
    const old = await group.currentMaster();
    expect(await group.failover()).not.toBe(old);
  }, 120_000);
});
