/**
 * V1 to V4, V7 and V8 on one server and on a Cluster, each beside what happens without it. V5 and V6 are in log.test.ts, V9 in
 * buckets.test.ts.
 */
import { describe, expect, it } from "vitest";
import { failure } from "./clients.ts";
import { endHolds, kinds, passed, turnRecords, usePlace } from "./places.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });

/** The usual recipe, as it stands in many a blog. */
const recipe = `
local left = tonumber(redis.call("GET", KEYS[1]) or "0")
if left < tonumber(ARGV[1]) then return -1 end
return redis.call("DECRBY", KEYS[1], ARGV[1])`;

describe.each(kinds)("on %s", (kind) => {
  const place = usePlace(kind);

  it("V1 onHand is never below reserved, and neither below 0, whatever order of calls 16 buyers make", async () => {
    const stock = place.inventory();
    await stock.restock({ operationId: "delivery", lines: [line("mug", 40)] });
    const seen: boolean[] = [];
    const look = async (): Promise<void> => {
      const { onHand, reserved, available } = await stock.level("mug");
      seen.push(onHand >= reserved && reserved >= 0 && available === onHand - reserved);
    };
    await Promise.all(
      Array.from({ length: 16 }, async (_, buyer) => {
        for (let turn = 0; turn < 6; turn += 1) {
          const reservationId = `${buyer}-${turn}`;
          await stock.reserve({ reservationId, lines: [line("mug", 1 + (turn % 3))] });
          if (turn % 3 === 0) await stock.confirm({ reservationId });
          else await stock.release({ reservationId });
          await stock.decrement({ operationId: `d${reservationId}`, lines: [line("mug", 1)] });
          await look();
        }
      }),
    );
    expect(new Set(seen)).toEqual(new Set([true]));
    const { onHand, reserved } = await stock.level("mug");
    expect(onHand).toBeGreaterThanOrEqual(0);
    expect(reserved).toBe(0);
  });

  it("V1 counter-test: reading and then writing sells one unit twice", async () => {
    const key = "{v1}naive";
    await place.client.set(key, 1);
    const buy = async (): Promise<boolean> => {
      const left = Number(await place.client.get(key));
      if (left < 1) return false;
      await place.client.decr(key);
      return true;
    };
    expect(await Promise.all([buy(), buy()])).toEqual([true, true]);
    expect(await place.client.get(key)).toBe("-1");
  });

  it("V2 the id decides first: the order that holds the last unit hears so again, and takes nothing more", async () => {
    const stock = place.inventory();
    await stock.restock({ operationId: "delivery", lines: [line("mug", 1)] });
    const request = { reservationId: "order-1", orderId: "o1", lines: [line("mug", 1)] };
    const first = await stock.reserve(request);
    expect(first).toMatchObject({ kind: "reserved", state: "held" });
    expect(await stock.reserve(request)).toEqual(first);
    await stock.confirm({ reservationId: "order-1" });
    expect(await stock.reserve(request)).toEqual({ ...first, state: "confirmed" });
    expect(await stock.level("mug")).toEqual({ onHand: 0, reserved: 0, available: 0 });
  });

  it("V2 counter-test: a recipe that looks at the stock first says sold out to the order that has the last unit", async () => {
    const key = "{v2}recipe";
    await place.client.set(key, 1);
    expect(await place.client.eval(recipe, 1, key, 1)).toBe(0);
    expect(await place.client.eval(recipe, 1, key, 1)).toBe(-1);
  });

  it("V2 other content under the same id is refused with the field that differs", async () => {
    const stock = place.inventory();
    await stock.restock({ operationId: "delivery", lines: [line("mug", 9)] });
    const request = { reservationId: "r", orderId: "o", lines: [line("mug", 2)], holdMs: 60_000 };
    await stock.reserve(request);
    const fieldOf = async (promise: Promise<unknown>): Promise<unknown> => {
      const error = await failure(promise);
      expect(error).toMatchObject({ name: "DifferentRequestError", effect: "none" });
      return (error as Error & { field: string }).field;
    };
    expect(await fieldOf(stock.reserve({ ...request, lines: [line("mug", 3)] }))).toBe("lines");
    expect(await fieldOf(stock.reserve({ ...request, lines: [line("cup", 2)] }))).toBe("lines");
    expect(await fieldOf(stock.reserve({ ...request, orderId: "p" }))).toBe("orderId");
    expect(await fieldOf(stock.reserve({ ...request, holdMs: 60_001 }))).toBe("holdMs");
    expect(await fieldOf(stock.reserve({ ...request, allowPartial: true }))).toBe("allowPartial");
    expect(await fieldOf(stock.decrement({ operationId: "r", lines: request.lines }))).toBe("operation");
    expect(await fieldOf(stock.restock({ operationId: "r", lines: request.lines }))).toBe("operation");
    expect(await fieldOf(stock.confirm({ reservationId: "delivery" }))).toBe("operation");
    expect(await fieldOf(stock.release({ reservationId: "delivery" }))).toBe("operation");
    await stock.extend({ reservationId: "r", operationId: "e", holdMs: 70_000 });
    expect(await fieldOf(stock.extend({ reservationId: "r", operationId: "e", holdMs: 80_000 }))).toBe("holdMs");
    expect(await fieldOf(stock.extend({ reservationId: "q", operationId: "e", holdMs: 70_000 }))).toBe("reservationId");
    await stock.adjust({ operationId: "a", reason: "broken", lines: [line("mug", -1)] });
    expect(await fieldOf(stock.adjust({ operationId: "a", reason: "stolen", lines: [line("mug", -1)] }))).toBe(
      "reason",
    );
    expect(await stock.level("mug")).toEqual({ onHand: 8, reserved: 2, available: 6 });
  });

  it("V2 a confirmation under the id of another one that took another part is refused, and changes nothing", async () => {
    const stock = place.inventory();
    await stock.restock({ operationId: "delivery", lines: [line("mug", 9), line("cup", 9)] });
    await stock.reserve({ reservationId: "r", lines: [line("mug", 2), line("cup", 1)] });
    const part = { reservationId: "r", operationId: "payment", lines: [line("mug", 1)] };
    expect((await stock.confirm(part)).kind).toBe("confirmed");
    for (const lines of [undefined, [line("mug", 2)], [line("mug", 1), line("cup", 1)], [line("mug", 3)]]) {
      const error = await failure(stock.confirm({ ...part, lines }));
      expect(error).toMatchObject({ name: "DifferentRequestError", id: "payment", field: "lines", effect: "none" });
    }
    expect(await stock.confirm(part)).toEqual({ kind: "confirmed", lines: part.lines });
    const other = { ...part, operationId: "another payment", lines: [line("mug", 2)] };
    expect(await stock.confirm(other)).toEqual({ kind: "already-confirmed", lines: part.lines });
    // All of it is all of it, named or not.
    await stock.reserve({ reservationId: "all", lines: [line("mug", 2), line("cup", 1)] });
    const all = { reservationId: "all", operationId: "payment" };
    expect((await stock.confirm(all)).kind).toBe("confirmed");
    expect((await stock.confirm({ ...all, lines: [line("cup", 1), line("mug", 2)] })).kind).toBe("confirmed");
    expect(await stock.levels(["mug", "cup"])).toEqual(
      new Map([
        ["mug", { onHand: 6, reserved: 0, available: 6 }],
        ["cup", { onHand: 8, reserved: 0, available: 8 }],
      ]),
    );
  });

  it("V2 a no stays a no for that id, also when stock has come", async () => {
    const stock = place.inventory();
    await stock.restock({ operationId: "delivery", lines: [line("mug", 1)] });
    const no = { kind: "insufficient", shortages: [{ sku: "mug", wanted: 2, available: 1 }] };
    expect(await stock.decrement({ operationId: "d", lines: [line("mug", 2)] })).toEqual(no);
    await stock.restock({ operationId: "delivery-2", lines: [line("mug", 10)] });
    expect(await stock.decrement({ operationId: "d", lines: [line("mug", 2)] })).toEqual(no);
    expect(await stock.outcome("d")).toEqual(no);
    expect((await stock.level("mug")).onHand).toBe(11);
  });

  it("V2 a no is given only when no due hold is unreturned: until then it is busy, and nothing is decided", async () => {
    const stock = place.inventory();
    const held = 250;
    await stock.restock({ operationId: "delivery", lines: [line("mug", held), line("cup", 1)] });
    await Promise.all(
      Array.from({ length: held }, (_, index) =>
        stock.reserve({ reservationId: `r${index}`, lines: [line("mug", 1)] }),
      ),
    );
    await endHolds(place, stock);
    const all = { operationId: "all", lines: [line("mug", held)] };
    const kindsSeen: string[] = [];
    for (let result = await stock.decrement(all); ; result = await stock.decrement(all)) {
      kindsSeen.push(result.kind);
      if (result.kind !== "busy") break;
    }
    // 250 holds are returned a hundred at a time, so two answers come before the one that sees them all back.
    expect(kindsSeen).toEqual(["busy", "busy", "decremented"]);
  });

  it("V3 a basket is all or nothing, a sku on two lines is summed, and every shortage is told at once", async () => {
    const stock = place.inventory();
    await stock.restock({ operationId: "delivery", lines: [line("a", 5), line("b", 1), line("c", 1)] });
    const result = await stock.decrement({
      operationId: "basket",
      lines: [line("a", 1), line("b", 2), line("c", 1), line("c", 1), line("d", 1)],
    });
    expect(result).toEqual({
      kind: "insufficient",
      shortages: [
        { sku: "b", wanted: 2, available: 1 },
        { sku: "c", wanted: 2, available: 1 },
        { sku: "d", wanted: 1, available: 0 },
      ],
    });
    expect([...(await stock.levels(["a", "b", "c", "d"])).values()].map(({ onHand }) => onHand)).toEqual([5, 1, 1, 0]);
    const doubled = await stock.decrement({ operationId: "doubled", lines: [line("a", 2), line("a", 3)] });
    expect(doubled).toEqual({ kind: "decremented", lines: [line("a", 5)] });
  });

  it("V3 an adjustment that takes of one sku and brings of another tells what is short, and not what it brings", async () => {
    const stock = place.inventory();
    await stock.restock({ operationId: "delivery", lines: [line("mug", 3)] });
    const recount = { operationId: "recount", reason: "mixed up", lines: [line("mug", -10), line("cup", 5)] };
    const no = { kind: "insufficient", shortages: [{ sku: "mug", wanted: 10, available: 3 }] };
    expect(await stock.adjust(recount)).toEqual(no);
    expect(await stock.adjust(recount)).toEqual(no);
    expect(await stock.outcome("recount")).toEqual(no);
    expect((await stock.level("cup")).onHand).toBe(0);
  });

  it("V3 counter-test: a recipe that looks at one line after the other takes a sku on two lines below 0", async () => {
    const key = "{v3}recipe";
    await place.client.set(key, 1);
    const careless = `
      for _, quantity in ipairs(ARGV) do
        if tonumber(redis.call("GET", KEYS[1])) < tonumber(quantity) then return -1 end
      end
      for _, quantity in ipairs(ARGV) do redis.call("DECRBY", KEYS[1], quantity) end
      return 1`;
    expect(await place.client.eval(careless, 1, key, 1, 1)).toBe(1);
    expect(await place.client.get(key)).toBe("-1");
  });

  it("V4 a reservation ends exactly once, and later calls hear how", async () => {
    const stock = place.inventory();
    await stock.restock({ operationId: "delivery", lines: [line("mug", 10)] });
    const reserve = (reservationId: string, holdMs = 60_000) =>
      stock.reserve({ reservationId, holdMs, lines: [line("mug", 2)] });
    await reserve("confirmed");
    expect(await stock.confirm({ reservationId: "confirmed" })).toEqual({ kind: "confirmed", lines: [line("mug", 2)] });
    expect((await stock.confirm({ reservationId: "confirmed" })).kind).toBe("already-confirmed");
    expect((await stock.release({ reservationId: "confirmed" })).kind).toBe("already-confirmed");
    expect((await stock.extend({ reservationId: "confirmed", operationId: "e1", holdMs: 50 })).kind).toBe(
      "already-confirmed",
    );
    await reserve("released");
    expect(await stock.release({ reservationId: "released" })).toEqual({ kind: "released", lines: [line("mug", 2)] });
    expect((await stock.release({ reservationId: "released" })).kind).toBe("already-released");
    expect((await stock.confirm({ reservationId: "released" })).kind).toBe("already-released");
    expect((await stock.extend({ reservationId: "released", operationId: "e2", holdMs: 50 })).kind).toBe(
      "already-released",
    );
    const short = await reserve("expired", 50);
    await passed(place, stock, short.kind === "reserved" ? short.expiresAtMs : 0);
    expect((await stock.confirm({ reservationId: "expired" })).kind).toBe("expired");
    expect((await stock.release({ reservationId: "expired" })).kind).toBe("expired");
    expect((await stock.extend({ reservationId: "expired", operationId: "e3", holdMs: 50 })).kind).toBe("expired");
    expect((await reserve("expired", 50)) as object).toMatchObject({ kind: "reserved", state: "expired" });
    expect((await stock.confirm({ reservationId: "never" })).kind).toBe("absent");
    expect((await stock.extend({ reservationId: "never", operationId: "e4", holdMs: 50 })).kind).toBe("absent");
    expect(await stock.level("mug")).toEqual({ onHand: 8, reserved: 0, available: 8 });
  });

  it("V4 many ends of one reservation at once: one of them wins", async () => {
    const stock = place.inventory();
    await stock.restock({ operationId: "delivery", lines: [line("mug", 3)] });
    for (let round = 0; round < 20; round += 1) {
      const reservationId = `r${round}`;
      await stock.reserve({ reservationId, lines: [line("mug", 1)] });
      const before = await stock.level("mug");
      const ends = await Promise.all([
        stock.confirm({ reservationId }),
        stock.release({ reservationId }),
        stock.confirm({ reservationId }),
        stock.release({ reservationId }),
      ]);
      const won = ends.map(({ kind }) => kind).filter((kind) => kind === "confirmed" || kind === "released");
      expect(won).toHaveLength(1);
      const after = await stock.level("mug");
      expect(after.reserved).toBe(before.reserved - 1);
      if (won[0] === "confirmed") await stock.restock({ operationId: `back${round}`, lines: [line("mug", 1)] });
    }
    expect(await stock.level("mug")).toEqual({ onHand: 3, reserved: 0, available: 3 });
  });

  it("V4 a hold that is past its end is returned by a sweep, by a level, and by any order, and by nothing twice", async () => {
    const stock = place.inventory();
    await stock.restock({ operationId: "delivery", lines: [line("mug", 4)] });
    const lapse = async (reservationId: string): Promise<void> => {
      const result = await stock.reserve({ reservationId, holdMs: 50, lines: [line("mug", 4)] });
      await passed(place, stock, result.kind === "reserved" ? result.expiresAtMs : 0);
    };
    await lapse("by-sweep");
    expect(await place.raw("HGET", stock, "stock", "r#mug")).toBe("4");
    expect(await stock.sweep()).toMatchObject({ expired: 1, more: false, nextExpiryAtMs: null });
    expect(await stock.sweep()).toMatchObject({ expired: 0 });
    await lapse("by-level");
    expect(await stock.level("mug")).toEqual({ onHand: 4, reserved: 0, available: 4 });
    await lapse("by-order");
    expect((await stock.decrement({ operationId: "d", lines: [line("mug", 4)] })).kind).toBe("decremented");
  });

  it("V4 counter-test: a hold that is only a key with a ttl never returns its stock", async () => {
    const [key, hold] = ["{v4}stock", "{v4}hold"];
    await place.client.set(key, 1);
    await place.client.eval(`redis.call("DECR", KEYS[1]) redis.call("SET", KEYS[2], 1, "PX", 20)`, 2, key, hold);
    while ((await place.client.exists(hold)) === 1) continue;
    expect(await place.client.get(key)).toBe("0");
  });

  it("V7 quantities are whole numbers from 1 to 2^40, and anything else changes nothing", async () => {
    const stock = place.inventory();
    await stock.restock({ operationId: "delivery", lines: [line("mug", 5)] });
    for (const quantity of [
      0,
      -1,
      1.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      2 ** 40 + 1,
      2 ** 53,
      "1" as unknown as number,
    ]) {
      const lines = [line("mug", 1), line("mug", quantity)];
      expect((await failure(stock.decrement({ operationId: "d", lines }))).name).toMatch(/^(Range|Type)Error$/u);
      expect((await failure(stock.reserve({ reservationId: "r", lines }))).name).toMatch(/^(Range|Type)Error$/u);
      expect((await failure(stock.restock({ operationId: "k", lines }))).name).toMatch(/^(Range|Type)Error$/u);
    }
    expect(await stock.level("mug")).toEqual({ onHand: 5, reserved: 0, available: 5 });
    expect((await stock.restock({ operationId: "most", lines: [line("bolt", 2 ** 40)] })).kind).toBe("restocked");
    expect((await stock.decrement({ operationId: "all", lines: [line("bolt", 2 ** 40)] })).kind).toBe("decremented");
  });

  it("V7 counter-test: the usual recipe sells a negative quantity and has more stock afterwards", async () => {
    const key = "{v7}recipe";
    await place.client.set(key, 5);
    expect(await place.client.eval(recipe, 1, key, -10)).toBe(15);
  });

  it("V8 an id older than rememberMs is refused, not run again", async () => {
    const stock = place.inventory({ rememberMs: 60 });
    await stock.restock({ operationId: "delivery", lines: [line("mug", 5)] });
    const order = { operationId: "d", lines: [line("mug", 1)] };
    await stock.decrement(order);
    await passed(place, stock, (await place.nowMs(stock)) + 70);
    expect(await failure(stock.decrement(order))).toMatchObject({ name: "IdForgottenError", effect: "none", id: "d" });
    expect((await stock.level("mug")).onHand).toBe(4);
  });

  it("V8 an id that carries its time is refused for ever, also when nothing is remembered of it", async () => {
    const stock = place.inventory({ rememberMs: 60_000 });
    await stock.restock({ operationId: "delivery", lines: [line("mug", 5)] });
    const oldMs = Math.floor(await place.nowMs(stock)) - 61_000;
    const hex = oldMs.toString(16).padStart(12, "0");
    const uuid = `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
    const lines = [line("mug", 1)];
    expect((await failure(stock.decrement({ operationId: uuid, lines }))).name).toBe("IdForgottenError");
    expect((await failure(stock.decrement({ operationId: "d", issuedAt: oldMs, lines }))).name).toBe(
      "IdForgottenError",
    );
    expect((await failure(stock.reserve({ reservationId: "r", issuedAt: new Date(oldMs), lines }))).name).toBe(
      "IdForgottenError",
    );
    expect(await stock.outcome(uuid)).toEqual({ kind: "forgotten" });
    expect((await stock.decrement({ operationId: "d", issuedAt: oldMs + 30_000, lines })).kind).toBe("decremented");
    expect((await stock.level("mug")).onHand).toBe(4);
  });

  it("V8 an id that says it is of a time no clock tells is an id as any other, and its hold as long as asked for", async () => {
    const stock = place.inventory();
    await stock.restock({ operationId: "delivery", lines: [line("mug", 5)] });
    for (const reservationId of ["ffffffff-ffff-7fff-bfff-ffffffffffff", "00000000-0000-7000-8000-000000000000"]) {
      const request = { reservationId, holdMs: 60_000, lines: [line("mug", 1)] };
      const sentMs = await place.nowMs(stock);
      const held = await stock.reserve(request);
      if (held.kind !== "reserved") throw new Error(held.kind);
      expect(held.expiresAtMs - sentMs).toBeGreaterThanOrEqual(60_000);
      expect(held.expiresAtMs - (await place.nowMs(stock))).toBeLessThanOrEqual(60_001);
      expect(await stock.reserve(request)).toEqual(held);
    }
  });

  it("V8 a live hold is never forgotten, however many turns the records take meanwhile", async () => {
    const stock = place.inventory();
    await stock.restock({ operationId: "delivery", lines: [line("mug", 9)] });
    await stock.reserve({ reservationId: "long", lines: [line("mug", 2)] });
    for (let turn = 0; turn < 5; turn += 1) {
      await turnRecords(place, stock);
      await stock.decrement({ operationId: `d${turn}`, lines: [line("mug", 1)] });
    }
    expect(await stock.level("mug")).toEqual({ onHand: 4, reserved: 2, available: 2 });
    expect((await stock.confirm({ reservationId: "long" })).kind).toBe("confirmed");
    for (let turn = 5; turn < 7; turn += 1) {
      await turnRecords(place, stock);
      await stock.restock({ operationId: `k${turn}`, lines: [line("mug", 1)] });
    }
    // What has ended is forgotten, so memory is bounded: two turns are kept, three have passed.
    const records = [await place.raw("HLEN", stock, "recordsA"), await place.raw("HLEN", stock, "recordsB")];
    expect(Number(records[0]) + Number(records[1])).toBeLessThanOrEqual(4);
  });

  it("V8 counter-test: ids that are keys with a ttl run again when it is over, and a hold kept like that is gone while it lasts", async () => {
    const [key, id, hold] = ["{v8}stock", "{v8}id", "{v8}hold"];
    await place.client.set(key, 5);
    const order = `
      if redis.call("SET", KEYS[2], 1, "NX", "PX", 60000) then redis.call("DECR", KEYS[1]) end
      return redis.call("GET", KEYS[1])`;
    const forgotten = async (name: string): Promise<void> => {
      await place.client.pexpire(name, 1);
      while ((await place.client.exists(name)) === 1) continue;
    };
    expect(await place.client.eval(order, 2, key, id)).toBe("4");
    expect(await place.client.eval(order, 2, key, id)).toBe("4");
    await forgotten(id);
    expect(await place.client.eval(order, 2, key, id)).toBe("3");
    // The record of a hold of a minute, forgotten as fast as others: whoever pays it finds nothing, and its unit is off the shelf.
    expect(await place.client.eval(order, 2, key, hold)).toBe("2");
    await forgotten(hold);
    expect(await place.client.del(hold)).toBe(0);
    expect(await place.client.get(key)).toBe("2");
  });
});
