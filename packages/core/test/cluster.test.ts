/** The same on a Redis Cluster: slots, moves, failovers, replicas and sharded hints. */
import type { Socket } from "node:net";
import { pollUntil, RedisCluster, type RedisServer } from "@holdfast/testkit";
import { Cluster } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { checkServer, Connection, keySpace, slotOf } from "../src/index.ts";
import { failure, patientMs } from "./clients.ts";
import { apply, peek, testScript } from "./test-script.ts";

let cluster: RedisCluster;
let client: Cluster;
let connection: Connection;

beforeAll(async () => {
  cluster = await RedisCluster.start();
});
afterAll(() => cluster.stop());
beforeEach(() => {
  client = new Cluster(cluster.addresses, { slotsRefreshTimeout: 20_000 });
  client.on("error", () => undefined);
  connection = Connection.of(client);
});
afterEach(async () => {
  await connection.close();
  client.disconnect();
});

const spaceOf = (name: string) => keySpace("holdfast", "test", name);

function add(name: string, id: string, options: object = {}): Promise<unknown[]> {
  const space = spaceOf(name);
  const keys = { count: space.key("count"), record: space.key(`record:${id}`) };
  const call = { operation: `add ${name}`, operationId: id, timeoutMs: patientMs, ...options };
  return connection.run(apply, keys, { operationId: id }, call);
}

/** A name whose keys this master serves. */
async function nameAt(master: RedisServer, prefix: string): Promise<string> {
  for (let index = 0; ; index += 1) {
    const name = `${prefix}${index}`;
    if ((await cluster.masterOf(spaceOf(name).slotKey)) === master) return name;
  }
}

async function otherMaster(than: RedisServer): Promise<RedisServer> {
  const other = (await cluster.masters()).find((master) => master !== than);
  if (other === undefined) throw new Error("there is one master only");
  return other;
}

describe("scripts on a Cluster", () => {
  it("K6 keys of one resource are served together, wherever its slot lies", async () => {
    const names = Array.from({ length: 60 }, (_, index) => `spread${index}`);
    const replies = await Promise.all(names.map((name) => add(name, "1")));
    expect(replies.map(([tag, number]) => [tag, number])).toEqual(names.map(() => ["applied", 1]));
    expect(new Set(names.map((name) => slotOf(spaceOf(name).slotKey) % 3)).size).toBeGreaterThan(1);
  });

  it("K6 counter-test: keys of two slots, or a key that is not declared, are refused before anything is written", async () => {
    const basket = testScript("basket", ["first", "second"], ["notAfterUs"]);
    const call = { operation: "basket", operationId: "1", timeoutMs: patientMs };
    const crossed = await failure(connection.run(basket, { first: "{a}1", second: "{b}1" }, {}, call));
    expect(crossed).toMatchObject({ name: "RedisRefusedError", reason: "CROSSSLOT", effect: "none" });
    const undeclared = testScript("two-slots", ["first"], ["undeclared"]);
    const error = await failure(connection.run(undeclared, { first: "{a}1" }, { undeclared: "{b}1" }, call));
    expect(error.message).toMatch(/non local key/);
  });

  it("each node's clock is estimated by itself", async () => {
    const [first, second] = await cluster.masters();
    if (first === undefined || second === undefined) throw new Error("two masters are needed");
    const [a, b] = [await nameAt(first, "clock"), await nameAt(second, "clock")];
    await add(a, "c1");
    const nodeOf = (master: RedisServer): string => `${master.host}:${master.port}`;
    expect(connection.serverClock.estimateUs(nodeOf(first), a)).toBeGreaterThan(0);
    expect(connection.serverClock.estimateUs(nodeOf(second), b)).toBeUndefined();
    await add(b, "c1");
    expect(connection.serverClock.estimateUs(nodeOf(second), b)).toBeGreaterThan(0);
  });

  it("SCRIPT FLUSH on every node costs nothing but the text", async () => {
    await Promise.all(cluster.nodes.map((node) => node.call("SCRIPT", "FLUSH")));
    expect(
      (await Promise.all(["f1", "f2", "f3", "f4"].map((name) => add(name, "1")))).every(([tag]) => tag === "applied"),
    ).toBe(true);
  });

  it("calls go on while their slot moves, each applied once", async () => {
    const name = "moving";
    await add(name, "warm");
    const slot = slotOf(spaceOf(name).slotKey);
    const from = await cluster.masterOf(slot);
    const state = { isMoving: true };
    const moving = otherMaster(from)
      .then((to) => cluster.moveSlot(slot, to, { batch: 5 }))
      .finally(() => {
        state.isMoving = false;
      });
    let calls = 0;
    // A slot that moves answers TRYAGAIN while some of a script's keys have gone: nothing was done, and the call is made again.
    const addSurely = async (id: string): Promise<void> => {
      await pollUntil(`${id} is applied`, () => add(name, id).then(() => true));
    };
    while (state.isMoving || calls < 50) {
      calls += 1;
      await addSurely(String(calls));
    }
    await moving;
    expect(await cluster.masterOf(slot)).not.toBe(from);
    const [, total] = await add(name, "last");
    expect(total).toBe(calls + 2);
  });
});

describe("a slot that stays half moved", () => {
  it("makes a call with a new key unavailable, with no effect, until it has moved", async () => {
    const name = "stuck";
    await add(name, "1");
    const slot = slotOf(spaceOf(name).slotKey);
    let error: Error | undefined;
    await cluster.moveSlot(slot, await otherMaster(await cluster.masterOf(slot)), {
      onStep: async ({ kind }) => {
        // A client that drops a connection to any node meanwhile, as when a replica was not listed for a moment, cannot tell.
        if (kind === "keys")
          error = await pollUntil("a call keeps its connections", async () => {
            const refused = await failure(add(name, "2"));
            return refused.name !== "OutcomeUnknownError" && refused;
          });
      },
    });
    expect(error).toMatchObject({ name: "RedisUnavailableError", effect: "none" });
    expect(error).toMatchObject({ reason: expect.stringMatching(/^(TRYAGAIN|ASK|MOVED)$/) });
    expect(await add(name, "2")).toEqual(["applied", 2, "2"]);
  });
});

describe("a connection that is lost behind ASKING", () => {
  it("fails the call that was redirected and leaves no rejection unhandled, which would end the process", async () => {
    const name = "asked";
    const space = spaceOf(name);
    await add(name, "1");
    const slot = slotOf(space.slotKey);
    const from = await cluster.masterOf(slot);
    const to = await otherMaster(from);
    const unhandled: unknown[] = [];
    const onUnhandled = (error: unknown): void => {
      unhandled.push(error);
    };
    process.on("unhandledRejection", onUnhandled);
    try {
      let error: Error | undefined;
      await cluster.moveSlot(slot, to, {
        // All keys have gone, so the old master redirects; the new one stands still, so nothing is answered.
        onStep: async ({ kind }) => {
          if (kind !== "keys" || (await from.call("CLUSTER", "COUNTKEYSINSLOT", slot)) !== 0) return;
          const node = client.nodes("master").find(({ options }) => options.port === to.port);
          const connected = node as unknown as { stream: Socket; commandQueue: { length: number } };
          to.pause();
          try {
            const called = failure(add(name, "2", { timeoutMs: 2_000 }));
            await pollUntil("ASKING is under way", async () => connected.commandQueue.length >= 2);
            connected.stream.destroy();
            error = await called;
          } finally {
            to.resume();
          }
        },
      });
      expect(error).toBeDefined();
      expect(unhandled).toEqual([]);
    } finally {
      process.off("unhandledRejection", onUnhandled);
    }
  });
});

describe("durable writes on a Cluster", () => {
  it("reach the right node 30 of 30 times, also after their slot has moved", async () => {
    const durability = { replicas: 1, timeoutMs: patientMs };
    for (let index = 0; index < 30; index += 1) {
      const name = `durable${index}`;
      await add(name, "1", { durability });
      const master = await cluster.masterOf(spaceOf(name).slotKey);
      const [replica] = await cluster.replicasOf(master);
      expect(Number(await replica?.call("EXISTS", spaceOf(name).key("count")).catch(() => 1))).toBe(1);
      // A replica answers for the keys of its master only by redirection, so its own count of keys is asked.
      expect(String(await replica?.call("CLUSTER", "GETKEYSINSLOT", slotOf(spaceOf(name).slotKey), 10))).toContain(
        `${name}}:count`,
      );
    }
    const moved = "durable0";
    const slot = slotOf(spaceOf(moved).slotKey);
    await cluster.moveSlot(slot, await otherMaster(await cluster.masterOf(slot)));
    expect(await add(moved, "2", { durability })).toEqual(["applied", 2, "2"]);
  });

  it("follow a slot that is half moved", async () => {
    const durability = { replicas: 1, timeoutMs: patientMs };
    const name = "half";
    await add(name, "1", { durability });
    const slot = slotOf(spaceOf(name).slotKey);
    let whileMoving: unknown[] = [];
    let waiting: Promise<unknown[]> | undefined;
    await cluster.moveSlot(slot, await otherMaster(await cluster.masterOf(slot)), {
      onStep: async ({ kind }) => {
        if (kind !== "keys") return;
        // All keys have moved, the slot not yet: the new node serves them to those who ask.
        whileMoving = await add(name, "1", { durability });
        // One of these does not exist yet, so both nodes refuse until the slot has moved.
        waiting = add(name, "2", { durability });
      },
    });
    expect(whileMoving).toEqual(["applied", "1", "1"]);
    expect(await waiting).toEqual(["applied", 2, "2"]);
  });

  it("say so when the replica of their node does not confirm", async () => {
    const name = "alone";
    await add(name, "1");
    const [replica] = await cluster.replicasOf(await cluster.masterOf(spaceOf(name).slotKey));
    replica?.pause();
    const error = await failure(add(name, "2", { durability: { replicas: 1, timeoutMs: 100 } }));
    replica?.resume();
    expect(error).toMatchObject({ name: "NotReplicatedError", replicasConfirmed: 0 });
    await cluster.ready();
  });
});

describe("hints on a Cluster", () => {
  const tell = testScript("tell", ["value", "channel"], ["notAfterUs", "publish", "text"]);

  async function tellUntilHeard(name: string, text: string, heard: readonly unknown[]): Promise<void> {
    const space = spaceOf(name);
    await pollUntil(
      `${text} is heard`,
      async () => {
        const args = { publish: connection.publishCommand, text };
        const call = { operation: "tell", operationId: text, timeoutMs: patientMs };
        await connection
          .run(tell, { value: space.key("value"), channel: space.key("hints") }, args, call)
          .catch(() => undefined);
        return heard.includes(text);
      },
      { timeoutMs: patientMs, intervalMs: 50 },
    );
  }

  it("K4 are sharded, arrive over one subscriber per master, also after their slot has moved", async () => {
    expect(connection.publishCommand).toBe("SPUBLISH");
    const names = ["hint0", "hint1", "hint2", "hint3"];
    const heard = names.map(() => [] as (string | null)[]);
    for (const [index, name] of names.entries()) {
      connection.wakeUps.listen(spaceOf(name).key("hints"), (hint) => heard[index]?.push(hint));
    }
    for (const [index, name] of names.entries()) await tellUntilHeard(name, `to ${name}`, heard[index] ?? []);
    const slot = slotOf(spaceOf("hint0").slotKey);
    await cluster.moveSlot(slot, await otherMaster(await cluster.masterOf(slot)));
    await tellUntilHeard("hint0", "after the move", heard[0] ?? []);
    expect(heard[1]).not.toContain("to hint0");
  });

  it("arrive again after a failover, and the calls go on, each applied once", async () => {
    const name = "failing-over";
    const heard: (string | null)[] = [];
    connection.wakeUps.listen(spaceOf(name).key("hints"), (hint) => heard.push(hint));
    await tellUntilHeard(name, "before", heard);
    await add(name, "1", { durability: { replicas: 1, timeoutMs: patientMs } });
    const old = await cluster.masterOf(spaceOf(name).slotKey);
    await old.kill();
    await cluster.waitForNewMaster(spaceOf(name).slotKey, old);
    await pollUntil("a call gets through", () => add(name, "2").then(() => true), { timeoutMs: patientMs });
    expect(await add(name, "2")).toEqual(["applied", "2", "2"]);
    await tellUntilHeard(name, "after", heard);
    await old.restart();
    await cluster.ready();
  }, 120_000);

  it("work for a client with lazyConnect, no queues and a command timeout", async () => {
    const odd = new Cluster(cluster.addresses, {
      lazyConnect: true,
      enableOfflineQueue: false,
      redisOptions: { commandTimeout: 500, lazyConnect: true },
    });
    odd.on("error", () => undefined);
    const own = Connection.of(odd);
    const heard: (string | null)[] = [];
    own.wakeUps.listen(spaceOf("odd").key("hints"), (hint) => heard.push(hint));
    await tellUntilHeard("odd", "hello", heard);
    const call = { operation: "peek", timeoutMs: patientMs };
    const read = await pollUntil("the client's own timeout does not strike", () =>
      own.run(peek, { value: spaceOf("odd").key("value") }, {}, call),
    );
    expect(read).toEqual(["value", "hello"]);
    await own.close();
    odd.disconnect();
  });
});

describe("a Cluster client", () => {
  it("with a key prefix is refused, wherever it is set", () => {
    for (const options of [{ keyPrefix: "x:" }, { redisOptions: { keyPrefix: "x:" } }]) {
      const prefixed = new Cluster(cluster.addresses, { lazyConnect: true, ...options });
      expect(() => Connection.of(prefixed)).toThrow(/redis must have no keyPrefix, got "x:"/);
      prefixed.disconnect();
    }
  });

  it("is checked on every master", async () => {
    const startedMs = performance.now();
    const report = await checkServer(client, { commandTimeoutMs: patientMs });
    expect(report).toMatchObject({ role: "master", version: expect.stringMatching(/^\d+\.\d+/) });
    expect(Math.abs(report.clockOffsetMs ?? Infinity)).toBeLessThan(performance.now() - startedMs + 2);
    const last = (await cluster.masters()).at(-1);
    await last?.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
    expect((await checkServer(client, { commandTimeoutMs: patientMs })).findings).toMatchObject(
      expect.arrayContaining([expect.objectContaining({ topic: "eviction" })]),
    );
    await last?.call("CONFIG", "SET", "maxmemory-policy", "noeviction");
  });

  it("leaves nothing behind when it is closed", async () => {
    await add("bye", "1", { durability: { replicas: 1, timeoutMs: patientMs } });

    connection.wakeUps.listen(spaceOf("bye").key("hints"), () => undefined);
    await connection.close();
    client.disconnect();
    // Left are the links between the nodes and the connections that ask.
    const others = (list: string): string[] =>
      list
        .trim()
        .split("\n")
        .filter((line) => !/flags=[SM]|client\|list|cmd=restore-asking/.test(line));
    await pollUntil("nobody is connected", async () => {
      const lists = await Promise.all(cluster.nodes.map((node) => node.call("CLIENT", "LIST")));
      return lists.flatMap((list) => others(String(list))).length === 0;
    });
  });
});
