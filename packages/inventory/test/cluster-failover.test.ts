/** V6 on a Cluster whose master dies with acknowledged sales that its replica never got. */
import { pollUntil, RedisCluster, type RedisServer } from "@holdfast/testkit";
import { Cluster } from "ioredis";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Inventory, startCursor, type Cursor, type Movement } from "../src/index.ts";
import { bucketKeys } from "../src/keys.ts";
import { failure, patient } from "./clients.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const name = "shop";
const key = bucketKeys("holdfast", name, 0).log;

/** Servers find one another again in a second or two, on a machine that is not busy. */
const inTime = { timeoutMs: 90_000 };

let cluster: RedisCluster;
const clients: Cluster[] = [];

beforeAll(async () => {
  cluster = await RedisCluster.start({ replicasPerMaster: 1 });
});
afterAll(async () => {
  for (const client of clients) client.disconnect();
  await cluster.stop();
});

function opened(): Inventory {
  const client = new Cluster(cluster.addresses, { redisOptions: { replyMapping: "legacy" } });
  client.on("error", () => undefined);
  clients.push(client);
  return new Inventory(client, name, patient);
}

async function sell(stock: Inventory, from: number, count: number): Promise<void> {
  for (let index = from; index < from + count; index += 1) {
    await stock.decrement({ operationId: `order-${index}`, lines: [line("mug", 1)] });
  }
}

async function all(stock: Inventory, after: Cursor = startCursor): Promise<Movement[]> {
  const movements: Movement[] = [];
  for await (const movement of stock.movements({ after })) movements.push(movement);
  return movements;
}

async function offsetOf(server: RedisServer, field: string): Promise<number> {
  const info = String(await server.call("INFO", "replication"));
  return Number(new RegExp(`^${field}:(\\d+)`, "mu").exec(info)?.[1]);
}

/** The replica gets nothing more of its master. */
async function cutOff(master: RedisServer, replica: RedisServer): Promise<void> {
  await pollUntil(
    "the replica has what its master has",
    async () => {
      const wanted = await offsetOf(master, "master_repl_offset");
      return (await offsetOf(replica, "slave_repl_offset")) >= wanted;
    },
    inTime,
  );
  await replica.call("CONFIG", "SET", "masteruser", "nobody");
  await replica.call("CONFIG", "SET", "masterauth", "wrong");
  await master.call("CLIENT", "KILL", "TYPE", "replica");
  await pollUntil(
    "the replica has lost its master",
    async () => String(await replica.call("INFO", "replication")).includes("master_link_status:down"),
    inTime,
  );
}

it("V6 the cursor notices in every place, and the fork is resolved as on one server", async () => {
  const before = opened();
  await before.restock({ operationId: "k", lines: [line("mug", 50)] });
  await sell(before, 0, 4);
  const shared = await before.cursor();
  const master = await cluster.masterOf(key);
  const [replica] = await cluster.replicasOf(master);
  if (replica === undefined) throw new Error("the master has no replica");
  await cutOff(master, replica);
  await sell(before, 100, 5);
  const cursor = await before.cursor();
  expect(cursor.sequence).toBe(10);
  await master.kill();
  await replica.call("CLUSTER", "FAILOVER", "TAKEOVER");
  expect(await cluster.waitForNewMaster(key, master, inTime.timeoutMs)).toBe(replica);
  const stock = opened();
  await pollUntil("the Cluster answers", () => stock.level("mug").catch(() => undefined), inTime);
  expect((await stock.level("mug")).onHand).toBe(46);
  const forked = { name: "ForkedLogError", sequence: 10, effect: "none" };
  expect(await failure(all(stock, cursor))).toMatchObject({ ...forked, found: null });
  await sell(stock, 200, 8);
  expect(await failure(all(stock, cursor))).toMatchObject(forked);
  expect(await failure(stock.seed({ mug: 1 }, { ifCursor: cursor }))).toMatchObject(forked);
  expect(await failure(stock.consumer("ledger").commit(cursor))).toMatchObject(forked);
  expect(await failure(stock.reconcile({ mug: 41 }, cursor))).toMatchObject(forked);
  // A sale that was taken back is not known any more: its repeat sells again, and nothing twice.
  expect((await stock.decrement({ operationId: "order-100", lines: [line("mug", 1)] })).kind).toBe("decremented");
  expect((await stock.decrement({ operationId: "order-3", lines: [line("mug", 1)] })).kind).toBe("decremented");
  expect((await stock.level("mug")).onHand).toBe(37);
  // 41 is what a ledger had that knows all five lost sales; one of them was made again.
  const { drift, cursor: now } = await stock.reconcile({ mug: 41 + 1 }, shared);
  expect(drift).toEqual([{ sku: "mug", expected: 33, found: 37 }]);
  const seeded = await stock.seed({ mug: 33 }, { ifCursor: now });
  if (seeded.kind !== "seeded") throw new Error(`not seeded: ${seeded.kind}`);
  await stock.consumer("ledger").reset(seeded.cursor);
  await sell(stock, 300, 1);
  expect((await stock.consumer("ledger").next()).map(({ id }) => id)).toEqual(["order-300"]);
  expect((await stock.level("mug")).onHand).toBe(32);
});
