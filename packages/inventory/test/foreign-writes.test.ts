/** Keys of an inventory in which another program has written: each call says so before its first write (K3). */
import { Redis } from "ioredis";
import { beforeEach, expect, it } from "vitest";
import { Inventory, startCursor, type Movement } from "../src/index.ts";
import { bucketKeys } from "../src/keys.ts";
import { endHolds, failure, openClients, passed, patient, proxiedServer } from "./clients.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const keys = bucketKeys("holdfast", "shop", 0);

let stock: Inventory;
const open = openClients();
const place = proxiedServer();

beforeEach(() => {
  stock = new Inventory(open(place.server), "shop", patient);
});

const keysInUse = ["stock", "recordsA", "due", "log"] as const;
it.each(keysInUse)("a wrong type under the key %s in the middle of a basket leaves nothing half done", async (key) => {
  await stock.restock({ operationId: "k", lines: [line("mug", 5), line("cup", 5)] });
  const held = await stock.reserve({ reservationId: "short", holdMs: 50, lines: [line("mug", 1)] });
  await stock.reserve({ reservationId: "long", lines: [line("mug", 1)] });
  await passed(place.server, held.kind === "reserved" ? held.expiresAtMs : 0);
  await place.server.call("RENAME", keys[key], "aside");
  await place.server.call("SET", keys[key], "foreign");
  const before = await dump();
  const lines = [line("mug", 1), line("cup", 1)];
  const calls = [
    () => stock.reserve({ reservationId: "r", lines }),
    () => stock.decrement({ operationId: "d", lines }),
    () => stock.confirm({ reservationId: "long" }),
    () => stock.release({ reservationId: "long" }),
    () => stock.extend({ reservationId: "long", operationId: "e", holdMs: 3_600_000 }),
    () => stock.sweep(),
    () => stock.level("mug"),
    () => stock.seed({ mug: 9 }, { ifCursor: startCursor }),
  ];
  for (const call of calls) {
    const error = await failure(call());
    expect(error).toMatchObject({ name: "RedisRefusedError", reason: "WRONGTYPE", effect: "none" });
  }
  expect(await dump()).toEqual(before);
});

it.each(["recordsA", "due", "log"] as const)(
  "a wrong type under the key %s shows before the first write, also when no hold is due",
  async (key) => {
    await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
    await stock.reserve({ reservationId: "long", lines: [line("mug", 1)] });
    await place.server.call("RENAME", keys[key], "aside");
    await place.server.call("SET", keys[key], "foreign");
    const before = await dump();
    const calls = [
      () => stock.reserve({ reservationId: "r", lines: [line("mug", 1)] }),
      () => stock.confirm({ reservationId: "long" }),
      () => stock.release({ reservationId: "long" }),
    ];
    for (const call of calls) {
      const error = await failure(call());
      expect(error).toMatchObject({ name: "RedisRefusedError", reason: "WRONGTYPE", effect: "none" });
    }
    expect(await dump()).toEqual(before);
  },
);

it.each(["enough", "no"])(
  "K3 an entry that another program has added to the log refuses each call before its first write, with %s memory",
  async (memory) => {
    await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
    const short = await stock.reserve({ reservationId: "short", holdMs: 50, lines: [line("mug", 1)] });
    await stock.reserve({ reservationId: "long", lines: [line("mug", 1)] });
    await passed(place.server, short.kind === "reserved" ? short.expiresAtMs : 0);
    await place.server.call("XADD", keys.log, "*", "theirs", "1");
    const before = await dump();
    if (memory === "no") await place.server.call("CONFIG", "SET", "maxmemory", "1");
    const calls = [
      () => stock.confirm({ reservationId: "long" }),
      () => stock.release({ reservationId: "long" }),
      () => stock.sweep(),
      ...(memory === "no" ? [] : [() => stock.decrement({ operationId: "d", lines: [line("mug", 1)] })]),
    ];
    try {
      for (const call of calls) {
        const error = await failure(call());
        expect(error).toMatchObject({ name: "RedisRefusedError", reason: "WRONGTYPE", effect: "none" });
      }
    } finally {
      await place.server.call("CONFIG", "SET", "maxmemory", "0");
    }
    expect(await dump()).toEqual(before);
  },
);

it("K3 a user without the right to add to the log ends no hold half", async () => {
  await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
  await stock.reserve({ reservationId: "long", lines: [line("mug", 1)] });
  const before = await dump();
  await place.server.call("ACL", "SETUSER", "reader", "on", ">secret", "~*", "&*", "+@all", "-xadd");
  const url = new URL(place.server.url);
  url.username = "reader";
  url.password = "secret";
  const limited = new Redis(url.href);
  try {
    const refused = failure(new Inventory(limited, "shop", patient).release({ reservationId: "long" }));
    expect(await refused).toMatchObject({ reason: "NOPERM" });
  } finally {
    limited.disconnect();
    await place.server.call("ACL", "DELUSER", "reader");
  }
  expect(await dump()).toEqual(before);
});

it("a wrong type under the hash at rest stops whoever has to look into it, and nobody else", async () => {
  await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
  await stock.reserve({ reservationId: "r", lines: [line("mug", 1)] });
  // As after the first turn.
  await place.server.call(
    "HSET",
    keys.stock,
    "#side",
    `A${String(await place.server.call("HGET", keys.stock, "#side")).slice(1)}`,
  );
  await place.server.call("SET", keys.recordsB, "foreign");
  const error = await failure(stock.decrement({ operationId: "d", lines: [line("mug", 1)] }));
  expect(error).toMatchObject({ name: "RedisRefusedError", reason: "WRONGTYPE", effect: "none" });
  expect((await stock.confirm({ reservationId: "r" })).kind).toBe("confirmed");
  expect(await stock.level("mug")).toEqual({ onHand: 4, reserved: 0, available: 4 });
});

it("a counter that somebody else has spoilt is named, and nothing is done", async () => {
  await stock.restock({ operationId: "k", lines: [line("mug", 5), line("cup", 5)] });
  for (const value of ["many", "-1", "1.5", "1e300"]) {
    await place.server.call("HSET", keys.stock, "cup", value);
    const basket = { operationId: `d${value}`, lines: [line("mug", 1), line("cup", 1)] };
    expect(await failure(stock.decrement(basket))).toMatchObject({
      name: "InconsistentStockError",
      field: "cup",
      effect: "none",
    });
  }
  expect((await stock.level("mug")).onHand).toBe(5);
  await place.server.call("HSET", keys.stock, "cup", "5");
  await stock.reserve({ reservationId: "r", lines: [line("cup", 2)] });
  await place.server.call("HSET", keys.stock, "r#cup", "1");
  expect(await failure(stock.release({ reservationId: "r" }))).toMatchObject({
    name: "InconsistentStockError",
    field: "r#cup",
  });
  expect(await failure(stock.confirm({ reservationId: "r" }))).toMatchObject({
    name: "InconsistentStockError",
    field: "r#cup",
  });
});

it("V1 the record of a due hold that somebody else has spoilt is named, and nothing is done until it is repaired", async () => {
  await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
  for (const reservationId of ["other", "spoilt"]) await stock.reserve({ reservationId, lines: [line("mug", 1)] });
  const record = String(await place.server.call("HGET", keys.recordsA, "spoilt"));
  await place.server.call("HSET", keys.recordsA, "spoilt", `${record.split(" ", 2).join(" ")} spoilt`);
  await endHolds(place.server);
  const before = await dump();
  const calls = [
    () => stock.decrement({ operationId: "d", lines: [line("mug", 1)] }),
    () => stock.release({ reservationId: "other" }),
    () => stock.sweep(),
    () => stock.level("mug"),
  ];
  for (const call of calls) {
    const error = await failure(call());
    expect(error).toMatchObject({ name: "InconsistentStockError", field: "record spoilt", effect: "none" });
  }
  expect(await dump()).toEqual(before);
  await place.server.call("HSET", keys.recordsA, "spoilt", record);
  expect(await stock.level("mug")).toEqual({ onHand: 5, reserved: 0, available: 5 });
});

it("V6 a position that somebody else has spoilt is named to its consumer, and keeps the log, but no other consumer", async () => {
  await Promise.all(
    Array.from({ length: 300 }, (_, index) => stock.restock({ operationId: `k${index}`, lines: [line("mug", 1)] })),
  );
  const [ledger, audit] = [stock.consumer("ledger"), stock.consumer("audit")];
  await audit.commit(startCursor);
  await place.server.call("HSET", keys.positions, "audit", "spoilt");
  const read = await ledger.next();
  expect((await ledger.commit(read.at(-1) as Movement)).kind).toBe("committed");
  expect(await place.server.call("XLEN", keys.log)).toBe(300);
  for (const call of [audit.position(), audit.next()]) {
    expect((await failure(call)).name).toBe("UnexpectedReplyError");
  }
  // Told where it is, it is right again, and the log is kept for nobody.
  expect((await audit.commit(read.at(-1) as Movement)).kind).toBe("committed");
  expect(await place.server.call("XLEN", keys.log)).toBeLessThanOrEqual(101);
});

it.each([
  ["to:1", "spoilt"],
  ["to:1", "1795316798360624 mug many"],
  ["to:9", "1795316798360624 mug 2"],
])(
  "V9 units on their way to %s that are noted as %s are named as what is wrong, and counted nowhere",
  async (field, text) => {
    const spread = new Inventory(open(place.server), "shop", { ...patient, buckets: { mug: 2 } });
    await spread.restock({ operationId: "k", lines: [line("mug", 5)] });
    await place.server.call("HSET", keys.transit, field, text);
    const error = await failure(spread.level("mug"));
    expect(error).toMatchObject({ name: "UnexpectedReplyError" });
    expect(error.message).toContain(text);
    await place.server.call("HDEL", keys.transit, field);
    expect((await spread.level("mug")).onHand).toBe(5);
  },
);

/** Everything in the server, apart from what the wrong type stands under. */
async function dump(): Promise<unknown> {
  return Promise.all([
    place.server
      .call("TYPE", keys.stock)
      .then((type) => (type === "hash" ? place.server.call("HGETALL", keys.stock) : type)),
    place.server
      .call("TYPE", keys.recordsA)
      .then((type) => (type === "hash" ? place.server.call("HGETALL", keys.recordsA) : type)),
    place.server
      .call("TYPE", keys.due)
      .then((type) => (type === "zset" ? place.server.call("ZRANGE", keys.due, 0, -1) : type)),
    place.server
      .call("TYPE", keys.log)
      .then((type) => (type === "stream" ? place.server.call("XLEN", keys.log) : type)),
  ]);
}
