/** V5 and V6, the movement log and its cursors, on one server and on a Cluster, each beside what happens without it. */
import { describe, expect, it } from "vitest";
import { startCursor, type Inventory, type Movement } from "../src/index.ts";
import { failure } from "./clients.ts";
import { kinds, passed, usePlace } from "./places.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });

async function movementsOf(stock: Inventory): Promise<Movement[]> {
  const movements: Movement[] = [];
  for await (const movement of stock.movements({ pageMax: 3 })) movements.push(movement);
  return movements;
}

/** Levels by what the log says. */
function replayed(movements: readonly Movement[]): Map<string, { onHand: number; reserved: number }> {
  const levels = new Map<string, { onHand: number; reserved: number }>();
  for (const { changes } of movements) {
    for (const { sku, onHand, reserved } of changes) {
      const before = levels.get(sku) ?? { onHand: 0, reserved: 0 };
      levels.set(sku, { onHand: before.onHand + onHand, reserved: before.reserved + reserved });
    }
  }
  return levels;
}

describe.each(kinds)("on %s", (kind) => {
  const place = usePlace(kind);

  it("V5 baseline and movements make the state, whatever was done", async () => {
    const stock = place.inventory();
    await stock.restock({ operationId: "delivery", lines: [line("mug", 20), line("cup", 20)] });
    await stock.decrement({ operationId: "d1", lines: [line("mug", 3)] });
    await stock.decrement({ operationId: "d2", lines: [line("mug", 99)] });
    await stock.decrement({ operationId: "d3", lines: [line("mug", 99), line("cup", 1)], allowPartial: true });
    await stock.restock({ operationId: "delivery-2", lines: [line("mug", 20)] });
    await stock.reserve({ reservationId: "r1", orderId: "an order", lines: [line("mug", 5), line("cup", 2)] });
    await stock.confirm({ reservationId: "r1", lines: [line("mug", 1)] });
    const short = await stock.reserve({ reservationId: "r2", holdMs: 50, lines: [line("cup", 4)] });
    await passed(place, stock, short.kind === "reserved" ? short.expiresAtMs : 0);
    await stock.confirm({ reservationId: "r2", retakeIfExpired: true });
    await stock.reserve({ reservationId: "r3", lines: [line("cup", 4)] });
    await stock.release({ reservationId: "r3" });
    await stock.reserve({ reservationId: "r4", lines: [line("cup", 4)] });
    await stock.adjust({ operationId: "a1", reason: "broken", lines: [line("cup", -1), line("mug", 2)] });
    await stock.seed({ mug: 7, new: 3 }, { ifCursor: await stock.cursor() });
    const movements = await movementsOf(stock);
    expect(movements.map(({ sequence }) => sequence)).toEqual(movements.map((_, index) => index + 1));
    expect(movements.find(({ kind }) => kind === "reserve")).toMatchObject({ id: "r1", orderId: "an order" });
    expect(movements.find(({ kind }) => kind === "adjust")).toMatchObject({ id: "a1", reason: "broken" });
    const levels = await stock.levels(["mug", "cup", "new"]);
    for (const [sku, { onHand, reserved }] of replayed(movements)) {
      expect({ sku, onHand, reserved }).toEqual({
        sku,
        onHand: levels.get(sku)?.onHand,
        reserved: levels.get(sku)?.reserved,
      });
    }
    // What changed nothing left no movement.
    expect(movements.some(({ id }) => id === "d2")).toBe(false);
  });

  it("V5 counter-test: a movement that is written after its change is missing when the process dies between the two", async () => {
    const [counter, log] = ["{v5}stock", "{v5}log"];
    await place.client.set(counter, 5);
    for (const dies of [false, true, false]) {
      await place.client.decr(counter);
      if (!dies) await place.client.xadd(log, "0-*", "m", "-1");
    }
    expect(5 - (await place.client.xlen(log))).toBe(Number(await place.client.get(counter)) + 1);
  });

  it("V6 a cursor goes on where it stopped, and one of another history is refused", async () => {
    const stock = place.inventory();
    for (let index = 0; index < 5; index += 1)
      await stock.restock({ operationId: `k${index}`, lines: [line("mug", 1)] });
    const [, second, third] = await movementsOf(stock);
    const rest: number[] = [];
    for await (const { sequence } of stock.movements({ after: second as Movement })) rest.push(sequence);
    expect(rest).toEqual([3, 4, 5]);
    const forged = { sequence: 2, stamp: (third as Movement).stamp };
    expect((await failure(stock.movements({ after: forged }).next())).name).toBe("ForkedLogError");
    expect((await failure(stock.seed({ mug: 1 }, { ifCursor: forged }))).name).toBe("ForkedLogError");
    expect((await failure(stock.consumer("ledger").commit(forged))).name).toBe("ForkedLogError");
    expect((await failure(stock.reconcile({ mug: 1 }, forged))).name).toBe("ForkedLogError");
    const beyond = { sequence: 9, stamp: (third as Movement).stamp };
    expect((await failure(stock.movements({ after: beyond }).next())).name).toBe("ForkedLogError");
    expect((await failure(stock.seed({ mug: 1 }, { ifCursor: beyond }))).name).toBe("ForkedLogError");
  });

  it("V6 after everything was lost a cursor meets a gap, also when as many movements were made since", async () => {
    const stock = place.inventory();
    const fill = async (): Promise<void> => {
      for (let index = 0; index < 3; index += 1)
        await stock.restock({ operationId: `k${index}`, lines: [line("mug", 1)] });
    };
    await fill();
    const cursor = await stock.cursor();
    for (const key of ["stock", "recordsA", "due", "log"] as const) await place.raw("DEL", stock, key);
    expect((await failure(stock.movements({ after: cursor }).next())).name).toBe("MovementGapError");
    await fill();
    expect((await failure(stock.movements({ after: cursor }).next())).name).toBe("MovementGapError");
    expect((await failure(stock.seed({ mug: 1 }, { ifCursor: cursor }))).name).toBe("MovementGapError");
    expect((await failure(stock.consumer("ledger").commit(cursor))).name).toBe("MovementGapError");
  });

  it("V6 counter-test: by its number alone a cursor goes on in another history without noticing", async () => {
    const log = "{v6}log";
    for (const text of ["a", "b"]) await place.client.xadd(log, "0-*", "m", text);
    await place.client.del(log);
    for (const text of ["x", "y", "z"]) await place.client.xadd(log, "0-*", "m", text);
    expect(await place.client.xrange(log, "(0-2", "+")).toEqual([["0-3", ["m", "z"]]]);
  });

  it("V6 trimming stays behind every consumer, and keeps the last movement each has read", async () => {
    const stock = place.inventory();
    const [ledger, audit] = [stock.consumer("ledger", { pageMax: 1_000 }), stock.consumer("audit")];
    await audit.commit(startCursor);
    await Promise.all(
      Array.from({ length: 600 }, (_, index) => stock.restock({ operationId: `k${index}`, lines: [line("mug", 1)] })),
    );
    const all = await ledger.next();
    expect(all).toHaveLength(600);
    await ledger.commit(all.at(-1) as Movement);
    expect(await place.raw("XLEN", stock, "log")).toBe(600);
    await audit.commit(all[399] as Movement);
    const left = Number(await place.raw("XLEN", stock, "log"));
    expect(left).toBeGreaterThanOrEqual(201);
    expect(left).toBeLessThan(400);
    expect((await audit.next())[0]?.sequence).toBe(401);
    expect(await ledger.next()).toEqual([]);
    expect((await failure(stock.movements().next())).name).toBe("MovementGapError");
    expect(await audit.commit(all[10] as Movement)).toMatchObject({ kind: "behind", cursor: { sequence: 400 } });
    await stock.consumer("late").reset(all[599] as Movement);
    expect((await failure(stock.consumer("late").reset(all[10] as Movement))).name).toBe("MovementGapError");
    await audit.remove();
    expect(await audit.position()).toEqual(startCursor);
  });

  it.each(["positions", "log"] as const)(
    "K3 a wrong type under the key %s stops a commit before it writes, and whoever reads the log",
    async (key) => {
      const stock = place.inventory();
      await stock.restock({ operationId: "k", lines: [line("mug", 1)] });
      const ledger = stock.consumer("ledger");
      const cursor = await stock.cursor();
      await ledger.commit(startCursor);
      const keys = ["positions", "log"] as const;
      await place.raw("DEL", stock, key);
      await place.raw("SET", stock, key, "foreign");
      const look = (): Promise<unknown> =>
        Promise.all(keys.filter((each) => each !== key).map((each) => place.raw("DUMP", stock, each)));
      const before = await look();
      const refused = { name: "RedisRefusedError", reason: "WRONGTYPE", effect: "none" };
      for (const call of [() => ledger.commit(cursor), () => ledger.reset(cursor), () => ledger.next()]) {
        expect(await failure(call())).toMatchObject(refused);
      }
      expect(await look()).toEqual(before);
      expect(await place.raw("GET", stock, key)).toBe("foreign");
    },
  );

  it("V6 one commit cuts off all that is behind it, also more than one script does", async () => {
    const stock = place.inventory();
    const orders = 2_500;
    await Promise.all(
      Array.from({ length: orders }, (_, index) =>
        stock.restock({ operationId: `k${index}`, lines: [line("mug", 1)] }),
      ),
    );
    const ledger = stock.consumer("ledger", { pageMax: 10_000 });
    const all = await ledger.next();
    expect(all).toHaveLength(orders);
    await ledger.commit(all.at(-1) as Movement);
    // Redis cuts off whole nodes, of at most a hundred movements.
    expect(Number(await place.raw("XLEN", stock, "log"))).toBeLessThanOrEqual(101);
    expect(await ledger.next()).toEqual([]);
  });
});
