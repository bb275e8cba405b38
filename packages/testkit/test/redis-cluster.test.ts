import { Cluster } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RedisCluster, slotOfKey } from "../src/index.ts";

describe("RedisCluster", () => {
  let cluster: RedisCluster;
  let client: Cluster;

  beforeAll(async () => {
    cluster = await RedisCluster.start({ aof: "always" });
    client = new Cluster(cluster.addresses, { slotsRefreshTimeout: 20_000 });
  });
  afterAll(async () => {
    client.disconnect();
    await cluster.stop();
  });

  it("has three masters with a replica each, and every slot served", async () => {
    const masters = await cluster.masters();
    expect(masters).toEqual(cluster.nodes.slice(0, 3));
    for (const master of masters) expect(await cluster.replicasOf(master)).toHaveLength(1);
    await Promise.all(Array.from({ length: 100 }, (_, index) => client.set(`key:${index}`, index)));
    expect(await client.get("key:99")).toBe("99");
  });

  it("computes the slot of a key as Redis does", async () => {
    const [node] = cluster.nodes;
    for (const key of ["a", "{a}b", "x{}y", "x{y", "{{a}}", "ключ", "", "foo{bar}{zap}"]) {
      expect([key, slotOfKey(key)]).toEqual([key, await node?.call("CLUSTER", "KEYSLOT", key)]);
    }
  });

  it("moves a slot with its keys while a client writes to it, and loses nothing", async () => {
    const slot = slotOfKey("{hot}");
    const from = await cluster.masterOf(slot);
    const to = (await cluster.masters()).find((master) => master !== from) ?? from;
    await Promise.all(Array.from({ length: 200 }, (_, index) => client.set(`{hot}:${index}`, index)));
    const moving = new AbortController();
    let written = 0;
    const writer = (async () => {
      while (!moving.signal.aborted) {
        await client.incr("{hot}:counter");
        written += 1;
      }
    })();
    const kinds = new Set<string>();
    const moved = await cluster.moveSlot(slot, to, {
      batch: 10,
      onStep: async (step) => {
        kinds.add(step.kind);
        // While the slot is half moved, both a key that is there and one that has moved are found.
        await client.incr("{hot}:seen");
      },
    });
    moving.abort();
    await writer;
    expect(moved).toBeGreaterThanOrEqual(200);
    expect(kinds).toEqual(new Set(["migrating", "keys", "moved"]));
    expect(await cluster.masterOf(slot)).toBe(to);
    expect(Number(await client.get("{hot}:counter"))).toBe(written);
    const values = await Promise.all(Array.from({ length: 200 }, (_, index) => client.get(`{hot}:${index}`)));
    expect(values).toEqual(Array.from({ length: 200 }, (_, index) => String(index)));
    expect(await from.call("CLUSTER", "COUNTKEYSINSLOT", slot)).toBe(0);
  });

  it("moves many slots and reports progress", async () => {
    const [to] = await cluster.masters();
    if (to === undefined) throw new Error("no master");
    const slots = Array.from({ length: 50 }, (_, index) => 16_300 + index);
    const done: number[] = [];
    await cluster.moveSlots(slots, to, {
      onStep: (step) => {
        if (step.kind === "moved") done.push(step.slotsDone);
      },
    });
    expect(done).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
    expect(await cluster.masterOf(16_310)).toBe(to);
    await cluster.ready();
  });

  it("fails over on request", async () => {
    const old = await cluster.masterOf("failover");
    await client.set("failover", "kept");
    const promoted = await cluster.failover(old);
    expect(promoted).not.toBe(old);
    expect(await cluster.masterOf("failover")).toBe(promoted);
    expect(await client.get("failover")).toBe("kept");
    await cluster.ready();
  });

  it("replaces a killed master by its replica, and takes it back as a replica", async () => {
    const old = await cluster.masterOf("killed");
    await old.kill();
    const promoted = await cluster.waitForNewMaster("killed", old);
    expect(promoted).not.toBe(old);
    await old.restart();
    await cluster.ready();
    expect(await cluster.replicasOf(promoted)).toEqual([old]);
    expect(await client.set("killed", "back")).toBe("OK");
  }, 120_000);
});
