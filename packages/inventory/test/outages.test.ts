/** What a restart, a failover and a clock step leave behind, and how it is noticed. Real servers that die. */
import { ClockSkew, pollUntil, RedisServer } from "@holdfast/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { Inventory, type Cursor, type Movement } from "../src/index.ts";
import { failure, openClients, patient, serverMs } from "./clients.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const open = openClients();
const servers: RedisServer[] = [];
const skewed = await ClockSkew.available();

afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function started(options: Parameters<typeof RedisServer.start>[0] = {}): Promise<RedisServer> {
  const server = await RedisServer.start(options);
  servers.push(server);
  return server;
}

async function sell(stock: Inventory, from: number, count: number): Promise<void> {
  for (let index = from; index < from + count; index += 1) {
    await stock.decrement({ operationId: `order-${index}`, lines: [line("mug", 1)] });
  }
}

async function all(stock: Inventory, after?: Cursor): Promise<Movement[]> {
  const movements: Movement[] = [];
  for await (const movement of stock.movements({ after })) movements.push(movement);
  return movements;
}

describe("a Redis that is killed", () => {
  it("with an append-only file nothing acknowledged is lost, and holds live on", async () => {
    const server = await started({ aof: "always" });
    const stock = new Inventory(open(server), "shop", patient);
    await stock.restock({ operationId: "k", lines: [line("mug", 9)] });
    await sell(stock, 0, 3);
    await stock.reserve({ reservationId: "r", lines: [line("mug", 2)] });
    const cursor = await stock.cursor();
    await server.kill();
    await server.restart();
    const again = new Inventory(open(server), "shop", patient);
    expect(await again.level("mug")).toEqual({ onHand: 6, reserved: 2, available: 4 });
    expect(await again.cursor()).toEqual(cursor);
    expect((await again.confirm({ reservationId: "r" })).kind).toBe("confirmed");
    expect(await again.decrement({ operationId: "order-1", lines: [line("mug", 1)] })).toMatchObject({
      kind: "decremented",
    });
    expect((await again.level("mug")).onHand).toBe(4);
  });

  it("without one everything is lost: the cursor meets a gap, and the ledger seeds what it knows", async () => {
    const server = await started();
    const stock = new Inventory(open(server), "shop", patient);
    await stock.restock({ operationId: "k", lines: [line("mug", 9)] });
    await sell(stock, 0, 3);
    const ledger = stock.consumer("ledger");
    const cursor = (await ledger.next()).at(-1) as Movement;
    await ledger.commit(cursor);
    await server.kill();
    await server.restart();
    const again = new Inventory(open(server), "shop", patient);
    expect(await failure(again.movements({ after: cursor }).next())).toMatchObject({
      name: "MovementGapError",
      foundSequence: null,
    });
    expect(await again.decrement({ operationId: "order-9", lines: [line("mug", 1)] })).toMatchObject({
      kind: "insufficient",
    });
    const seeded = await again.seed({ mug: 6 }, { ifCursor: await again.cursor() });
    expect(seeded.kind).toBe("seeded");
    expect((await failure(again.movements({ after: cursor }).next())).name).toBe("MovementGapError");
    expect((await again.level("mug")).onHand).toBe(6);
  });
});

it("durability: an order that too few replicas confirm says so under its own id, and stands on the master", async () => {
  const server = await started();
  const stock = new Inventory(open(server), "shop", { ...patient, durability: { replicas: 1, timeoutMs: 50 } });
  const plain = new Inventory(open(server), "shop", patient);
  await plain.restock({ operationId: "k", lines: [line("mug", 9)] });
  const orders = ["a", "b"].map((operationId) => failure(stock.decrement({ operationId, lines: [line("mug", 1)] })));
  for (const [index, error] of (await Promise.all(orders)).entries()) {
    expect(error).toMatchObject({ name: "NotReplicatedError", operationId: ["a", "b"][index], effect: "possible" });
  }
  expect((await plain.level("mug")).onHand).toBe(7);
  expect((await plain.decrement({ operationId: "a", lines: [line("mug", 1)] })).kind).toBe("decremented");
});

describe("a failover that takes acknowledged sales back", () => {
  async function fork(lost: number, made: number): Promise<{ stock: Inventory; seen: readonly Movement[] }> {
    const master = await started({ config: { "repl-diskless-sync-delay": 0 } });
    const replica = await started({ config: { replicaof: `${master.host} ${master.port}` } });
    const before = new Inventory(open(master), "shop", patient);
    await before.restock({ operationId: "k", lines: [line("mug", 50)] });
    await sell(before, 0, 4);
    await pollUntil("the replica has it all", async () => {
      const [a, b] = await Promise.all(
        [master, replica].map((server) => server.call("XLEN", "holdfast:{inventory:shop}:log")),
      );
      return a === b && a === 5;
    });
    await replica.call("REPLICAOF", "NO", "ONE");
    await sell(before, 100, lost);
    const seen = await all(before);
    const stock = new Inventory(open(replica), "shop", patient);
    await sell(stock, 200, made);
    return { stock, seen };
  }

  it.each([
    ["more", 5, 8],
    ["as many", 5, 5],
    ["fewer", 5, 2],
  ])("V6 %s new movements than were lost: the cursor notices in every place", async (_, lost, made) => {
    const { stock, seen } = await fork(lost, made);
    const cursor = seen.at(-1) as Movement;
    expect((await failure(all(stock, cursor))).name).toBe("ForkedLogError");
    expect((await failure(stock.seed({ mug: 1 }, { ifCursor: cursor }))).name).toBe("ForkedLogError");
    expect((await failure(stock.consumer("ledger").commit(cursor))).name).toBe("ForkedLogError");
    expect((await failure(stock.reconcile({ mug: 41 }, cursor))).name).toBe("ForkedLogError");
  });

  it("V6 counter-test: by number alone a ledger skips five movements, keeps five that never were, and sees no gap", async () => {
    const { stock, seen } = await fork(5, 8);
    const now = await all(stock);
    const byNumber = [...seen, ...now.filter(({ sequence }) => sequence > seen.length)];
    expect(byNumber.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 13 }, (_, index) => index + 1));
    const sold = (movements: readonly Movement[]) =>
      movements.filter(({ kind }) => kind === "decrement").map(({ id }) => id);
    expect(sold(byNumber).filter((id) => !sold(now).includes(id))).toHaveLength(5);
    expect(sold(now).filter((id) => !sold(byNumber).includes(id))).toHaveLength(5);
  });

  it("V6 a fork is resolved: compared from a place that both have, seeded, and read on", async () => {
    const { stock, seen } = await fork(5, 8);
    const shared = seen[4] as Movement;
    // The ledger has the five sales that Redis lost, and has to hear of the eight new ones.
    const ledgerAtFork = 46 - 5;
    const news = await all(stock, shared);
    expect(news).toHaveLength(8);
    const { drift, cursor } = await stock.reconcile({ mug: ledgerAtFork }, shared);
    expect(drift).toEqual([{ sku: "mug", expected: 33, found: 38 }]);
    expect((await stock.seed({ mug: 33 }, { ifCursor: cursor })).kind).toBe("seeded");
    const consumer = stock.consumer("ledger");
    await consumer.reset(await stock.cursor());
    await sell(stock, 300, 1);
    expect((await consumer.next()).map(({ id }) => id)).toEqual(["order-300"]);
    expect((await stock.level("mug")).onHand).toBe(32);
  });
});

describe.runIf(skewed)("a clock that steps", () => {
  async function skew(): Promise<{ server: RedisServer; stock: Inventory; set: (offsetMs: number) => Promise<void> }> {
    const clock = await ClockSkew.create();
    const server = await started({ env: clock.env });
    const stock = new Inventory(open(server), "shop", { ...patient, holdMs: 60_000 });
    await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
    return { server, stock, set: (offsetMs) => clock.set(offsetMs) };
  }

  it("V4 forward: holds end early, and their payment has the units again or hears no", async () => {
    const { stock, set } = await skew();
    await stock.reserve({ reservationId: "r", lines: [line("mug", 2)] });
    await set(61_000);
    expect(await stock.level("mug")).toEqual({ onHand: 5, reserved: 0, available: 5 });
    expect((await stock.confirm({ reservationId: "r" })).kind).toBe("expired");
    expect((await stock.confirm({ reservationId: "r", retakeIfExpired: true })).kind).toBe("confirmed");
  });

  it("K8 back: a hold that would last an hour longer than asked for ends at its length from the first sweep", async () => {
    const { server, stock, set } = await skew();
    await set(3_600_000);
    await stock.reserve({ reservationId: "r", lines: [line("mug", 2)] });
    await set(0);
    const swept = await stock.sweep();
    const leftMs = (swept.nextExpiryAtMs ?? 0) - (await serverMs(server));
    expect(leftMs).toBeGreaterThan(50_000);
    expect(leftMs).toBeLessThanOrEqual(60_001);
    await set(60_500);
    expect(await stock.level("mug")).toEqual({ onHand: 5, reserved: 0, available: 5 });
  });

  it("V8 back: records and live holds outlive the step, whatever turns they take", async () => {
    const { stock, set } = await skew();
    const brief = new Inventory(open(servers.at(-1) as RedisServer), "shop", {
      rememberMs: 1_000,
      ...patient,
    });
    await set(100_000);
    await brief.reserve({ reservationId: "r", holdMs: 3_600_000, lines: [line("mug", 2)] });
    await brief.decrement({ operationId: "d", lines: [line("mug", 1)] });
    await set(0);
    expect((await brief.decrement({ operationId: "d", lines: [line("mug", 1)] })).kind).toBe("decremented");
    for (let turn = 1; turn < 6; turn += 1) {
      // A turn takes the time of a command beside what is to be remembered.
      await set(turn * 70_000);
      await brief.restock({ operationId: `turn-${turn}`, lines: [line("cup", 1)] });
    }
    expect(await stock.level("mug")).toEqual({ onHand: 4, reserved: 2, available: 2 });
    expect((await brief.confirm({ reservationId: "r" })).kind).toBe("confirmed");
  });
});

it("V6 a reader that follows hears of new movements, and stops when it is told to", async () => {
  const server = await started();
  const stock = new Inventory(open(server), "shop", patient);
  const controller = new AbortController();
  const heard: string[] = [];
  const reading = (async () => {
    for await (const { id } of stock.movements({ follow: true, pollMs: 10, signal: controller.signal })) heard.push(id);
  })();
  await stock.restock({ operationId: "k", lines: [line("mug", 3)] });
  await pollUntil("the first was heard", () => heard.length === 1);
  await sell(stock, 0, 2);
  await pollUntil("the others were heard", () => heard.length === 3);
  controller.abort(new Error("enough"));
  expect((await failure(reading)).message).toBe("enough");
  expect(heard).toEqual(["k", "order-0", "order-1"]);
});
