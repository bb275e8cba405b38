/** V9: hot skus over several buckets, on one server and on a Cluster, where the buckets lie in different slots. */
import { describe, expect, it } from "vitest";
import { importStock, Inventory, startCursor, type InventoryEvent } from "../src/index.ts";
import { bucketKeys, bucketOf } from "../src/keys.ts";
import { failure, patient } from "./clients.ts";
import { kinds, passed, usePlace } from "./places.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const buckets = { hot: 4 };

/** An id that the given bucket decides; a name without spaces, which ids are sent without. */
function idIn(bucket: number, name: string): string {
  for (let index = 0; ; index += 1) if (bucketOf(`${name}-${index}`, 4) === bucket) return `${name}-${index}`;
}

describe.each(kinds)("on %s", (kind) => {
  const place = usePlace(kind);
  const spread = (): Inventory => place.inventory({ buckets });
  const counter = async (stock: Inventory, bucket: number, sku = "hot"): Promise<number> =>
    Number((await place.client.hget(bucketKeys("holdfast", stock.name, bucket).stock, sku)) ?? 0);

  it("V9 a unit that is free at rest is found wherever it lies", async () => {
    const stock = spread();
    for (let bucket = 0; bucket < 4; bucket += 1) {
      await stock.restock({ operationId: idIn(bucket, "delivery"), lines: [line("hot", 1)] });
      expect(await counter(stock, bucket)).toBe(1);
    }
    for (let buyer = 0; buyer < 4; buyer += 1) {
      const result = await stock.decrement({ operationId: idIn(2, `buyer${buyer}`), lines: [line("hot", 1)] });
      expect(result.kind).toBe("decremented");
    }
    expect(await stock.decrement({ operationId: idIn(1, "late"), lines: [line("hot", 1)] })).toEqual({
      kind: "insufficient",
      shortages: [{ sku: "hot", wanted: 1, available: 0 }],
    });
    expect(await stock.level("hot")).toEqual({ onHand: 0, reserved: 0, available: 0 });
  });

  it("V9 counter-test: buckets that do not look at one another say sold out while units are free", async () => {
    const [full, empty] = ["{v9a}bucket", "{v9b}bucket"];
    await place.client.set(full, 1);
    await place.client.set(empty, 0);
    const recipe = `if tonumber(redis.call("GET", KEYS[1])) < 1 then return -1 end return redis.call("DECR", KEYS[1])`;
    expect(await place.client.eval(recipe, 1, empty)).toBe(-1);
    expect(await place.client.get(full)).toBe("1");
  });

  it("V9 200 units and 400 buyers: exactly 200 are sold, whichever bucket decides", async () => {
    const stock = spread();
    await stock.restock({ operationId: "delivery", lines: [line("hot", 200)] });
    const results = await Promise.all(
      Array.from({ length: 400 }, async (_, buyer) => {
        const order = { operationId: `buyer-${buyer}`, lines: [line("hot", 1)] };
        let result = await stock.decrement(order);
        while (result.kind === "busy") result = await stock.decrement(order);
        return result.kind;
      }),
    );
    expect(results.filter((result) => result === "decremented")).toHaveLength(200);
    expect(await stock.level("hot")).toEqual({ onHand: 0, reserved: 0, available: 0 });
    // Each bucket's log makes its own state, transfers included.
    let sold = 0;
    for (let bucket = 0; bucket < 4; bucket += 1) {
      let onHand = 0;
      for await (const movement of stock.movements({ bucket })) {
        for (const change of movement.changes) onHand += change.onHand;
        if (movement.kind === "decrement") sold += 1;
      }
      expect(onHand).toBe(await counter(stock, bucket));
    }
    expect(sold).toBe(200);
  });

  it("V9 as many buyers as units: each gets one, also while units travel between buckets", async () => {
    const units = 60;
    const stock = spread();
    // As four processes: what one fetches, another one may be looking for.
    const clients = Array.from({ length: 4 }, () => new Inventory(place.client, stock.name, { ...patient, buckets }));
    // All in one bucket, so that the others have to fetch.
    await stock.restock({ operationId: "delivery", lines: [line("hot", units)] });
    const kinds = await Promise.all(
      Array.from({ length: units }, async (_, buyer) => {
        const by = clients[buyer % clients.length] as Inventory;
        const order = { operationId: `buyer-${buyer}`, lines: [line("hot", 1)] };
        let result = await by.decrement(order);
        while (result.kind === "busy") result = await by.decrement(order);
        return result.kind;
      }),
    );
    expect(kinds).toEqual(Array.from({ length: units }, () => "decremented"));
    expect(await stock.level("hot")).toEqual({ onHand: 0, reserved: 0, available: 0 });
  });

  it("V9 the id decides first in whatever bucket: repeats, ends and outcomes find their record", async () => {
    const stock = spread();
    await stock.restock({ operationId: "delivery", lines: [line("hot", 10)] });
    await stock.restock({ operationId: "plain", lines: [line("cold", 10)] });
    for (let bucket = 0; bucket < 4; bucket += 1) {
      for (const lines of [[line("hot", 1)], [line("cold", 1)], [line("cold", 1), line("hot", 1)]]) {
        const reservationId = idIn(bucket, lines.map(({ sku }) => sku).join("+"));
        const first = await stock.reserve({ reservationId, lines });
        expect(first).toMatchObject({ kind: "reserved", state: "held" });
        expect(await stock.reserve({ reservationId, lines })).toEqual(first);
        const other = stock.reserve({ reservationId, lines: [line("hot", 2)] });
        expect(await failure(other)).toMatchObject({ name: "DifferentRequestError", field: "lines" });
        const cold = stock.reserve({ reservationId, lines: [line("cold", 2)] });
        expect(await failure(cold)).toMatchObject({ name: "DifferentRequestError", field: "lines" });
        expect(await stock.outcome(reservationId)).toEqual(first);
        const extended = await stock.extend({ reservationId, operationId: `e${reservationId}`, holdMs: 3_600_000 });
        expect(extended.kind).toBe("extended");
        const end = bucket % 2 === 0 ? await stock.confirm({ reservationId }) : await stock.release({ reservationId });
        expect(end.kind).toBe(bucket % 2 === 0 ? "confirmed" : "released");
      }
    }
    expect(await stock.level("hot")).toEqual({ onHand: 6, reserved: 0, available: 6 });
    expect(await stock.level("cold")).toEqual({ onHand: 6, reserved: 0, available: 6 });
    const never = idIn(3, "never");
    expect(await stock.outcome(never)).toEqual({ kind: "absent" });
    expect((await failure(stock.reserve({ reservationId: never, lines: [line("cold", 1)] }))).name).toBe(
      "IdSealedError",
    );
    expect((await failure(stock.reserve({ reservationId: never, lines: [line("hot", 1)] }))).name).toBe(
      "IdSealedError",
    );
  });

  it("V9 allowPartial takes what all buckets have, and an expired hold is had again from another bucket", async () => {
    const stock = spread();
    for (let bucket = 0; bucket < 4; bucket += 1) {
      await stock.restock({ operationId: idIn(bucket, "delivery"), lines: [line("hot", 2)] });
    }
    const reservationId = idIn(0, "cart");
    const held = await stock.reserve({ reservationId, holdMs: 50, lines: [line("hot", 2)] });
    await passed(place, stock, held.kind === "reserved" ? held.expiresAtMs : 0);
    await stock.decrement({ operationId: idIn(0, "other"), lines: [line("hot", 2)] });
    expect((await stock.confirm({ reservationId, retakeIfExpired: true })).kind).toBe("confirmed");
    const rest = await stock.decrement({ operationId: idIn(1, "rest"), lines: [line("hot", 9)], allowPartial: true });
    expect(rest).toEqual({ kind: "decremented", lines: [line("hot", 4)] });
    expect((await stock.level("hot")).onHand).toBe(0);
  });

  it("V9 a process that dies with units on their way loses none: the next look delivers them, once", async () => {
    const events: InventoryEvent[] = [];
    const stock = place.inventory({ buckets, onEvent: (event) => events.push(event) });
    await stock.restock({ operationId: idIn(1, "delivery"), lines: [line("hot", 5)] });
    // What a process leaves behind that died after the first of the three steps, and what one leaves that died after the second.
    const { Bucket } = await import("../src/bucket.ts");
    const { resolveInventoryOptions } = await import("../src/options.ts");
    const { Connection, EventSink } = await import("@holdfast/core");
    const options = resolveInventoryOptions({ buckets });
    const at = (index: number) =>
      new Bucket(Connection.of(place.client), stock.name, index, options, new EventSink("test"));
    const parcel = await at(1).lend(2, "hot", 3);
    expect(await counter(stock, 1)).toBe(2);
    const delivered = await at(1).lend(3, "hot", 2);
    if (parcel === null || delivered === null) throw new Error("nothing was lent");
    await at(3).receive(delivered);
    await at(3).receive(delivered);
    expect(await counter(stock, 3)).toBe(2);
    expect(await at(1).lend(2, "hot", 3)).toEqual(parcel);
    expect(await stock.level("hot")).toEqual({ onHand: 5, reserved: 0, available: 5 });
    expect([await counter(stock, 1), await counter(stock, 2), await counter(stock, 3)]).toEqual([0, 3, 2]);
    expect(events.filter(({ type }) => type === "gathered")).toHaveLength(2);
    await at(2).receive(parcel);
    expect(await counter(stock, 2)).toBe(3);
  });

  it.each(["nothing", "an outcome", "a release"])(
    "V8 V9 a hold outlives the record that points to it: its id is known, after %s",
    async (before) => {
      const stock = place.inventory({ buckets, rememberMs: 2_000 });
      await stock.restock({ operationId: "delivery", lines: [line("cold", 9)] });
      const { stock: counters } = bucketKeys("holdfast", stock.name, 2);
      const bornMs = Math.floor(await place.nowMs(stock));
      const plain = { reservationId: idIn(2, "cart"), lines: [line("cold", 2)] };
      const timed = { reservationId: idIn(2, "timed"), issuedAt: bornMs, lines: [line("cold", 1)] };
      const hex = bornMs.toString(16).padStart(12, "0");
      const uuid = (index: number): string =>
        `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${String(index).padStart(12, "0")}`;
      let index = 0;
      while (bucketOf(uuid(index), 4) !== 2) index += 1;
      const own = { reservationId: uuid(index), lines: [line("cold", 1)] };
      const requests = [plain, timed, own];
      const held = [];
      for (const request of requests) held.push(await stock.reserve(request));
      await passed(place, stock, bornMs + 2_010);
      for (const turn of [1, 2, 3]) {
        const side = (await place.client.hget(counters, "#side")) ?? "a";
        await place.client.hset(counters, "#side", `${side.slice(0, 1)}1`);
        await stock.restock({ operationId: idIn(2, `turn-${turn}`), lines: [line("hot", 1)] });
      }
      for (const [at, request] of requests.entries()) {
        if (before === "an outcome") expect(await stock.outcome(request.reservationId)).toEqual(held[at]);
        const released = before === "a release";
        if (released) expect((await stock.release(request)).kind).toBe("released");
        expect(await stock.reserve(request)).toEqual({ ...held[at], state: released ? "released" : "held" });
      }
    },
  );

  it("V9 a count of a spread sku is not put on top of what other buckets have: it is made bucket by bucket", async () => {
    const stock = spread();
    for (let bucket = 0; bucket < 4; bucket += 1) {
      await stock.restock({ operationId: idIn(bucket, "delivery"), lines: [line("hot", 10)] });
    }
    const ifCursor = await stock.cursor();
    const refused = { name: "SpreadStockError", sku: "hot", bucket: 1, effect: "none" };
    expect(await failure(stock.seed({ cold: 1, hot: 25 }, { ifCursor }))).toMatchObject(refused);
    const file = { format: "csv", operationId: "count", mode: "count", ifCursor } as const;
    expect(await failure(importStock(stock, "sku,quantity\nhot,25\n", file))).toMatchObject(refused);
    expect((await stock.level("hot")).onHand).toBe(40);
    expect((await stock.level("cold")).onHand).toBe(0);
    for (const [bucket, onHand] of [4, 5, 6, 10].entries()) {
      const cursor = await stock.cursor({ bucket });
      const seeded = await stock.seed({ hot: onHand }, { ifCursor: cursor, bucket });
      expect(seeded).toEqual({ kind: "seeded", cursor: await stock.cursor({ bucket }) });
      expect(await counter(stock, bucket)).toBe(onHand);
    }
    expect(await stock.level("hot")).toEqual({ onHand: 25, reserved: 0, available: 25 });
    const stale = { ifCursor: await stock.cursor({ bucket: 3 }), bucket: 3 };
    await stock.decrement({ operationId: idIn(3, "sold"), lines: [line("hot", 1)] });
    expect((await stock.seed({ hot: 10 }, stale)).kind).toBe("moved");
  });

  it("V2 V9 a count that was carried out says so again, wherever its units have gone since", async () => {
    const stock = spread();
    const first = { ifCursor: startCursor, operationId: "count" };
    const seeded = await stock.seed({ hot: 8 }, first);
    expect(seeded.kind).toBe("seeded");
    await stock.decrement({ operationId: idIn(2, "sold"), lines: [line("hot", 1)] });
    expect(await counter(stock, 2)).toBeGreaterThan(0);
    expect(await stock.seed({ hot: 8 }, first)).toEqual(seeded);
    const other = await failure(stock.seed({ hot: 9 }, first));
    expect(other).toMatchObject({ name: "DifferentRequestError", field: "snapshot" });
    expect((await stock.level("hot")).onHand).toBe(7);
  });

  it("V9 the number of buckets is stored: a client with another one is refused before it does anything", async () => {
    const stock = spread();
    await stock.restock({ operationId: "delivery", lines: [line("hot", 5)] });
    for (const other of [undefined, { hot: 2 }, { hot: 4, hotter: 8 }]) {
      const client = new Inventory(place.client, stock.name, { ...patient, buckets: other });
      const error = await failure(client.decrement({ operationId: "d", lines: [line("hot", 1)] }));
      expect(error).toMatchObject({ name: "BucketsMismatchError", bucketsStored: 4, effect: "none" });
    }
    expect((await stock.level("hot")).onHand).toBe(5);
  });

  it("V9 all buckets together take in 2^53 - 1 units at most, wherever the units go: level is exact", async () => {
    const stock = spread();
    await stock.restock({ operationId: idIn(0, "delivery"), lines: [line("hot", 1), line("cold", 1)] });
    const share = Math.floor(Number.MAX_SAFE_INTEGER / 4);
    const [{ Bucket }, { resolveInventoryOptions }] = await Promise.all([
      import("../src/bucket.ts"),
      import("../src/options.ts"),
    ]);
    const { Connection, EventSink } = await import("@holdfast/core");
    const at = (index: number) =>
      new Bucket(
        Connection.of(place.client),
        stock.name,
        index,
        resolveInventoryOptions({ buckets, ...patient }),
        new EventSink("test"),
      );
    // As after deliveries of many years.
    for (let bucket = 0; bucket < 4; bucket += 1) {
      await place.client.hset(bucketKeys("holdfast", stock.name, bucket).stock, "hot", share - 1);
    }
    const bring = (bucket: number, name: string) =>
      stock.restock({ operationId: idIn(bucket, name), lines: [line("hot", 1)] });
    const overflow = { name: "StockOverflowError", sku: "hot", effect: "none" };
    for (let bucket = 0; bucket < 4; bucket += 1) {
      expect((await bring(bucket, "last")).kind).toBe("restocked");
      expect(await failure(bring(bucket, "beyond"))).toMatchObject(overflow);
    }
    // Room in one bucket that another one has filled is no room.
    const parcel = await at(0).lend(1, "hot", 1_000);
    if (parcel === null) throw new Error("nothing was lent");
    expect(await failure(bring(0, "instead-of-what-is-under-way"))).toMatchObject(overflow);
    await at(1).receive(parcel);
    await at(0).clear(parcel);
    expect(await failure(bring(0, "instead-of-what-has-gone"))).toMatchObject(overflow);
    const adjusted = { operationId: idIn(0, "count"), reason: "count", lines: [line("hot", 1)] };
    expect(await failure(stock.adjust(adjusted))).toMatchObject(overflow);
    expect(await failure(stock.seed({ hot: share }, { ifCursor: await stock.cursor(), bucket: 0 }))).toMatchObject(
      overflow,
    );
    expect(await stock.level("hot")).toEqual({ onHand: share * 4, reserved: 0, available: share * 4 });
    expect(share * 4).toBeLessThanOrEqual(Number.MAX_SAFE_INTEGER);
    // What is sold makes room where it came in.
    expect((await stock.seed({ hot: share - 1_000 }, { ifCursor: await stock.cursor(), bucket: 0 })).kind).toBe(
      "seeded",
    );
    await stock.decrement({ operationId: idIn(0, "sold"), lines: [line("hot", 1)] });
    expect((await bring(0, "for-what-was-sold")).kind).toBe("restocked");
    expect(await failure(bring(0, "and-one-more"))).toMatchObject(overflow);
  });
});
