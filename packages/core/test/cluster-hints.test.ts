/** Sharded hints while slots move and masters change, for a client that does nothing else. */
import { pollUntil, RedisCluster, type RedisServer } from "@holdfast/testkit";
import { Cluster } from "ioredis";
import { Cluster as Cluster5 } from "ioredis5";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Connection, keySpace, slotOf } from "../src/index.ts";

let cluster: RedisCluster;
beforeAll(async () => {
  cluster = await RedisCluster.start();
});
afterAll(() => cluster.stop());

describe.each([
  ["6", () => new Cluster(cluster.addresses)],
  ["5", () => new Cluster5(cluster.addresses)],
] as const)("a listener on a Cluster through ioredis %s", (version, connect) => {
  const channel = keySpace("holdfast", "test", `quiet ${version}`).key("hints");
  const slot = slotOf(channel);
  let connection: Connection;
  let heard: (string | null)[] = [];
  let said = 0;

  beforeEach(() => {
    const client = connect();
    client.on("error", () => undefined);
    connection = Connection.of(client);
    heard = [];
    connection.wakeUps.listen(channel, (hint) => heard.push(hint));
  });
  afterEach(async () => {
    await connection.close();
    connection.redis.disconnect();
  });

  /** Says something through the node that serves the channel, again and again, until it is heard. */
  async function hears(what: string): Promise<void> {
    said += 1;
    const hint = `${what} ${said}`;
    await pollUntil(
      `${hint} is heard`,
      async () => {
        await (await cluster.masterOf(slot)).call("SPUBLISH", channel, hint).catch(() => undefined);
        return heard.includes(hint);
      },
      { timeoutMs: 30_000, intervalMs: 50 },
    );
  }

  async function otherMaster(than: RedisServer): Promise<RedisServer> {
    return (await cluster.masters()).find((master) => master !== than) as RedisServer;
  }

  it("K4 hears hints again after its slot has moved, also back to where it was", async () => {
    await hears("at first");
    const home = await cluster.masterOf(slot);
    const away = await otherMaster(home);
    for (const to of [away, home, away, home]) {
      await cluster.moveSlot(slot, to);
      await hears(`at ${to.port}`);
    }
    // There and back, before anybody has looked.
    await cluster.moveSlot(slot, away);
    await cluster.moveSlot(slot, home);
    await hears("back again");
  }, 120_000);

  it("K4 hears hints again after its master was killed, came back as a replica, and became master again", async () => {
    await hears("at first");
    const old = await cluster.masterOf(slot);
    await old.kill();
    const next = await cluster.waitForNewMaster(slot, old);
    await hears("of the new master");
    await old.restart();
    await cluster.ready();
    await hears("beside the old one");
    await cluster.failover(old);
    await hears("of the old one");
    expect(await cluster.masterOf(slot)).not.toBe(next);
  }, 120_000);

  it("K4 is connected to masters that serve a channel only, once each, and to none after its last listener", async () => {
    const names = Array.from({ length: 30 }, (_, index) => `many ${index}`);
    const listening = names.map((name) => {
      const own = keySpace("holdfast", "test", name).key("hints");
      const ears: (string | null)[] = [];
      return { ears, subscription: connection.wakeUps.listen(own, (hint) => ears.push(hint)) };
    });
    await pollUntil("all subscriptions stand", () => listening.every(({ ears }) => ears.length > 0));
    const subscribers = async (): Promise<number[]> =>
      Promise.all(
        (await cluster.masters()).map(
          async (master) =>
            [...String(await master.call("CLIENT", "LIST", "TYPE", "pubsub")).matchAll(/^id=/gm)].length,
        ),
      );
    expect(await subscribers()).toEqual([1, 1, 1]);
    for (const { subscription } of listening) subscription.close();
    await hears("the last channel");
    await connection.wakeUps.close();
    await pollUntil("nobody listens", async () => (await subscribers()).every((count) => count === 0));
  });
});
