/** Reservations over several inventories: all or none, resumed by their ids, whatever a dead process left behind. */
import { describe, expect, it } from "vitest";
import { confirmAcross, reserveAcross, type Inventory } from "../src/index.ts";
import { failure } from "./clients.ts";
import { kinds, passed, usePlace } from "./places.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });

describe.each(kinds)("on %s", (kind) => {
  const place = usePlace(kind);

  async function warehouses(): Promise<[Inventory, Inventory]> {
    const pair: [Inventory, Inventory] = [place.inventory(), place.inventory()];
    for (const stock of pair) await stock.restock({ operationId: "delivery", lines: [line("mug", 3)] });
    return pair;
  }

  it("V3 a basket over two places is reserved in both or in none", async () => {
    const [north, south] = await warehouses();
    const parts = (id: string, inSouth: number) => [
      { stock: south, reservationId: id, lines: [line("mug", inSouth)] },
      { stock: north, reservationId: id, lines: [line("mug", 2)] },
    ];
    expect(await reserveAcross(parts("too-much", 4))).toEqual({
      kind: "insufficient",
      inventory: south.name,
      shortages: [{ sku: "mug", wanted: 4, available: 3 }],
    });
    expect(await north.level("mug")).toEqual({ onHand: 3, reserved: 0, available: 3 });
    const result = await reserveAcross(parts("fits", 3));
    expect(result).toMatchObject({
      kind: "reserved",
      parts: [{ lines: [line("mug", 3)] }, { lines: [line("mug", 2)] }],
    });
    expect((await confirmAcross(parts("fits", 3))).kind).toBe("confirmed");
    expect(await north.level("mug")).toEqual({ onHand: 1, reserved: 0, available: 1 });
    expect(await south.level("mug")).toEqual({ onHand: 0, reserved: 0, available: 0 });
  });

  it("V4 a process that dies between two places is taken up by the same ids, at every step", async () => {
    const [north, south] = await warehouses();
    const parts = [north, south].map((stock) => ({ stock, reservationId: "order", lines: [line("mug", 2)] }));
    await north.reserve({ reservationId: "order", lines: [line("mug", 2)] });
    expect((await reserveAcross(parts)).kind).toBe("reserved");
    await north.confirm({ reservationId: "order" });
    expect((await confirmAcross(parts)).kind).toBe("confirmed");
    expect((await confirmAcross(parts)).kind).toBe("confirmed");
    expect(await reserveAcross(parts)).toMatchObject({
      kind: "reserved",
      parts: [{ state: "confirmed" }, { state: "confirmed" }],
    });
    expect([(await north.level("mug")).onHand, (await south.level("mug")).onHand]).toEqual([1, 1]);
  });

  it("V4 what a dead process reserved in one place expires, and its ids say so", async () => {
    const [north, south] = await warehouses();
    const held = await north.reserve({ reservationId: "order", holdMs: 50, lines: [line("mug", 2)] });
    await passed(place, north, held.kind === "reserved" ? held.expiresAtMs : 0);
    const parts = [
      { stock: north, reservationId: "order", holdMs: 50, lines: [line("mug", 2)] },
      { stock: south, reservationId: "order", lines: [line("mug", 2)] },
    ];
    expect(await reserveAcross(parts)).toEqual({ kind: "ended", inventory: north.name, state: "expired" });
    expect(await confirmAcross(parts)).toMatchObject({
      kind: "not-held",
      parts: [{ kind: "expired" }, { kind: "absent" }],
    });
    expect((await south.level("mug")).available).toBe(3);
  });

  it("V4 once one place is confirmed the others are had again, or the caller hears that they are gone", async () => {
    const [north, south] = await warehouses();
    const parts = [
      { stock: north, reservationId: "order", lines: [line("mug", 2)] },
      { stock: south, reservationId: "order", holdMs: 50, lines: [line("mug", 2)] },
    ];
    const reserved = await reserveAcross(parts);
    await north.confirm({ reservationId: "order" });
    await passed(place, south, reserved.kind === "reserved" ? reserved.expiresAtMs : 0);
    await south.decrement({ operationId: "faster", lines: [line("mug", 3)] });
    expect(await confirmAcross(parts)).toMatchObject({
      kind: "incomplete",
      parts: [{ kind: "already-confirmed" }, { kind: "insufficient" }],
    });
    expect((await failure(reserveAcross([]))).name).toBe("TypeError");
    expect((await failure(reserveAcross([parts[0], parts[0]] as never))).name).toBe("RangeError");
  });

  it.each(["before", "behind"])(
    "V4 a reservation of which a place %s the ended one is sold is not called ended, nor given back: it is gone on with",
    async (where) => {
      const [one, two] = await warehouses();
      const [north, south] = [one, two].toSorted((a, b) => (a.name < b.name ? -1 : 1)) as [Inventory, Inventory];
      const [sold, lapsed] = where === "before" ? [north, south] : [south, north];
      const other = place.inventory();
      await other.restock({ operationId: "delivery", lines: [line("mug", 3)] });
      const parts = [
        { stock: sold, reservationId: "order", lines: [line("mug", 2)] },
        { stock: lapsed, reservationId: "order", holdMs: 50, lines: [line("mug", 2)] },
        { stock: other, reservationId: "order", lines: [line("mug", 2)] },
      ];
      const reserved = await reserveAcross(parts);
      // Its process died between two confirmations, and the next one begins from the start.
      await sold.confirm({ reservationId: "order" });
      await passed(place, lapsed, reserved.kind === "reserved" ? reserved.expiresAtMs : 0);
      expect(await reserveAcross(parts)).toEqual({ kind: "ended", inventory: sold.name, state: "confirmed" });
      expect((await other.level("mug")).reserved).toBe(2);
      expect((await confirmAcross(parts)).kind).toBe("confirmed");
      for (const { stock } of parts) expect(await stock.level("mug")).toEqual({ onHand: 1, reserved: 0, available: 1 });
    },
  );

  it("V3 two callers who want the same in two places never both lose to each other for ever", async () => {
    const [north, south] = await warehouses();
    const wins = await Promise.all(
      Array.from({ length: 6 }, async (_, caller) => {
        const places = caller % 2 === 0 ? [north, south] : [south, north];
        const result = await reserveAcross(
          places.map((stock) => ({ stock, reservationId: `caller-${caller}`, lines: [line("mug", 3)] })),
        );
        return result.kind;
      }),
    );
    expect(wins.filter((result) => result === "reserved")).toHaveLength(1);
  });
});
