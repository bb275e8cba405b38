/** V7 at every call that takes a quantity, baskets as large as they may be, and numbers at the edge: refused before anything is written. */
import { beforeEach, describe, expect, it } from "vitest";
import { Inventory, type Cursor } from "../src/index.ts";
import { bucketKeys } from "../src/keys.ts";
import { endHolds, failure, openClients, patient, proxiedServer } from "./clients.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const keys = bucketKeys("holdfast", "shop", 0);
const open = openClients();
const place = proxiedServer();

let stock: Inventory;
let cursor: Cursor;

beforeEach(async () => {
  stock = new Inventory(open(place.server), "shop", patient);
  await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
  await stock.reserve({ reservationId: "held", lines: [line("mug", 2)] });
  cursor = await stock.cursor();
});

/** Everything that a call could have changed. */
async function everything(): Promise<unknown> {
  const hashes = [keys.stock, keys.recordsA, keys.positions].map((key) => place.server.call("HGETALL", key));
  return Promise.all([
    ...hashes,
    place.server.call("ZRANGE", keys.due, 0, -1, "WITHSCORES"),
    place.server.call("XLEN", keys.log),
  ]);
}

const wrong: readonly unknown[] = [
  0.5,
  -0.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  2 ** 53,
  -(2 ** 53),
  "1",
  null,
  undefined,
  1n,
  {},
];

describe("V7 a quantity that is none is refused by name, and nothing is sent", () => {
  const withQuantity = (quantity: unknown): { sku: string; quantity: number }[] => [line("mug", quantity as number)];
  const calls: readonly (readonly [string, readonly unknown[], (value: unknown) => Promise<unknown>])[] = [
    ["decrement", [0, -1, 2 ** 40 + 1], (of) => stock.decrement({ operationId: "d", lines: withQuantity(of) })],
    [
      "decrement in part",
      [0, -1, 2 ** 40 + 1],
      (of) => stock.decrement({ operationId: "d", allowPartial: true, lines: withQuantity(of) }),
    ],
    ["reserve", [0, -1, 2 ** 40 + 1], (of) => stock.reserve({ reservationId: "r", lines: withQuantity(of) })],
    ["confirm", [0, -1, 2 ** 40 + 1], (of) => stock.confirm({ reservationId: "held", lines: withQuantity(of) })],
    ["restock", [0, -1, 2 ** 40 + 1], (of) => stock.restock({ operationId: "k2", lines: withQuantity(of) })],
    [
      "adjust",
      [0, 2 ** 40 + 1, -(2 ** 40) - 1],
      (of) => stock.adjust({ operationId: "j", reason: "count", lines: withQuantity(of) }),
    ],
    ["seed", [-1], (of) => stock.seed([{ sku: "mug", onHand: of as number }], { ifCursor: cursor })],
    [
      "holdMs of reserve",
      [0, -1, 49, 86_400_001],
      (of) => stock.reserve({ reservationId: "r", holdMs: of as number, lines: [line("mug", 1)] }),
    ],
    [
      "holdMs of extend",
      [0, -1, 49, 86_400_001],
      (of) => stock.extend({ reservationId: "held", operationId: "e", holdMs: of as number }),
    ],
    ["holdsMax of sweep", [0, -1, 1_001], (of) => stock.sweep({ holdsMax: of as number })],
  ];

  it.each(calls)("by %s", async (name, more, call) => {
    const before = await everything();
    for (const value of [...wrong, ...more]) {
      // What may be left out stands for its default.
      if (value === undefined && /Max|of reserve/u.test(name)) continue;
      const error = await failure(call(value));
      expect([value, error.name, error.message]).toEqual([
        value,
        expect.stringMatching(/^(Range|Type)Error$/u),
        expect.stringMatching(/lines\[0\]\.quantity|snapshot\["mug"\]|holdMs|holdsMax/u),
      ]);
    }
    expect(await everything()).toEqual(before);
  });
});

describe("numbers at the edge", () => {
  it("V7 lines of one sku that sum to more than 2^40 are refused, also when each of them is allowed", async () => {
    const lines = [line("mug", 2 ** 40), line("mug", 1)];
    for (const call of [
      () => stock.decrement({ operationId: "d", lines }),
      () => stock.restock({ operationId: "r", lines }),
      () => stock.confirm({ reservationId: "held", lines }),
    ]) {
      expect((await failure(call())).name).toBe("RangeError");
    }
    expect(await stock.level("mug")).toEqual({ onHand: 5, reserved: 2, available: 3 });
  });

  it("V7 whatever brings a sku past 2^53 - 1 is refused with its name, what is reserved included, and the id stays free", async () => {
    expect((await stock.seed({ mug: Number.MAX_SAFE_INTEGER - 1 }, { ifCursor: cursor })).kind).toBe("seeded");
    const before = await everything();
    const overflow = { name: "StockOverflowError", sku: "mug", effect: "none" };
    expect(await failure(stock.restock({ operationId: "k2", lines: [line("cup", 1), line("mug", 2)] }))).toMatchObject(
      overflow,
    );
    const adjust = stock.adjust({ operationId: "j", reason: "count", lines: [line("mug", 2)] });
    expect(await failure(adjust)).toMatchObject(overflow);
    expect(await everything()).toEqual(before);
    expect((await stock.restock({ operationId: "k2", lines: [line("mug", 1)] })).kind).toBe("restocked");
    expect((await stock.level("mug")).onHand).toBe(Number.MAX_SAFE_INTEGER);
  });

  it("V1 an adjustment that takes more than is available is refused, what is reserved stays", async () => {
    const adjust = (operationId: string, quantity: number): Promise<object> =>
      stock.adjust({ operationId, reason: "broken", lines: [line("mug", quantity)] });
    expect(await adjust("a", -4)).toEqual({
      kind: "insufficient",
      shortages: [{ sku: "mug", wanted: 4, available: 3 }],
    });
    expect(await adjust("b", -3)).toMatchObject({ kind: "adjusted" });
    expect(await stock.level("mug")).toEqual({ onHand: 2, reserved: 2, available: 0 });
  });
});

describe("an unknown sku", () => {
  it("V3 is short of everything, has no level, and is made known by no call that takes", async () => {
    const none = { kind: "insufficient", shortages: [{ sku: "never", wanted: 1, available: 0 }] };
    const lines = [line("never", 1)];
    expect(await stock.decrement({ operationId: "d", lines })).toEqual(none);
    expect(await stock.decrement({ operationId: "p", allowPartial: true, lines })).toEqual(none);
    expect(await stock.reserve({ reservationId: "r", lines })).toEqual(none);
    expect(await stock.adjust({ operationId: "j", reason: "x", lines: [line("never", -1)] })).toEqual(none);
    expect(await stock.level("never")).toEqual({ onHand: 0, reserved: 0, available: 0 });
    const skus: string[] = [];
    for await (const sku of stock.skus()) skus.push(sku);
    expect(skus).toEqual(["mug"]);
  });
});

describe("baskets of a thousand lines", () => {
  const many = Array.from({ length: 1_000 }, (_, index) => line(`sku-${index}`, 2));
  const half = many.map(({ sku }) => line(sku, 1));
  const ids = ["a", "b", "c"];

  it("V3 of one tick are each carried out as a whole, confirmed in part, and returned by time", async () => {
    await stock.restock({ operationId: "many", lines: many.map(({ sku }) => line(sku, 5)) });
    const answers = await Promise.all(ids.map((id) => stock.reserve({ reservationId: id, lines: many })));
    expect(answers.map(({ kind }) => kind)).toEqual(["reserved", "reserved", "insufficient"]);
    const [, , no] = answers;
    expect(no?.kind === "insufficient" && no.shortages).toHaveLength(1_000);
    expect((await stock.confirm({ reservationId: "a", lines: half })).kind).toBe("confirmed");
    expect((await stock.reserve({ reservationId: "brief", lines: many })).kind).toBe("reserved");
    await endHolds(place.server, ["brief"]);
    const ends = [
      stock.confirm({ reservationId: "brief", retakeIfExpired: true }),
      stock.release({ reservationId: "b" }),
    ];
    expect((await Promise.all(ends)).map(({ kind }) => kind)).toEqual(["confirmed", "released"]);
    const levels = await stock.levels(many.map(({ sku }) => sku));
    expect(new Set([...levels.values()].map((level) => JSON.stringify(level)))).toEqual(
      new Set([JSON.stringify({ onHand: 2, reserved: 0, available: 2 })]),
    );
  });

  it("V3 and one line too few to have is nothing at all", async () => {
    await stock.restock({ operationId: "many", lines: many });
    await stock.decrement({ operationId: "one", lines: [line("sku-999", 1)] });
    expect(await stock.decrement({ operationId: "d", lines: many })).toEqual({
      kind: "insufficient",
      shortages: [{ sku: "sku-999", wanted: 2, available: 1 }],
    });
    expect((await stock.level("sku-0")).onHand).toBe(2);
    const part = await stock.decrement({ operationId: "p", allowPartial: true, lines: many });
    expect(part.kind === "decremented" && part.lines).toHaveLength(1_000);
    expect(part).toMatchObject({ lines: expect.arrayContaining([line("sku-999", 1), line("sku-0", 2)]) as object });
  });

  it("V7 more lines than that are refused at every call", async () => {
    const lines = [...many, line("one more", 1)];
    for (const call of [
      () => stock.reserve({ reservationId: "r", lines }),
      () => stock.confirm({ reservationId: "held", lines }),
      () => stock.restock({ operationId: "k2", lines }),
      () => stock.adjust({ operationId: "j", reason: "x", lines }),
      () => stock.reserve({ reservationId: "r", lines: [] }),
      () => stock.restock({ operationId: "k2", lines: [] }),
      () => stock.adjust({ operationId: "j", reason: "x", lines: [] }),
    ]) {
      expect(await failure(call())).toMatchObject({
        name: "RangeError",
        message: expect.stringMatching(/lines must have 1 to 1000/u) as string,
      });
    }
  });
});
