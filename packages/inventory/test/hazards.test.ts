/** The measured failures of other inventories, each as an outage that does not happen here, and the hazards of Redis that touch stock. */
import { pollUntil } from "@holdfast/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { Inventory, startCursor, type Movement } from "../src/index.ts";
import { bucketKeys } from "../src/keys.ts";
import { endHolds, failure, openClients, passed, patient, patientAndNot, proxiedServer } from "./clients.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const keys = bucketKeys("holdfast", "shop", 0);

let stock: Inventory;
const open = openClients();
const place = proxiedServer();

beforeEach(() => {
  stock = new Inventory(open(place.server), "shop", patient);
});

describe("what others got wrong", () => {
  it("a negative quantity adds no stock: it is refused before anything is sent", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
    expect((await failure(stock.decrement({ operationId: "d", lines: [line("mug", -10)] }))).name).toBe("RangeError");
    expect((await stock.level("mug")).onHand).toBe(5);
  });

  it("one sku twice in a basket is not sold below 0", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 1)] });
    const basket = { operationId: "d", lines: [line("mug", 1), line("mug", 1)] };
    expect((await stock.decrement(basket)).kind).toBe("insufficient");
    expect((await stock.level("mug")).onHand).toBe(1);
  });

  it("an abandoned cart comes back although its process and its keys' ttl never did anything", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 1)] });
    const held = await stock.reserve({ reservationId: "cart", holdMs: 50, lines: [line("mug", 1)] });
    await passed(place.server, held.kind === "reserved" ? held.expiresAtMs : 0);
    expect((await stock.decrement({ operationId: "d", lines: [line("mug", 1)] })).kind).toBe("decremented");
    for (const key of (await place.server.call("KEYS", "*")) as string[])
      expect(await place.server.call("PTTL", key)).toBe(-1);
  });

  it("a retry of the order that holds the last unit is not told that it is sold out", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 1)] });
    const order = { operationId: "d", lines: [line("mug", 1)] };
    expect(await stock.decrement(order)).toEqual(await stock.decrement(order));
  });

  it("compensating twice gives nothing back twice", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 3)] });
    await stock.reserve({ reservationId: "r", lines: [line("mug", 2)] });
    await Promise.all(Array.from({ length: 5 }, () => stock.release({ reservationId: "r" })));
    expect(await stock.level("mug")).toEqual({ onHand: 3, reserved: 0, available: 3 });
  });

  it("a payment that arrives after the hold has the units again if they are there, and hears no for good if not", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 2)] });
    for (const reservationId of ["lucky", "unlucky"]) {
      const held = await stock.reserve({ reservationId, holdMs: 50, lines: [line("mug", 2)] });
      await passed(place.server, held.kind === "reserved" ? held.expiresAtMs : 0);
      expect((await stock.confirm({ reservationId })).kind).toBe("expired");
      if (reservationId === "unlucky") await stock.decrement({ operationId: "other", lines: [line("mug", 1)] });
      const late = await stock.confirm({ reservationId, retakeIfExpired: true });
      if (reservationId === "lucky") {
        expect(late.kind).toBe("confirmed");
        await stock.restock({ operationId: "more", lines: [line("mug", 2)] });
      } else {
        const no = { kind: "insufficient", shortages: [{ sku: "mug", wanted: 2, available: 1 }] };
        expect(late).toEqual(no);
        await stock.restock({ operationId: "again", lines: [line("mug", 5)] });
        expect(await stock.confirm({ reservationId, retakeIfExpired: true })).toEqual(no);
        expect((await stock.confirm({ reservationId })).kind).toBe("expired");
      }
    }
  });

  it("a part is confirmed, the rest is free again, and more than is held is refused", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 5), line("cup", 5)] });
    await stock.reserve({ reservationId: "r", lines: [line("mug", 3), line("cup", 2)] });
    for (const lines of [[line("mug", 4)], [line("spoon", 1)], [line("mug", 1), line("spoon", 1)]]) {
      const error = await failure(stock.confirm({ reservationId: "r", lines }));
      expect(error).toMatchObject({ name: "ExceedsReservationError", effect: "none", sku: lines.at(-1)?.sku });
    }
    expect(await stock.confirm({ reservationId: "r", lines: [line("mug", 1)] })).toEqual({
      kind: "confirmed",
      lines: [line("mug", 1)],
    });
    expect(await stock.confirm({ reservationId: "r" })).toEqual({ kind: "already-confirmed", lines: [line("mug", 1)] });
    expect([...(await stock.levels(["mug", "cup"])).values()]).toEqual([
      { onHand: 4, reserved: 0, available: 4 },
      { onHand: 5, reserved: 0, available: 5 },
    ]);
    const first = await stock.reserve({ reservationId: "r", lines: [line("mug", 3), line("cup", 2)] });
    expect(first).toMatchObject({ state: "confirmed", lines: [line("cup", 2), line("mug", 3)] });
  });

  it("a reseed does not overwrite what was sold meanwhile, and says so", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
    const ifCursor = await stock.cursor();
    await stock.decrement({ operationId: "sold", lines: [line("mug", 1)] });
    expect((await stock.seed({ mug: 5 }, { ifCursor })).kind).toBe("moved");
    expect((await stock.level("mug")).onHand).toBe(4);
    await stock.reserve({ reservationId: "r", lines: [line("mug", 3)] });
    const now = await stock.cursor();
    expect(await stock.seed({ mug: 2 }, { ifCursor: now })).toEqual({
      kind: "below-reserved",
      sku: "mug",
      reserved: 3,
    });
    expect((await stock.seed({ mug: 3 }, { ifCursor: now, operationId: "s" })).kind).toBe("seeded");
    expect((await stock.seed({ mug: 3 }, { ifCursor: now, operationId: "s" })).kind).toBe("seeded");
    const other = stock.seed({ mug: 4 }, { ifCursor: now, operationId: "s" });
    expect(await failure(other)).toMatchObject({ name: "DifferentRequestError", field: "snapshot" });
  });

  it("a reseed is not refused for holds that are over, however many are still to be returned", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 300)] });
    await Promise.all(
      Array.from({ length: 250 }, (_, index) =>
        stock.reserve({ reservationId: `cart-${index}`, lines: [line("mug", 1)] }),
      ),
    );
    await endHolds(place.server);
    let ifCursor = startCursor;
    for await (const { sequence, stamp } of stock.movements()) ifCursor = { sequence, stamp };
    const refused = await stock.seed({ mug: 40 }, { ifCursor });
    expect(refused.kind).toBe("moved");
    expect(
      (await stock.seed({ mug: 40 }, { ifCursor: refused.kind === "moved" ? refused.cursor : ifCursor })).kind,
    ).toBe("seeded");
    expect(await stock.level("mug")).toEqual({ onHand: 40, reserved: 0, available: 40 });
  });

  it("a comparison with the ledger follows sales that go on, and reports only what really differs", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 9), line("cup", 9)] });
    const at = await stock.cursor();
    await stock.decrement({ operationId: "sold", lines: [line("mug", 2)] });
    expect(await stock.reconcile({ mug: 9, cup: 9 }, at)).toMatchObject({ drift: [], compared: 2 });
    expect(await stock.reconcile({ mug: 8, cup: 9 }, at)).toMatchObject({
      drift: [{ sku: "mug", expected: 6, found: 7 }],
    });
    expect((await stock.level("mug")).onHand).toBe(7);
  });
});

describe("what Redis and the network do", () => {
  it("an order whose reply is lost is carried out once, although the client sends it again", async () => {
    const through = new Inventory(open(place.proxy), "shop", patient);
    await through.restock({ operationId: "k", lines: [line("mug", 5)] });
    const lost = place.proxy.swallowReply("evalsha");
    expect((await through.decrement({ operationId: "d", lines: [line("mug", 1)] })).kind).toBe("decremented");
    expect(lost.hits).toBe(1);
    expect((await stock.level("mug")).onHand).toBe(4);
  });

  it("counter-test: a plain DECRBY whose reply is lost is carried out twice", async () => {
    const client = open(place.proxy);
    await client.set("plain", 5);
    place.proxy.swallowReply("decrby");
    await client.decrby("plain", 1);
    expect(await place.server.call("GET", "plain")).toBe("3");
  });

  it("an end whose reply is lost tells the first answer, at every kind of call", async () => {
    const through = new Inventory(open(place.proxy), "shop", patient);
    await through.restock({ operationId: "k", lines: [line("mug", 9)] });
    await through.reserve({ reservationId: "warm", lines: [line("mug", 1)] });
    const calls: readonly (readonly [string, () => Promise<{ kind: string }>])[] = [
      ["reserved", () => through.reserve({ reservationId: "a", lines: [line("mug", 1)] })],
      ["confirmed", () => through.confirm({ reservationId: "a" })],
      ["reserved", () => through.reserve({ reservationId: "b", lines: [line("mug", 1)] })],
      ["extended", () => through.extend({ reservationId: "b", operationId: "e", holdMs: 900_000 })],
      ["released", () => through.release({ reservationId: "b" })],
      ["restocked", () => through.restock({ operationId: "k2", lines: [line("mug", 1)] })],
      ["adjusted", () => through.adjust({ operationId: "j", reason: "x", lines: [line("mug", -1)] })],
      ["absent", () => through.outcome("never")],
    ];
    for (const [kind, call] of calls) {
      await pollUntil("the client is back", async () => (await through.level("mug")).onHand > 0);
      const lost = place.proxy.swallowReply(/^evalsha|^eval/i);
      expect((await call()).kind).toBe(kind);
      expect(lost.hits).toBe(1);
    }
    expect(await stock.level("mug")).toEqual({ onHand: 8, reserved: 1, available: 7 });
  });

  it("a decrement that arrives after its outcome was read as absent does nothing", async () => {
    const [before, slow] = patientAndNot(open(place.proxy));
    await before.restock({ operationId: "k", lines: [line("mug", 5)] });
    const held = place.proxy.hold("request", "evalsha");
    const error = await failure(slow.decrement({ operationId: "d", lines: [line("mug", 1)] }));
    expect(error).toMatchObject({ name: "OutcomeUnknownError", operationId: "d", effect: "possible" });
    expect(await stock.outcome("d")).toEqual({ kind: "absent" });
    held.release();
    await before.level("mug");
    expect(held.hits).toBe(1);
    expect((await stock.level("mug")).onHand).toBe(5);
    expect((await failure(stock.decrement({ operationId: "d", lines: [line("mug", 1)] }))).name).toBe("IdSealedError");
  });

  it("the seal holds by itself: a decrement that is in time by K1 finds it, too", async () => {
    const slow = new Inventory(open(place.proxy), "shop", { commandTimeoutMs: 60_000 });
    await slow.restock({ operationId: "k", lines: [line("mug", 5)] });
    const held = place.proxy.hold("request", "evalsha");
    const call = failure(slow.decrement({ operationId: "d", lines: [line("mug", 1)] }));
    const reservation = failure(slow.reserve({ reservationId: "r", lines: [line("mug", 1)] }));
    await held.hit;
    expect(await stock.outcome("d")).toEqual({ kind: "absent" });
    expect((await stock.release({ reservationId: "r" })).kind).toBe("absent");
    held.release();
    expect([(await call).name, (await reservation).name]).toEqual(["IdSealedError", "IdSealedError"]);
    expect((await stock.level("mug")).onHand).toBe(5);
  });

  it("a confirmation whose answer is lost for good is repeated under its operation id and gets the first answer", async () => {
    const [before, slow] = patientAndNot(open(place.proxy));
    await before.restock({ operationId: "k", lines: [line("mug", 5)] });
    await before.reserve({ reservationId: "r", lines: [line("mug", 1)] });
    place.proxy.hold("reply", "evalsha");
    const error = await failure(slow.confirm({ reservationId: "r" }));
    expect(error.name).toBe("OutcomeUnknownError");
    const { operationId } = error as Error & { operationId: string };
    expect((await stock.confirm({ reservationId: "r", operationId })).kind).toBe("confirmed");
    expect((await stock.confirm({ reservationId: "r" })).kind).toBe("already-confirmed");
  });

  it("when memory is out, orders are refused and ends go through, so that stock comes back", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
    for (const reservationId of ["a", "b", "c"]) await stock.reserve({ reservationId, lines: [line("mug", 1)] });
    await stock.reserve({ reservationId: "short", lines: [line("mug", 1)] });
    await stock.level("mug");
    await place.server.call("CONFIG", "SET", "maxmemory", "1");
    try {
      const error = await failure(stock.decrement({ operationId: "d", lines: [line("mug", 1)] }));
      expect(error).toMatchObject({ name: "RedisUnavailableError", reason: "OOM", effect: "none" });
      expect((await stock.release({ reservationId: "a" })).kind).toBe("released");
      expect((await stock.confirm({ reservationId: "b" })).kind).toBe("confirmed");
      await place.server.call("CONFIG", "SET", "maxmemory", "0");
      await endHolds(place.server, ["short"]);
      await place.server.call("CONFIG", "SET", "maxmemory", "1");
      expect(await stock.sweep()).toMatchObject({ expired: 1 });
      expect(await stock.level("mug")).toEqual({ onHand: 4, reserved: 1, available: 3 });
    } finally {
      await place.server.call("CONFIG", "SET", "maxmemory", "0");
    }
  });

  it("K3 when memory is out, a consumer commits, and cuts off the log that memory ran out for", async () => {
    const orders = Array.from({ length: 500 }, (_, index) => ({ operationId: `k${index}`, lines: [line("mug", 1)] }));
    await Promise.all(orders.map((order) => stock.restock(order)));
    const ledger = stock.consumer("ledger");
    const read = await ledger.next();
    await place.server.call("CONFIG", "SET", "maxmemory", "1");
    try {
      expect((await ledger.commit(read[9] as Movement)).kind).toBe("committed");
      expect((await ledger.commit(read.at(-1) as Movement)).kind).toBe("committed");
      expect(await place.server.call("XLEN", bucketKeys("holdfast", "shop", 0).log)).toBeLessThanOrEqual(101);
    } finally {
      await place.server.call("CONFIG", "SET", "maxmemory", "0");
    }
    expect(await ledger.position()).toMatchObject({ sequence: 500 });
  });

  it("numbers beyond 14 digits stay whole in counters, records and movements", async () => {
    const most = 2 ** 40;
    for (let index = 0; index < 200; index += 1) {
      await stock.restock({ operationId: `k${index}`, lines: Array.from({ length: 4 }, () => line("bolt", most / 4)) });
    }
    await stock.seed({ bolt: Number.MAX_SAFE_INTEGER - 1 }, { ifCursor: await stock.cursor() });
    await stock.reserve({ reservationId: "r", lines: [line("bolt", most - 1)] });
    expect((await stock.level("bolt")).available).toBe(Number.MAX_SAFE_INTEGER - most);
    expect((await stock.restock({ operationId: "one", lines: [line("bolt", 1)] })).kind).toBe("restocked");
    expect(await failure(stock.restock({ operationId: "two", lines: [line("bolt", 1)] }))).toMatchObject({
      name: "StockOverflowError",
      sku: "bolt",
    });
    let sum = 0;
    for await (const { changes } of stock.movements()) for (const { onHand } of changes) sum += onHand;
    expect(sum).toBe(Number.MAX_SAFE_INTEGER);
    expect((await stock.level("bolt")).onHand).toBe(Number.MAX_SAFE_INTEGER);
  });

  it("a newer format is refused with a clear error before anything is done", async () => {
    await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
    await place.server.call("HSET", keys.stock, "#form", "2:1:1795316798360624");
    const calls = [
      stock.decrement({ operationId: "d", lines: [line("mug", 1)] }),
      stock.movements().next(),
      stock.consumer("ledger").next(),
    ];
    for (const call of calls) {
      const error = await failure(call);
      expect(error).toMatchObject({ name: "NewerFormatError", found: 2, supported: 1, effect: "none" });
    }
  });

  it("a basket of a thousand lines is one step, and more are refused", async () => {
    const lines = Array.from({ length: 1_000 }, (_, index) => line(`sku-${index}`, 2));
    await stock.restock({ operationId: "k", lines });
    const held = await stock.reserve({ reservationId: "r", holdMs: 100, lines });
    expect(held).toMatchObject({ kind: "reserved" });
    await passed(place.server, held.kind === "reserved" ? held.expiresAtMs : 0);
    expect((await stock.decrement({ operationId: "d", lines })).kind).toBe("decremented");
    expect((await failure(stock.decrement({ operationId: "e", lines: [...lines, line("one more", 1)] }))).name).toBe(
      "RangeError",
    );
    expect((await failure(stock.decrement({ operationId: "e", lines: [] }))).name).toBe("RangeError");
    expect((await stock.level("sku-999")).onHand).toBe(0);
  });
});
