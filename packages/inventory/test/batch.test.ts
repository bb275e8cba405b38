/** Calls of one tick, which share a script: each has its own outcome, as if they had come one after the other. */
import { Connection, EventSink } from "@holdfast/core";
import { LeapClock } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { Bucket } from "../src/bucket.ts";
import { Inventory, type InventoryEvent } from "../src/index.ts";
import { bucketKeys } from "../src/keys.ts";
import { resolveInventoryOptions } from "../src/options.ts";
import { checkId } from "../src/order.ts";
import { endHolds, failure, openClients, patient, proxiedServer } from "./clients.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const keys = bucketKeys("holdfast", "shop", 0);
const open = openClients();
const place = proxiedServer();

let stock: Inventory;

beforeEach(async () => {
  stock = new Inventory(open(place.server), "shop", patient);
  await stock.restock({ operationId: "k", lines: [line("mug", 5), line("cup", 5)] });
});

async function everything(): Promise<unknown> {
  const { stock: counters, recordsA, due, log, transit } = keys;
  const hashes = [counters, recordsA, transit].map((key) => place.server.call("HGETALL", key));
  return Promise.all([
    ...hashes,
    place.server.call("ZRANGE", due, 0, -1, "WITHSCORES"),
    place.server.call("XLEN", log),
  ]);
}

/** How many scripts a function had the server run. */
async function scriptsOf(run: () => Promise<unknown>): Promise<number> {
  const count = async (): Promise<number> => {
    const text = String(await place.server.call("INFO", "commandstats"));
    return Number(/^cmdstat_evalsha:calls=(\d+)/mu.exec(text)?.[1] ?? 0);
  };
  const before = await count();
  await run();
  return (await count()) - before;
}

async function heldUntilPast(...reservations: readonly { reservationId: string; quantity: number }[]): Promise<void> {
  await Promise.all(
    reservations.map(({ reservationId, quantity }) => stock.reserve({ reservationId, lines: [line("mug", quantity)] })),
  );
  await endHolds(
    place.server,
    reservations.map(({ reservationId }) => reservationId),
  );
}

/** What the log says that there is, and the kinds of its movements from a number on. */
async function replayed(from = 1): Promise<{ levels: Record<string, object>; kinds: string[] }> {
  const levels: Record<string, { onHand: number; reserved: number }> = {};
  const kinds: string[] = [];
  for await (const { sequence, kind, changes } of stock.movements()) {
    if (sequence >= from) kinds.push(kind);
    for (const { sku, onHand, reserved } of changes) {
      const level = (levels[sku] ??= { onHand: 0, reserved: 0 });
      level.onHand += onHand;
      level.reserved += reserved;
    }
  }
  return { levels, kinds };
}

describe("an id that comes twice in one tick", () => {
  it("V2 is decided once: the same order hears the same, another one that the id is taken", async () => {
    const order = { operationId: "d", lines: [line("mug", 2)] };
    const calls = [
      stock.decrement(order),
      stock.decrement(order),
      failure(stock.decrement({ ...order, lines: [line("mug", 1)] })),
      failure(stock.reserve({ reservationId: "d", lines: [line("mug", 2)] })),
    ] as const;
    const [first, repeat, other, reserve] = await Promise.all(calls);
    expect(first).toEqual({ kind: "decremented", lines: [line("mug", 2)] });
    expect(repeat).toEqual(first);
    expect(other).toMatchObject({ name: "DifferentRequestError", field: "lines" });
    expect(reserve).toMatchObject({ name: "DifferentRequestError", field: "operation" });
    expect(await stock.level("mug")).toEqual({ onHand: 3, reserved: 0, available: 3 });
    expect((await replayed()).kinds).toEqual(["restock", "decrement"]);
  });

  it("V2 is refused once: a no stays a no for whoever asks again", async () => {
    const order = { reservationId: "r", lines: [line("mug", 6)] };
    const no = { kind: "insufficient", shortages: [{ sku: "mug", wanted: 6, available: 5 }] };
    expect(await Promise.all([stock.reserve(order), stock.reserve(order)])).toEqual([no, no]);
  });

  it("V4 ends a reservation once, and the later ends hear how", async () => {
    await stock.reserve({ reservationId: "r", lines: [line("mug", 2)] });
    // What another one holds, a second end could take without anybody noticing.
    await stock.restock({ operationId: "more", lines: [line("mug", 5)] });
    await stock.reserve({ reservationId: "other", lines: [line("mug", 8)] });
    const part = { reservationId: "r", operationId: "c", lines: [line("mug", 1)] };
    const kinds = await Promise.all([
      stock.confirm(part),
      stock.release({ reservationId: "r" }),
      stock.confirm(part),
      stock.confirm({ reservationId: "r" }),
    ]);
    expect(kinds.map(({ kind }) => kind)).toEqual(["confirmed", "already-confirmed", "confirmed", "already-confirmed"]);
    expect(await stock.level("mug")).toEqual({ onHand: 9, reserved: 8, available: 1 });
    expect((await replayed()).kinds).toEqual(["restock", "reserve", "restock", "reserve", "confirm"]);
  });

  it("shares the script with all others", async () => {
    const order = { operationId: "d", lines: [line("mug", 1)] };
    expect(await scriptsOf(() => Promise.all([stock.decrement(order), stock.decrement(order)]))).toBe(1);
    const end = { reservationId: "none" };
    expect(await scriptsOf(() => Promise.all([stock.release(end), stock.release(end)]))).toBe(1);
  });
});

describe("orders of one tick", () => {
  it("V3 take one after the other what is there, and what one may not have is left for the next", async () => {
    const take = (operationId: string, lines: ReturnType<typeof line>[], allowPartial = false): Promise<object> =>
      stock.decrement({ operationId, lines, allowPartial });
    const answers = await Promise.all([
      take("a", [line("mug", 3)]),
      take("b", [line("cup", 4), line("mug", 3)]),
      take("c", [line("cup", 5), line("mug", 3)], true),
      take("d", [line("mug", 1)], true),
    ]);
    expect(answers).toEqual([
      { kind: "decremented", lines: [line("mug", 3)] },
      { kind: "insufficient", shortages: [{ sku: "mug", wanted: 3, available: 2 }] },
      { kind: "decremented", lines: [line("cup", 5), line("mug", 2)] },
      { kind: "insufficient", shortages: [{ sku: "mug", wanted: 1, available: 0 }] },
    ]);
    expect(await stock.levels(["mug", "cup"])).toEqual(
      new Map(["mug", "cup"].map((sku) => [sku, { onHand: 0, reserved: 0, available: 0 }])),
    );
  });

  it("V1 that meet a spoilt counter in the middle write nothing, where each of them needs it", async () => {
    await place.server.call("HSET", keys.stock, "cup", "1.5");
    const before = await everything();
    const calls = [line("cup", 1), line("cup", 2), line("cup", 3)].map((each, index) =>
      failure(stock.reserve({ reservationId: `r${index}`, lines: [each, line("mug", 1)] })),
    );
    for (const error of await Promise.all(calls)) {
      expect(error).toMatchObject({ name: "InconsistentStockError", field: "cup", effect: "none" });
    }
    expect(await everything()).toEqual(before);
  });

  it("V1 that do not need a spoilt counter are carried out although others of the tick do", async () => {
    await stock.reserve({ reservationId: "held", lines: [line("mug", 1)] });
    await stock.reserve({ reservationId: "spoilt", lines: [line("cup", 1)] });
    await place.server.call("HSET", keys.stock, "r#cup", "1.5");
    const spoilt = { name: "InconsistentStockError", field: "r#cup", effect: "none" };
    const orders = [line("mug", 1), line("cup", 1), line("mug", 2)].map((each, index) =>
      stock.reserve({ reservationId: `r${index}`, lines: [each] }).catch((error: unknown) => error),
    );
    expect(await Promise.all(orders)).toMatchObject([{ kind: "reserved" }, spoilt, { kind: "reserved" }]);
    const ends = ["held", "spoilt"].map((reservationId) =>
      stock.confirm({ reservationId }).catch((error: unknown) => error),
    );
    expect(await Promise.all(ends)).toMatchObject([{ kind: "confirmed" }, spoilt]);
    expect(await stock.level("mug")).toEqual({ onHand: 4, reserved: 3, available: 1 });
  });

  it("V7 that would exceed 2^53 together are stopped at the one that does", async () => {
    await stock.seed({ mug: Number.MAX_SAFE_INTEGER - 3 }, { ifCursor: await stock.cursor() });
    const restock = (operationId: string, quantity: number): Promise<unknown> =>
      stock.restock({ operationId, lines: [line("mug", quantity)] }).catch((error: unknown) => error);
    const answers = await Promise.all([restock("two", 2), restock("too much", 2), restock("one", 1)]);
    expect(answers).toMatchObject([{ kind: "restocked" }, { name: "StockOverflowError" }, { kind: "restocked" }]);
    expect((await stock.level("mug")).onHand).toBe(Number.MAX_SAFE_INTEGER);
  });

  it("V5 append one movement each, behind those of the holds that they return, in the order of the calls", async () => {
    await stock.reserve({ reservationId: "kept", lines: [line("cup", 3)] });
    await heldUntilPast({ reservationId: "past 1", quantity: 2 }, { reservationId: "past 2", quantity: 3 });
    const [, retaken, sold] = await Promise.all([
      stock.confirm({ reservationId: "kept", lines: [line("cup", 1)] }),
      stock.confirm({ reservationId: "past 2", retakeIfExpired: true, lines: [line("mug", 1)] }),
      stock.decrement({ operationId: "sold", lines: [line("mug", 4)] }),
    ]);
    expect([retaken.kind, sold.kind]).toEqual(["confirmed", "decremented"]);
    const { levels, kinds } = await replayed(5);
    expect(kinds).toHaveLength(5);
    expect([...kinds].toSorted()).toEqual(["confirm", "decrement", "expire", "expire", "retake"]);
    expect(levels).toEqual({ mug: { onHand: 0, reserved: 0 }, cup: { onHand: 4, reserved: 0 } });
    const found = await stock.levels(["mug", "cup"]);
    for (const [sku, level] of Object.entries(levels)) expect(found.get(sku)).toMatchObject(level);
  });

  it("V4 that want the last units of expired holds again: one has them, the other hears no for good", async () => {
    await heldUntilPast({ reservationId: "a", quantity: 2 }, { reservationId: "b", quantity: 3 });
    await stock.decrement({ operationId: "others", lines: [line("mug", 2)] });
    const again = (reservationId: string): Promise<object> => stock.confirm({ reservationId, retakeIfExpired: true });
    const no = { kind: "insufficient", shortages: [{ sku: "mug", wanted: 3, available: 1 }] };
    const first = await Promise.all([again("a"), again("b")]);
    expect(first).toEqual([{ kind: "confirmed", lines: [line("mug", 2)] }, no]);
    await stock.restock({ operationId: "more", lines: [line("mug", 5)] });
    expect(await Promise.all([again("b"), again("a")])).toMatchObject([no, { kind: "already-confirmed" }]);
  });

  it("K1 whose common answer is lost are carried out once, also when they are asked again in other company", async () => {
    const clock = new LeapClock();
    const through = new Inventory(open(place.proxy), "shop", { ...patient, clock });
    const take = (by: Inventory, id: number): Promise<{ kind: string }> =>
      by.reserve({ reservationId: `r${id}`, lines: [line("mug", 1)] });
    await take(through, 0);
    const held = place.proxy.hold("reply", "evalsha");
    const losing = Promise.all([1, 2, 3].map((id) => failure(take(through, id))));
    await held.hit;
    clock.leap(patient.commandTimeoutMs);
    const lost = await losing;
    expect(lost.map((error) => (error as Error & { operationId: string }).operationId)).toEqual(["r1", "r2", "r3"]);
    const answers = await Promise.all([3, 4, 1, 5, 2].map((id) => take(stock, id)));
    // Five units, and one of the six had them first.
    expect(answers.map(({ kind }) => kind)).toEqual(["reserved", "reserved", "reserved", "insufficient", "reserved"]);
    expect(await stock.level("mug")).toEqual({ onHand: 5, reserved: 5, available: 0 });
  });
});

describe("stock that is only short because due holds are unreturned", () => {
  it("V2 is not given in part either: it is busy, until all that is free can be had", async () => {
    await stock.restock({ operationId: "delivery", lines: [line("mug", 145)] });
    await Promise.all(
      Array.from({ length: 150 }, (_, cart) =>
        stock.reserve({ reservationId: `cart-${cart}`, lines: [line("mug", 1)] }),
      ),
    );
    await endHolds(place.server);
    const all = { operationId: "all", lines: [line("mug", 200)], allowPartial: true };
    expect(await stock.decrement(all)).toEqual({ kind: "busy" });
    expect(await stock.decrement(all)).toEqual({ kind: "decremented", lines: [line("mug", 150)] });
  });
});

describe("a part to confirm", () => {
  const wrong = ["0", "-1", "0.5", "nan", "inf", "-inf", "none"];

  it.each(wrong)(
    "V7 of %s units is refused by the script itself, of a hold and of an expired one",
    async (quantity) => {
      await heldUntilPast({ reservationId: "past", quantity: 2 });
      await stock.reserve({ reservationId: "held", lines: [line("mug", 2)] });
      const options = resolveInventoryOptions({});
      const sink = new EventSink<InventoryEvent>("test:inventory");
      const bucket = new Bucket(Connection.of(open(place.server)), "shop", 0, options, sink);
      const part = { skus: ["mug"], quantities: [0], text: `mug ${quantity}` };
      await stock.level("mug");
      const before = await everything();
      for (const reservationId of ["held", "past"]) {
        const settlement = { id: checkId("reservationId", reservationId), what: "k" as const, operationId: "c", part };
        expect((await bucket.settle(settlement, true)).answer).toMatch(/^e/u);
      }
      expect(await everything()).toEqual(before);
    },
  );
});

describe("ends of large reservations in one tick", () => {
  const lines = (cart: number): { sku: string; quantity: number }[] =>
    Array.from({ length: 600 }, (_, index) => line(`sku-${cart}-${index}`, 1));
  const carts = [0, 1, 2, 3];
  const none = { onHand: 0, reserved: 0, available: 0 };

  beforeEach(async () => {
    for (const cart of carts) {
      await stock.restock({ operationId: `k${cart}`, lines: lines(cart) });
      await stock.reserve({ reservationId: `cart-${cart}`, lines: lines(cart) });
    }
    // So that the script is known to the server.
    await stock.confirm({ reservationId: "nobody" });
  });

  it("K6 do not meet in one script, which the server would stand still for, and each ends as if it had come alone", async () => {
    const ends: Promise<object>[] = [];
    const scripts = await scriptsOf(async () => {
      for (const cart of carts) {
        const reservationId = `cart-${cart}`;
        ends.push(stock.confirm({ reservationId }), stock.release({ reservationId: "nobody" }));
        ends.push(stock.release({ reservationId }));
      }
      await Promise.all(ends);
    });
    expect(scripts).toBe(carts.length);
    const kinds = ["confirmed", "absent", "already-confirmed"].map((kind) => ({ kind }));
    expect(await Promise.all(ends)).toMatchObject(carts.flatMap(() => kinds));
    for (const cart of carts) expect(await stock.level(`sku-${cart}-599`)).toEqual(none);
  });

  it("V1 of which one meets a spoilt counter, or a part that is too much, are told apart", async () => {
    await place.server.call("HSET", keys.stock, "r#sku-1-7", "spoilt");
    const part = [line("sku-2-0", 2)];
    const ends = carts.map((cart) =>
      stock
        .confirm({ reservationId: `cart-${cart}`, lines: cart === 2 ? part : undefined })
        .catch((error: unknown) => error),
    );
    expect(await Promise.all(ends)).toMatchObject([
      { kind: "confirmed" },
      { name: "InconsistentStockError", field: "r#sku-1-7" },
      { name: "ExceedsReservationError", sku: "sku-2-0" },
      { kind: "confirmed" },
    ]);
  });
});

it("V2 a spoilt record stops whoever asks for its id, and nobody else of the tick", async () => {
  await stock.decrement({ operationId: "d", lines: [line("mug", 1)] });
  for (const text of ["spoilt", "hv1763776543123", "hv1763776543123 soon 60000 - - # mug 1"]) {
    await place.server.call("HSET", keys.recordsA, "d", text);
    const orders = ["d", `other ${text}`].map((reservationId) =>
      stock.reserve({ reservationId, lines: [line("mug", 1)] }).catch((error: unknown) => error),
    );
    expect(await Promise.all(orders)).toMatchObject([{ name: "UnexpectedReplyError" }, { kind: "reserved" }]);
    expect((await failure(stock.outcome("d"))).name).toBe("UnexpectedReplyError");
  }
});

it("K3 a wrong type under the parcels stops level before it returns a due hold", async () => {
  await heldUntilPast({ reservationId: "past", quantity: 2 });
  await place.server.call("SET", keys.transit, "foreign");
  const look = (): Promise<unknown> =>
    Promise.all([
      place.server.call("HGETALL", keys.stock),
      place.server.call("ZRANGE", keys.due, 0, -1),
      place.server.call("XLEN", keys.log),
    ]);
  const before = await look();
  expect(await failure(stock.level("mug"))).toMatchObject({ name: "RedisRefusedError", effect: "none" });
  expect(await look()).toEqual(before);
});
