/**
 * Guards of the scripts one by one, those included that no caller of this version gets to: a script is also asked by older and newer
 * clients, and by late requests.
 */
import { Connection, EventSink } from "@holdfast/core";
import { FaultProxy, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Bucket } from "../src/bucket.ts";
import { Inventory, type InventoryEvent } from "../src/index.ts";
import { bucketKeys } from "../src/keys.ts";
import { resolveInventoryOptions } from "../src/options.ts";
import { decrementOrder, reserveOrder, type Order } from "../src/order.ts";
import { parcelOf } from "../src/parcel.ts";
import { endHolds, failure, openClients, passed, patient, serverMs } from "./clients.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const keys = bucketKeys("holdfast", "shop", 0);
const open = openClients();

let server: RedisServer;
let stock: Inventory;

beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());
beforeEach(async () => {
  await server.call("FLUSHALL");
  stock = new Inventory(open(server), "shop", patient);
});

function bucket(buckets?: Record<string, number>): Bucket {
  const options = resolveInventoryOptions({ buckets });
  return new Bucket(Connection.of(open(server)), "shop", 0, options, new EventSink<InventoryEvent>("test:inventory"));
}

async function everything(): Promise<unknown> {
  const { stock: counters, recordsA, due, log, transit } = bucketKeys("holdfast", "shop", 0);
  const hashes = [counters, recordsA, transit].map((key) => server.call("HGETALL", key));
  return Promise.all([...hashes, server.call("ZRANGE", due, 0, -1, "WITHSCORES"), server.call("XLEN", log)]);
}

describe("a counter that was spoilt", () => {
  const calls: readonly (readonly [string, (stock: Inventory) => Promise<unknown>])[] = [
    ["decrement", (spoilt) => spoilt.decrement({ operationId: "d", lines: [line("mug", 1)] })],
    ["confirm", (spoilt) => spoilt.confirm({ reservationId: "long" })],
    ["release", (spoilt) => spoilt.release({ reservationId: "long" })],
    ["extend", (spoilt) => spoilt.extend({ reservationId: "long", operationId: "e", holdMs: 3_600_000 })],
    ["outcome", (spoilt) => spoilt.outcome("never")],
    ["level", (spoilt) => spoilt.level("mug")],
    ["sweep", (spoilt) => spoilt.sweep()],
    ["seed", async (spoilt) => spoilt.seed({ mug: 9 }, { ifCursor: await lastCursor() })],
  ];

  /** Without a call that returns due holds. */
  async function lastCursor(): Promise<{ sequence: number; stamp: string }> {
    let cursor = { sequence: 0, stamp: "" };
    for await (const { sequence, stamp } of stock.movements()) cursor = { sequence, stamp };
    return cursor;
  }

  it.each(calls)("V1 stops %s before it takes a due hold off it, and is named", async (_, call) => {
    await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
    await stock.reserve({ reservationId: "long", lines: [line("cup", 1)], allowPartial: true });
    const due = await stock.reserve({ reservationId: "due", holdMs: 50, lines: [line("mug", 2)] });
    await passed(server, due.kind === "reserved" ? due.expiresAtMs : 0);
    await server.call("HSET", keys.stock, "r#mug", 1);
    const before = await everything();
    const error = await failure(call(stock));
    expect(error).toMatchObject({ name: "InconsistentStockError", field: "r#mug", effect: "none" });
    expect(await everything()).toEqual(before);
  });

  it("V9 is neither lent nor added to", async () => {
    const spread = bucket({ mug: 2 });
    await spread.open();
    await server.call("HSET", keys.stock, "mug", "-3");
    const before = await everything();
    const spoilt = { name: "InconsistentStockError", field: "mug", effect: "none" };
    expect(await failure(spread.lend(1, "mug", 1))).toMatchObject(spoilt);
    expect(await failure(spread.receive(parcelOf(1, 0, "1795316798360624 mug 2")))).toMatchObject(spoilt);
    expect(await everything()).toEqual(before);
  });
});

describe("orders", () => {
  const wrong = [0, -1, 1.5, 2 ** 40 + 1, Number.NaN, Number.POSITIVE_INFINITY];

  it.each(wrong)("V7 of %d units are refused by the script itself, and change nothing", async (quantity) => {
    await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
    const before = await everything();
    const orders = [
      decrementOrder({ operationId: "d", lines: [line("mug", 1)] }),
      reserveOrder({ reservationId: "r", lines: [line("mug", 1)] }, 1_000),
    ];
    for (const order of orders) {
      const forged: Order = {
        ...order,
        basket: { ...order.basket, quantities: [quantity], text: `mug ${quantity}` },
      };
      expect((await failure(bucket().apply(forged, true))).name).toBe("UnexpectedReplyError");
    }
    expect(await everything()).toEqual(before);
  });

  it("K1 that arrive after their caller has given up do nothing, although nobody asked for their outcome", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
    const proxy = await FaultProxy.start(server);
    try {
      const client = open(proxy);
      const slow = new Inventory(client, "shop", { commandTimeoutMs: 1_000 });
      // The server's time is known from here on.
      await new Inventory(client, "shop", patient).level("mug");
      const held = proxy.hold("request", "evalsha");
      const calls = [
        slow.decrement({ operationId: "d", lines: [line("mug", 1)] }),
        slow.reserve({ reservationId: "r", lines: [line("mug", 1)] }),
      ];
      for (const call of calls) expect((await failure(call)).name).toBe("OutcomeUnknownError");
      held.release();
      // Behind what was held, on the same connection.
      await client.ping();
      expect(await stock.level("mug")).toEqual({ onHand: 5, reserved: 0, available: 5 });
    } finally {
      await proxy.close();
    }
  });
});

describe("reservations", () => {
  it("V2 that were refused for want of stock are absent for whoever confirms or releases them", async () => {
    expect((await stock.reserve({ reservationId: "r", lines: [line("mug", 1)] })).kind).toBe("insufficient");
    expect((await stock.confirm({ reservationId: "r" })).kind).toBe("absent");
    expect((await stock.confirm({ reservationId: "r", retakeIfExpired: true })).kind).toBe("absent");
    expect((await stock.release({ reservationId: "r" })).kind).toBe("absent");
  });

  it("V4 that were released leave nothing to return when their hold would have ended", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
    await stock.reserve({ reservationId: "r", lines: [line("mug", 2)] });
    expect((await stock.release({ reservationId: "r" })).kind).toBe("released");
    await endHolds(server);
    expect(await stock.sweep()).toMatchObject({ expired: 0, nextExpiryAtMs: null });
    expect(await stock.level("mug")).toEqual({ onHand: 5, reserved: 0, available: 5 });
  });

  it("V4 that have expired are taken again in part, but no more than was held", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
    const held = await stock.reserve({ reservationId: "r", holdMs: 50, lines: [line("mug", 3)] });
    await passed(server, held.kind === "reserved" ? held.expiresAtMs : 0);
    const again = (quantity: number): Promise<{ kind: string }> =>
      stock.confirm({ reservationId: "r", retakeIfExpired: true, lines: [line("mug", quantity)] });
    expect((await failure(again(4))).name).toBe("ExceedsReservationError");
    expect(await again(2)).toEqual({ kind: "confirmed", lines: [line("mug", 2)] });
    expect(await stock.level("mug")).toEqual({ onHand: 3, reserved: 0, available: 3 });
  });

  it("V2 that have expired are not refused for want of units that due holds still have", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 150)] });
    const late = await stock.reserve({ reservationId: "late", holdMs: 50, lines: [line("mug", 120)] });
    await passed(server, late.kind === "reserved" ? late.expiresAtMs : 0);
    await stock.sweep();
    await Promise.all(
      Array.from({ length: 150 }, (_, cart) =>
        stock.reserve({ reservationId: `cart-${cart}`, lines: [line("mug", 1)] }),
      ),
    );
    await endHolds(server);
    const kinds: string[] = [];
    // A hundred holds are returned at a time: too few for the first call, and it must not say no.
    while (kinds.at(-1) !== "confirmed" && kinds.length < 3) {
      kinds.push((await stock.confirm({ reservationId: "late", retakeIfExpired: true })).kind);
    }
    expect(kinds).toEqual(["busy", "confirmed"]);
  });
});

describe("a seed", () => {
  it("V8 under an id older than what is remembered is refused", async () => {
    const hex = Math.floor((await serverMs(server)) - 8 * 86_400_000)
      .toString(16)
      .padStart(12, "0");
    const operationId = `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
    const error = await failure(stock.seed({ mug: 1 }, { ifCursor: { sequence: 0, stamp: "" }, operationId }));
    expect(error.name).toBe("IdForgottenError");
    expect((await stock.level("mug")).onHand).toBe(0);
  });

  it("of none makes a sku known that was never there, and moves nothing", async () => {
    expect((await stock.seed({ mug: 0 }, { ifCursor: { sequence: 0, stamp: "" } })).kind).toBe("seeded");
    const skus: string[] = [];
    for await (const sku of stock.skus()) skus.push(sku);
    expect(skus).toEqual(["mug"]);
    expect(await stock.cursor()).toEqual({ sequence: 0, stamp: "" });
  });
});

describe("a bucket", () => {
  it("V9 agrees on one number of buckets, before any other bucket is used", async () => {
    await bucket({ mug: 2 }).open();
    const before = await everything();
    const error = await failure(bucket({ mug: 3 }).open());
    expect(error).toMatchObject({ name: "BucketsMismatchError", effect: "none" });
    expect(await everything()).toEqual(before);
    await bucket({ mug: 2 }).open();
  });

  it("V9 that has nothing lends nothing, and leaves no movement", async () => {
    const spread = bucket({ mug: 2 });
    await spread.open();
    const before = await everything();
    expect(await spread.lend(1, "mug", 1)).toBeNull();
    expect(await everything()).toEqual(before);
  });

  it("K5 numbers its parcels upwards, also when the clock went back", async () => {
    const spread = bucket({ mug: 2 });
    await spread.open();
    await server.call("HSET", keys.stock, "mug", 5);
    await server.call("HSET", keys.transit, "last:1", "2999999999999998");
    expect(await spread.lend(1, "mug", 2)).toMatchObject({ number: "2999999999999999", quantity: "2" });
    // One parcel at a time: the one under way is delivered first.
    expect(await spread.lend(1, "mug", 2)).toMatchObject({ number: "2999999999999999" });
  });
});
