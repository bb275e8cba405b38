/** What an error says of the effect of its call, where a call is several requests or several calls are one. */
import { beforeEach, describe, expect, it } from "vitest";
import {
  confirmAcross,
  importStock,
  Inventory,
  reserveAcross,
  startCursor,
  type Cursor,
  type Line,
} from "../src/index.ts";
import { bucketKeys, bucketOf } from "../src/keys.ts";
import { endHolds, failure, openClients, patient, proxiedServer } from "./clients.ts";

const line = (sku: string, quantity: number): Line => ({ sku, quantity });
const keys = bucketKeys("holdfast", "shop", 0);
const open = openClients();
const place = proxiedServer();

let stock: Inventory;

beforeEach(() => {
  stock = new Inventory(open(place.server), "shop", patient);
});

/** A basket of more lines than two of them have room for in one script. */
function large(name: string, quantity: number): Line[] {
  return Array.from({ length: 600 }, (_, index) => line(`${name}-${index}`, quantity));
}

describe("large baskets of one tick, which no script has room for together", () => {
  beforeEach(async () => {
    for (const name of ["mug", "cup", "jug"]) await stock.restock({ operationId: name, lines: large(name, 5) });
    await place.server.call("HSET", keys.stock, "cup-3", "spoilt");
  });
  const spoilt = { name: "InconsistentStockError", field: "cup-3", effect: "none" };

  it("V2 are each told what became of them: a refusal of one is no word about the others", async () => {
    const orders = ["mug", "cup", "jug"].map((name) =>
      stock.decrement({ operationId: `order ${name}`, lines: large(name, 1) }).catch((error: unknown) => error),
    );
    const sold = { kind: "decremented" };
    expect(await Promise.all(orders)).toMatchObject([sold, spoilt, sold]);
    expect((await stock.level("mug-0")).onHand).toBe(4);
    expect((await stock.level("jug-0")).onHand).toBe(4);
  });

  it("V4 are each told how they were confirmed", async () => {
    await place.server.call("HDEL", keys.stock, "cup-3");
    await stock.restock({ operationId: "again", lines: [line("cup-3", 5)] });
    const names = ["mug", "cup", "jug"];
    for (const name of names) await stock.reserve({ reservationId: `cart ${name}`, lines: large(name, 2) });
    await place.server.call("HSET", keys.stock, "cup-3", "spoilt");
    const ends = names.map((name) =>
      stock.confirm({ reservationId: `cart ${name}`, lines: large(name, 1) }).catch((error: unknown) => error),
    );
    expect(await Promise.all(ends)).toMatchObject([{ kind: "confirmed" }, spoilt, { kind: "confirmed" }]);
  });
});

describe("large baskets of one tick, while Redis is silent", () => {
  const baskets = ["mug", "cup", "jug", "pot"];
  const unknown = { name: "OutcomeUnknownError", effect: "possible" };
  const unsent = { name: "RedisUnavailableError", effect: "none" };

  async function silent(): Promise<Inventory> {
    const hasty = new Inventory(open(place.proxy), "shop", { commandTimeoutMs: 1_000 });
    // The server's time is known from here on.
    await insist(() => hasty.outcome("first"));
    place.proxy.blackhole("both");
    return hasty;
  }

  /** Until the machine does not stand still. */
  async function insist(ask: () => Promise<unknown>): Promise<void> {
    while (
      !(await ask().then(
        () => true,
        () => false,
      ))
    );
  }

  it("K1 are all given up within the time of one call; those whose turn did not come were not sent", async () => {
    const hasty = await silent();
    const orders = baskets.map((name) => failure(hasty.decrement({ operationId: name, lines: large(name, 1) })));
    expect(await Promise.all(orders)).toMatchObject([unknown, unsent, unsent, unsent]);
  });

  it("K1 are all given up within the time of one call when they are confirmed", async () => {
    const hasty = await silent();
    const ends = baskets.map((name) => failure(hasty.confirm({ reservationId: name, lines: large(name, 1) })));
    expect(await Promise.all(ends)).toMatchObject([unknown, unsent, unsent, unsent]);
  });
});

describe("a call of several places or steps of which a later one does nothing", () => {
  let east: Inventory;
  let west: Inventory;

  beforeEach(async () => {
    [east, west] = ["east", "west"].map((name) => new Inventory(open(place.server), name, patient)) as [
      Inventory,
      Inventory,
    ];
    for (const each of [east, west]) await each.restock({ operationId: "k", lines: [line("mug", 3)] });
  });

  const parts = (second: Inventory): { stock: Inventory; reservationId: string; lines: Line[] }[] =>
    [east, second].map((each) => ({ stock: each, reservationId: "r", lines: [line("mug", 2)] }));

  it("V3 reserveAcross that is stopped behind the first place does not say that nothing was done", async () => {
    const stopped = new Inventory(open(place.proxy, { retryStrategy: () => null }), "west", { commandTimeoutMs: 200 });
    await place.proxy.close();
    const error = await failure(reserveAcross(parts(stopped)));
    expect(error).toMatchObject({ name: "OutcomeUnknownError", operationId: "r", effect: "possible" });
    expect((await east.level("mug")).reserved).toBe(2);
    expect((await reserveAcross(parts(west))).kind).toBe("reserved");
  });

  it("V4 confirmAcross that sold in one place does not say that nothing was done, and goes on", async () => {
    await reserveAcross(parts(west));
    const stopped = new Inventory(open(place.server), "west", patient);
    const unavailable = await failure(unreachable().level("mug"));
    stopped.confirm = () => Promise.reject(unavailable);
    const error = await failure(confirmAcross(parts(stopped)));
    expect(error).toMatchObject({ name: "OutcomeUnknownError", operationId: "r", effect: "possible" });
    expect(await east.level("mug")).toEqual({ onHand: 1, reserved: 0, available: 1 });
    expect((await confirmAcross(parts(west))).kind).toBe("confirmed");
  });

  it("V4 confirmAcross that did nothing in any place says so", async () => {
    await reserveAcross(parts(west));
    const unavailable = await failure(unreachable().level("mug"));
    for (const each of [east, west]) each.confirm = () => Promise.reject(unavailable);
    expect(await failure(confirmAcross(parts(west)))).toBe(unavailable);
  });

  function unreachable(): Inventory {
    const client = open(place.server, { lazyConnect: true, retryStrategy: () => null });
    client.disconnect();
    return new Inventory(client, "west", { commandTimeoutMs: 100 });
  }

  it("V4 confirmAcross that meets a place which still returns due holds asks it again, and calls nobody for a refund", async () => {
    await west.restock({ operationId: "many", lines: [line("mug", 297)] });
    const both = parts(west).map((part, index) => ({ ...part, lines: [line("mug", index === 1 ? 240 : 2)] }));
    await reserveAcross(both);
    await east.confirm({ reservationId: "r" });
    await endHolds(place.server, undefined, "west");
    await west.sweep();
    const carts = Array.from({ length: 300 }, (_, cart) => `cart-${cart}`);
    await Promise.all(carts.map((reservationId) => west.reserve({ reservationId, lines: [line("mug", 1)] })));
    await endHolds(place.server, undefined, "west");
    expect((await confirmAcross(both)).kind).toBe("confirmed");
    expect(await west.level("mug")).toEqual({ onHand: 60, reserved: 0, available: 60 });
  });

  it("V7 reserveAcross looks at all parts before it asks the first place", async () => {
    const bad: readonly (readonly [object, string])[] = [
      [{ lines: [line("mug", 0)] }, "RangeError"],
      [{ lines: [line("mug", 1)], holdMs: 1 }, "RangeError"],
      [{ lines: [line("mug", 1)], reservationId: 7 }, "TypeError"],
    ];
    for (const [part, name] of bad) {
      const second = { stock: west, reservationId: "r", ...part } as never;
      expect((await failure(reserveAcross([parts(west)[0] as never, second]))).name).toBe(name);
    }
    expect((await east.level("mug")).reserved).toBe(0);
    const { reservationId, ...nameless } = { stock: west, reservationId: "r" };
    expect((await failure(confirmAcross([{ stock: east, reservationId }, nameless as never]))).name).toBe("TypeError");
  });

  it("V3 two places of which one is named like the other and its id are two places", async () => {
    const [first, second] = ["a b", "a"].map((name) => new Inventory(open(place.server), name, patient));
    for (const each of [first, second]) await each?.restock({ operationId: "k", lines: [line("mug", 1)] });
    const lines = [line("mug", 1)];
    const both = [
      { stock: first as Inventory, reservationId: "c", lines },
      { stock: second as Inventory, reservationId: "b c", lines },
    ];
    expect((await reserveAcross(both)).kind).toBe("reserved");
  });
});

it("V6 a seed whose later step does nothing does not say that nothing was set, and goes on under its id", async () => {
  const snapshot = Array.from({ length: 1_500 }, (_, index) => ({ sku: `sku-${index}`, onHand: 2 }));
  const through = new Inventory(open(place.proxy), "shop", patient);
  const asked = { ifCursor: startCursor, operationId: "count" };
  await through.seed({}, { ifCursor: startCursor });
  let scripts = 0;
  const held = place.proxy.hold("request", ([name = ""]) => /^eval/iu.test(name) && (scripts += 1) === 2);
  const seeding = failure(through.seed(snapshot, asked));
  await held.hit;
  await place.server.call("CONFIG", "SET", "maxmemory", "1");
  held.release();
  try {
    expect(await seeding).toMatchObject({ name: "OutcomeUnknownError", operationId: "count", effect: "possible" });
  } finally {
    await place.server.call("CONFIG", "SET", "maxmemory", "0");
  }
  expect((await stock.level("sku-999")).onHand).toBe(2);
  expect((await through.seed(snapshot, asked)).kind).toBe("seeded");
  expect((await stock.level("sku-1499")).onHand).toBe(2);
});

it("V2 an import that stops behind its first rows does not say that nothing was done, and goes on under its id", async () => {
  const file = ["sku,quantity", "mug,1", "cup,1", "jug,1"].join("\n");
  const asked = { format: "csv", operationId: "delivery", rowsMax: 1 } as const;
  const unavailable = await failure(
    new Inventory(open({ url: "redis://127.0.0.1:1" }, { retryStrategy: () => null }), "shop", {
      commandTimeoutMs: 100,
    }).level("mug"),
  );
  expect(unavailable).toMatchObject({ effect: "none" });
  const stopping = new Inventory(open(place.server), "shop", patient);
  const restock = stopping.restock.bind(stopping);
  for (const [through, effect] of [
    [0, "none"],
    [1, "possible"],
  ] as const) {
    let requests = 0;
    stopping.restock = (request) => ((requests += 1) > through ? Promise.reject(unavailable) : restock(request));
    expect(await failure(importStock(stopping, file, asked))).toMatchObject({ effect });
  }
  expect(await importStock(stock, file, asked)).toMatchObject({ kind: "imported", applied: 3 });
  expect((await stock.level("mug")).onHand).toBe(1);
});

it("a look at stock and a sweep ask no replica to confirm what they return", async () => {
  const durability = { replicas: 1, timeoutMs: 50 };
  const durable = new Inventory(open(place.server), "shop", { ...patient, durability });
  await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
  await stock.reserve({ reservationId: "r", lines: [line("mug", 1)] });
  await endHolds(place.server);
  expect(await durable.level("mug")).toEqual({ onHand: 5, reserved: 0, available: 5 });
  expect(await durable.sweep()).toMatchObject({ expired: 0 });
  expect((await durable.cursor()).sequence).toBe(3);
  expect((await failure(durable.outcome("never"))).name).toBe("NotReplicatedError");
});

it("V2 no id of a caller is that of a later step of a seed", async () => {
  const snapshot = Array.from({ length: 1_001 }, (_, index) => ({ sku: `sku-${index}`, onHand: 2 }));
  for (const id of ["count\u00001", "count%p1", "count%001"]) await stock.outcome(id);
  expect((await stock.seed(snapshot, { ifCursor: startCursor, operationId: "count" })).kind).toBe("seeded");
});

it("V2 a part that its caller changes while it is confirmed is confirmed as it was given", async () => {
  await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
  await stock.reserve({ reservationId: "r", lines: [line("mug", 3)] });
  const lines = [line("mug", 2)];
  const confirming = stock.confirm({ reservationId: "r", operationId: "c", lines });
  lines.length = 0;
  expect(await confirming).toEqual({ kind: "confirmed", lines: [line("mug", 2)] });
});

describe("a spread inventory", () => {
  const buckets = { hot: 2 };
  const calls: readonly (readonly [string, (spread: Inventory) => Promise<unknown>])[] = [
    ["extend", (spread) => spread.extend({ reservationId: "r", operationId: "mine", holdMs: 60_000 })],
    ["seed", (spread) => spread.seed({ hot: 1 }, { ifCursor: startCursor, operationId: "mine" })],
    ["outcome", (spread) => spread.outcome("mine")],
    ["release", (spread) => spread.release({ reservationId: "r", operationId: "mine" })],
    ["decrement", (spread) => spread.decrement({ operationId: "mine", lines: [line("hot", 1)] })],
  ];

  it.each(calls)("V9 names the call whose first request was lost by the id of the call: %s", async (_, call) => {
    const client = open(place.proxy);
    // The server's time is known from here on.
    await new Inventory(client, "other", patient).level("mug");
    place.proxy.hold("reply", /^eval/iu);
    const error = await failure(call(new Inventory(client, "shop", { commandTimeoutMs: 200, buckets })));
    expect(error).toMatchObject({ name: "OutcomeUnknownError", operationId: "mine", effect: "possible" });
  });

  it("V9 does not say that an order was carried out when the step before it was, on too few replicas", async () => {
    const durability = { replicas: 1, timeoutMs: 50 };
    const durable = new Inventory(open(place.server), "shop", { ...patient, buckets, durability });
    const lines = [line("cold", 1)];
    const operationId = ["a", "b", "c", "d"].find((id) => bucketOf(id, 2) === 1) as string;
    const lost = { name: "OutcomeUnknownError", operationId, effect: "possible" };
    expect(await failure(durable.restock({ operationId, lines }))).toMatchObject(lost);
    const plain = new Inventory(open(place.server), "shop", { ...patient, buckets });
    expect((await plain.level("cold")).onHand).toBe(0);
    expect((await plain.restock({ operationId, lines })).kind).toBe("restocked");
  });
});

describe("a consumer that cuts off more of the log than one script does", () => {
  const steps: readonly (readonly [string, object, (cursor: Cursor) => Promise<unknown>])[] = [
    ["commit", { kind: "committed" }, (cursor) => through.consumer("ledger").commit(cursor)],
    ["reset", { kind: "committed" }, (cursor) => through.consumer("ledger").reset(cursor)],
    ["remove", { kind: "removed" }, () => through.consumer("ledger").remove()],
  ];
  let through: Inventory;
  const told: string[] = [];

  it.each(steps)("K1 says that a %s is done when Redis refuses to cut off the rest", async (what, done, step) => {
    told.length = 0;
    const onEvent = ({ type }: { readonly type: string }): number => told.push(type);
    through = new Inventory(open(place.proxy), "shop", { ...patient, onEvent });
    const many = Array.from({ length: 3_000 }, (_, index) => `k${index}`);
    await Promise.all(many.map((operationId) => stock.restock({ operationId, lines: [line("mug", 1)] })));
    const cursor = await stock.cursor();
    // The server knows the script from here on: what follows is one request each.
    await through.consumer("nobody").remove();
    // A removal cuts off what others have behind them.
    if (what === "remove") {
      await place.server.call("HSET", keys.positions, "ledger", "0 ", "other", `${cursor.sequence} ${cursor.stamp}`);
    }
    let scripts = 0;
    const second = place.proxy.hold("request", (words) => {
      if (/^eval/iu.test(words[0] as string) && words.includes(keys.positions)) scripts += 1;
      return scripts === 2;
    });
    const stepping = step(cursor);
    await second.hit;
    await place.server.call("CONFIG", "SET", "min-replicas-to-write", "1");
    try {
      second.release();
      expect(await stepping).toMatchObject(done);
    } finally {
      await place.server.call("CONFIG", "SET", "min-replicas-to-write", "0");
    }
    const stored = await stock.consumer("ledger").position();
    expect(stored).toEqual(what === "remove" ? startCursor : cursor);
    expect(told.includes("committed")).toBe(what !== "remove");
    // The rest is still there; the next commit cuts it off.
    const lengthOf = async (): Promise<number> => Number(await place.server.call("XLEN", keys.log));
    expect(await lengthOf()).toBeGreaterThan(500);
    await stock.consumer("other").commit(cursor);
    await stock.consumer("ledger").commit(cursor);
    expect(await lengthOf()).toBeLessThan(500);
  });
});
