/** What is known when the two hashes of records take turns, on one server and on a Cluster. The turn itself is made by the call that finds it due. */
import { describe, expect, it } from "vitest";
import type { Inventory } from "../src/index.ts";
import { failure } from "./clients.ts";
import { endHolds, kinds, passed, turnRecords, usePlace } from "./places.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const lines = [line("mug", 2)];

describe.each(kinds)("on %s", (kind) => {
  const place = usePlace(kind);

  async function stocked(): Promise<Inventory> {
    const stock = place.inventory();
    await stock.restock({ operationId: "delivery", lines: [line("mug", 10)] });
    return stock;
  }

  /** Each hash has been emptied once more, by calls that have nothing to do with what a test looks at. */
  async function twoTurns(stock: Inventory, name: string): Promise<void> {
    for (const turn of [1, 2]) {
      await turnRecords(place, stock);
      await stock.restock({ operationId: `${name} ${turn}`, lines: [line("cup", 1)] });
    }
  }

  const ends: readonly (readonly [string, boolean, (stock: Inventory) => Promise<object>, object])[] = [
    ["confirm", false, (stock) => stock.confirm({ reservationId: "r" }), { kind: "already-confirmed" }],
    ["release", false, (stock) => stock.release({ reservationId: "r" }), { kind: "already-released" }],
    [
      "a confirm that takes it again",
      true,
      (stock) => stock.confirm({ reservationId: "r", retakeIfExpired: true }),
      { kind: "already-confirmed" },
    ],
  ];

  it.each(ends)("V4 %s that finds the turn due does not end again what ended since the last one", async (...each) => {
    const [, expired, end, again] = each;
    const stock = await stocked();
    await stock.reserve({ reservationId: "r", lines });
    if (expired) await endHolds(place, stock);
    if (expired) await stock.sweep();
    await turnRecords(place, stock);
    await end(stock);
    // Whoever else has reserved the same sku would pay for it.
    await stock.reserve({ reservationId: "other", lines });
    const level = await stock.level("mug");
    await turnRecords(place, stock);
    expect(await end(stock)).toMatchObject(again);
    expect(await stock.level("mug")).toEqual(level);
  });

  it("V2 an extension that finds the turn due is known, and the hold lasts as long as it was told", async () => {
    const stock = await stocked();
    await stock.reserve({ reservationId: "r", lines });
    await turnRecords(place, stock);
    const longer = { reservationId: "r", operationId: "e", holdMs: 3_600_000 };
    const extended = await stock.extend(longer);
    await turnRecords(place, stock);
    expect(await stock.extend(longer)).toEqual(extended);
    const { expiresAtMs } = extended as { expiresAtMs: number };
    expect(await stock.reserve({ reservationId: "r", lines })).toMatchObject({ state: "held", expiresAtMs });
    expect(await stock.level("mug")).toEqual({ onHand: 10, reserved: 2, available: 8 });
  });

  it("V8 a hold that comes to rest is counted, however its turn came, until it ends", async () => {
    const stock = await stocked();
    const atRest = (): Promise<unknown> => place.raw("HGET", stock, "stock", "#atRest");
    for (const id of ["a", "b", "c"]) await stock.reserve({ reservationId: id, lines: [line("mug", 1)] });
    await turnRecords(place, stock);
    await stock.confirm({ reservationId: "a" });
    expect(await atRest()).toBe("2");
    // An extension moves the record of its hold.
    await stock.extend({ reservationId: "b", operationId: "e", holdMs: 3_600_000 });
    expect(await atRest()).toBe("1");
    await turnRecords(place, stock);
    await stock.restock({ operationId: "too early", lines: [line("cup", 1)] });
    expect(await stock.outcome("delivery")).toMatchObject({ kind: "restocked" });
    await stock.release({ reservationId: "c" });
    expect(await atRest()).toBe("0");
    await stock.restock({ operationId: "now", lines: [line("cup", 1)] });
    expect(await atRest()).toBe("1");
    expect(await stock.outcome("delivery")).toEqual({ kind: "absent" });
    expect((await stock.confirm({ reservationId: "b" })).kind).toBe("confirmed");
    expect(await atRest()).toBe("0");
  });

  it("V8 a plain id is refused while it is known, and is a new one after two turns; one with its time is refused for ever", async () => {
    const stock = place.inventory({ rememberMs: 2_000 });
    await stock.restock({ operationId: "delivery", lines: [line("mug", 10)] });
    const issuedAt = Math.floor(await place.nowMs(stock));
    const plain = { operationId: "plain", lines };
    const timed = { operationId: "timed", issuedAt, lines };
    for (const order of [plain, timed]) await stock.decrement(order);
    await stock.reserve({ reservationId: "cart", lines: [line("mug", 1)], holdMs: 50 });
    await passed(place, stock, (await place.nowMs(stock)) + 2_010);
    await stock.sweep();
    const refused = { name: "IdForgottenError", effect: "none" };
    for (const order of [plain, timed]) expect(await failure(stock.decrement(order))).toMatchObject(refused);
    await turnRecords(place, stock);
    await stock.restock({ operationId: "turn", lines: [line("cup", 1)] });
    for (const order of [plain, timed]) expect(await failure(stock.decrement(order))).toMatchObject(refused);
    expect((await stock.level("mug")).onHand).toBe(6);
    await twoTurns(stock, "gone");
    // As the README says.
    expect((await stock.decrement(plain)).kind).toBe("decremented");
    expect(await failure(stock.decrement(timed))).toMatchObject(refused);
    expect((await stock.level("mug")).onHand).toBe(4);
    for (const end of [stock.confirm({ reservationId: "cart", retakeIfExpired: true }), stock.outcome("cart")]) {
      expect(await end).toEqual({ kind: "absent" });
    }
    expect((await stock.level("mug")).onHand).toBe(4);
  });

  it("V8 records take turns no earlier than rememberMs and an hour", async () => {
    const hourMs = 3_600_000;
    const stock = place.inventory({ rememberMs: 10 * hourMs });
    await stock.restock({ operationId: "delivery", lines: [line("mug", 10)] });
    const side = async (agoMs: number): Promise<string> => {
      const letter = String(await place.raw("HGET", stock, "stock", "#side")).slice(0, 1);
      const sinceMs = Math.floor(await place.nowMs(stock)) - agoMs;
      await place.raw("HSET", stock, "stock", "#side", `${letter}${sinceMs}`);
      await stock.decrement({ operationId: `${letter} ${agoMs}`, lines: [line("mug", 1)] });
      return String(await place.raw("HGET", stock, "stock", "#side")).slice(0, 1);
    };
    // An hour for a machine that stands still between the two.
    expect(await side(10 * hourMs)).toBe("a");
    expect(await side(11 * hourMs)).toBe("B");
    expect(await side(10 * hourMs)).toBe("B");
    expect(await side(11 * hourMs)).toBe("A");
  });

  it("a count of holds at rest that somebody has raised does not keep records for ever", async () => {
    const stock = await stocked();
    await place.raw("HSET", stock, "stock", "#atRest", 5);
    await twoTurns(stock, "k");
    expect(await stock.outcome("delivery")).toEqual({ kind: "absent" });
  });
});
