/** What a call is told as that too few replicas have: done, refused, or a step before it. */
import { Connection, EventSink } from "@holdfast/core";
import { beforeEach, describe, expect, it } from "vitest";
import { Bucket } from "../src/bucket.ts";
import { resolveInventoryOptions } from "../src/options.ts";
import { confirmAcross, importStock, Inventory, reserveAcross, startCursor } from "../src/index.ts";
import { bucketOf } from "../src/keys.ts";
import { endHolds, failure, openClients, patient, proxiedServer } from "./clients.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const open = openClients();
const place = proxiedServer();
const buckets = { hot: 2, warm: 2 };
const durability = { replicas: 1, timeoutMs: 50 };

describe("a spread inventory whose replicas are away", () => {
  /** An id that bucket 1 decides. */
  const inOne = (name: string): string =>
    Array.from({ length: 64 }, (_, index) => `${name}-${index}`).find((id) => bucketOf(id, 2) === 1) as string;
  let plain: Inventory;
  let durable: Inventory;
  beforeEach(async () => {
    const client = open(place.server);
    plain = new Inventory(client, "shop", { ...patient, buckets });
    durable = new Inventory(client, "shop", { ...patient, buckets, durability });
    await plain.restock({ operationId: "cold", lines: [line("cold", 9)] });
  });

  const ends: readonly (readonly [string, object, (reservationId: string) => Promise<unknown>])[] = [
    ["a confirm", { state: "confirmed" }, (reservationId) => durable.confirm({ reservationId, operationId: "mine" })],
    ["a release", { state: "released" }, (reservationId) => durable.release({ reservationId, operationId: "mine" })],
    [
      "an extension",
      { state: "held" },
      (reservationId) => durable.extend({ reservationId, operationId: "mine", holdMs: 3_600_000 }),
    ],
  ];

  it.each(ends)("V9 says of %s that it stands on the master only where it does", async (_, state, end) => {
    const reservationId = inOne("cart");
    const lines = [line("cold", 2)];
    const held = await plain.reserve({ reservationId, lines });
    const standing = { name: "NotReplicatedError", operationId: "mine", effect: "possible" };
    expect(await failure(end(reservationId))).toMatchObject(standing);
    const outcome = await plain.outcome(reservationId);
    expect(outcome).toMatchObject(state);
    if (outcome.kind === "reserved" && outcome.state === "held")
      expect(outcome.expiresAtMs).toBeGreaterThan((held as typeof outcome).expiresAtMs);
  });

  it("V9 fetches what another bucket has before it says that an order stands on the master", async () => {
    const inZero = ["a", "b", "c", "d"].find((id) => bucketOf(id, 2) === 0) as string;
    await plain.restock({ operationId: inZero, lines: [line("hot", 5)] });
    const order = { operationId: inOne("order"), lines: [line("hot", 2)] };
    const names: string[] = [];
    while (names.at(-1) !== "NotReplicatedError" && names.length < 20)
      names.push((await failure(durable.decrement(order))).name);
    expect(new Set(names)).toEqual(new Set(["OutcomeUnknownError", "NotReplicatedError"]));
    expect((await plain.level("hot")).onHand).toBe(3);
    expect((await plain.decrement(order)).kind).toBe("decremented");
  });

  it("V9 is looked at and swept by a process that starts then", async () => {
    const fresh = new Inventory(open(place.server), "shop", { ...patient, buckets, durability });
    expect((await fresh.level("cold")).onHand).toBe(9);
    expect(await fresh.sweep()).toMatchObject({ expired: 0 });
  });

  it("V9 is looked at while units are on their way between buckets, which are counted where they arrive", async () => {
    const inZero = ["a", "b", "c", "d"].find((id) => bucketOf(id, 2) === 0) as string;
    await plain.restock({ operationId: inZero, lines: [line("hot", 5), line("warm", 5)] });
    const options = resolveInventoryOptions({ ...patient, buckets });
    const lender = new Bucket(Connection.of(open(place.server)), "shop", 0, options, new EventSink("test"));
    for (const sku of ["hot", "warm"]) await lender.lend(1, sku, 2);
    const onHand = async (from: Inventory): Promise<number[]> =>
      [...(await from.levels(["hot", "warm"])).values()].map((level) => level.onHand);
    expect(await onHand(durable)).toEqual([5, 5]);
    expect(await onHand(plain)).toEqual([5, 5]);
  });

  it("V9 does not promise that an id stays absent when the bucket that would decide it may forget that", async () => {
    const error = await failure(durable.outcome(inOne("never")));
    expect(error).toMatchObject({ name: "NotReplicatedError", operationId: inOne("never") });
    expect(await failure(durable.release({ reservationId: inOne("nothing") }))).toMatchObject({
      name: "OutcomeUnknownError",
    });
  });
});

describe("durability, while no replica is there", () => {
  const lines = [line("mug", 2)];
  let stock: Inventory;
  let durable: Inventory;
  beforeEach(async () => {
    stock = new Inventory(open(place.server), "shop", patient);
    durable = new Inventory(open(place.server), "shop", { ...patient, durability });
    await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
    for (const reservationId of ["held", "sold", "free"])
      await stock.reserve({ reservationId, lines: [line("mug", 1)] });
    await stock.confirm({ reservationId: "sold" });
    await stock.release({ reservationId: "free" });
  });

  it("V2 what was refused and leaves nothing behind is told as ever", async () => {
    expect(await durable.confirm({ reservationId: "never" })).toEqual({ kind: "absent" });
    const extension = { reservationId: "never", operationId: "e", holdMs: 1_000 };
    expect(await durable.extend(extension)).toEqual({ kind: "absent" });
    const others: Promise<unknown>[] = [
      durable.decrement({ operationId: "k", lines }),
      durable.confirm({ reservationId: "k" }),
      durable.reserve({ reservationId: "held", lines }),
    ];
    for (const other of others) expect((await failure(other)).name).toBe("DifferentRequestError");
    const tooMuch = durable.confirm({ reservationId: "held", lines });
    expect((await failure(tooMuch)).name).toBe("ExceedsReservationError");
    expect(await durable.seed({ mug: 1 }, { ifCursor: startCursor })).toMatchObject({ kind: "moved" });
    const cursor = await durable.cursor();
    await stock.consumer("ledger").commit(cursor);
    expect(await durable.consumer("ledger").commit(startCursor)).toMatchObject({ kind: "behind", cursor });
  });

  it("V2 a refusal that is noted is not told as done on the master, nor as an answer that stays", async () => {
    const refusals: (readonly [string, () => Promise<unknown>])[] = [
      ["order", () => durable.decrement({ operationId: "order", lines: [line("mug", 50)] })],
      ["cart", () => durable.reserve({ reservationId: "cart", lines: [line("mug", 50)] })],
      ["free", () => durable.reserve({ reservationId: "free", lines: [line("mug", 1)] })],
      ["c", () => durable.confirm({ reservationId: "free", operationId: "c" })],
      ["r", () => durable.release({ reservationId: "sold", operationId: "r" })],
      ["e", () => durable.extend({ reservationId: "free", operationId: "e", holdMs: 1_000 })],
    ];
    for (const [operationId, refused] of refusals) {
      const unknown = { name: "OutcomeUnknownError", operationId, effect: "possible" };
      expect(await failure(refused())).toMatchObject(unknown);
    }
    expect((await stock.decrement({ operationId: "order", lines: [line("mug", 50)] })).kind).toBe("insufficient");
  });

  it("V4 what was done before is told as standing on the master, as what is done now", async () => {
    const done: (readonly [string, () => Promise<unknown>])[] = [
      ["c", () => durable.confirm({ reservationId: "sold", operationId: "c" })],
      ["r", () => durable.release({ reservationId: "free", operationId: "r" })],
      ["held", () => durable.reserve({ reservationId: "held", lines: [line("mug", 1)] })],
      ["e", () => durable.extend({ reservationId: "held", operationId: "e", holdMs: 1_000 })],
    ];
    for (const [operationId, call] of done)
      expect(await failure(call())).toMatchObject({ name: "NotReplicatedError", operationId });
    const cursor = await durable.cursor();
    const seeding = durable.seed({ cup: 1 }, { ifCursor: cursor, operationId: "count" });
    expect(await failure(seeding)).toMatchObject({ name: "NotReplicatedError", operationId: "count" });
    expect((await stock.level("cup")).onHand).toBe(1);
    const committing = durable.consumer("ledger").commit(cursor);
    expect(await failure(committing)).toMatchObject({ name: "NotReplicatedError" });
  });
});

describe("a call of several steps, while no replica is there", () => {
  const named = (name: string, options: object): Inventory =>
    new Inventory(open(place.server), name, { ...patient, ...options });
  const mug = [line("mug", 1)];
  let east: Inventory;
  let west: Inventory;
  beforeEach(async () => {
    [east, west] = [named("east", {}), named("west", {})];
    for (const stock of [east, west]) await stock.restock({ operationId: "k", lines: [line("mug", 5)] });
  });
  const unknown = { name: "OutcomeUnknownError", effect: "possible", cause: { name: "NotReplicatedError" } };

  it("V3 reserveAcross is done on the master only when all places have reserved", async () => {
    const parts = (first: Inventory, second: Inventory): Parameters<typeof reserveAcross>[0] =>
      [first, second].map((stock) => ({ stock, reservationId: "cart", lines: mug }));
    const error = await failure(reserveAcross(parts(named("east", { durability }), west)));
    expect(error).toMatchObject({ ...unknown, message: /call reserveAcross again/u });
    expect(await west.level("mug")).toMatchObject({ reserved: 0 });
    const last = await failure(reserveAcross(parts(east, named("west", { durability }))));
    expect(last).toMatchObject({ name: "NotReplicatedError" });
    expect(await reserveAcross(parts(east, west))).toMatchObject({ kind: "reserved" });
  });

  it("V3 confirmAcross is done on the master only when all places have confirmed", async () => {
    const parts = [east, west].map((stock) => ({ stock, reservationId: "cart", lines: mug }));
    await reserveAcross(parts);
    const durable = [{ stock: named("east", { durability }), reservationId: "cart" }, parts[1] as (typeof parts)[1]];
    // Its first step only prolongs the holds.
    expect(await failure(confirmAcross(durable))).toMatchObject({ ...unknown, message: /call confirmAcross again/u });
    expect(await east.outcome("cart")).toMatchObject({ state: "held" });
    // Sold in one place and gone in the other, which is a matter for a person.
    await east.confirm({ reservationId: "cart" });
    await endHolds(place.server, ["cart"], "west");
    await west.decrement({ operationId: "others", lines: [line("mug", 5)] });
    // The replicas go away in between.
    Object.assign(durable[0]?.stock as Inventory, { extend: async () => ({ kind: "already-confirmed" }) });
    expect(await failure(confirmAcross(durable))).toMatchObject(unknown);
    expect(await confirmAcross(parts)).toMatchObject({ kind: "incomplete" });
  });

  it("V2 a seed or an import of several steps is done on the master only when its last step is", async () => {
    const counts = Object.fromEntries(Array.from({ length: 1_001 }, (_, index) => [`s${index}`, 1]));
    const durable = named("east", { durability });
    const ifCursor = await east.cursor();
    const seeding = { ifCursor, operationId: "count" };
    expect(await failure(durable.seed(counts, seeding))).toMatchObject({ ...unknown, operationId: "count" });
    expect((await east.level("s1000")).onHand).toBe(0);
    expect(await east.seed(counts, seeding)).toMatchObject({ kind: "seeded" });
    const rows = { format: "csv", operationId: "delivery", rowsMax: 1 } as const;
    const file = "sku,quantity\na,1\nb,1\n";
    expect(await failure(importStock(durable, file, rows))).toMatchObject({ ...unknown, operationId: "delivery" });
    expect((await east.level("b")).onHand).toBe(0);
    expect(await importStock(east, file, rows)).toMatchObject({ kind: "imported" });
  });
});

describe("large baskets of one tick, of which each script waits for replicas that are away", () => {
  const baskets = ["mug", "cup"];
  const large = (name: string): { sku: string; quantity: number }[] =>
    Array.from({ length: 600 }, (_, index) => line(`${name}-${index}`, 1));
  const standing = baskets.map((operationId) => ({ name: "NotReplicatedError", operationId }));
  let stock: Inventory;
  let durable: Inventory;
  beforeEach(async () => {
    const slow = { replicas: 1, timeoutMs: 2_050 };
    durable = new Inventory(open(place.server), "shop", { commandTimeoutMs: 2_000, durability: slow });
    stock = new Inventory(open(place.server), "shop", patient);
    // A script that the server does not know is sent twice, and waits twice.
    for (const name of baskets) await stock.restock({ operationId: `delivery of ${name}`, lines: large(name) });
    await stock.confirm({ reservationId: "nobody" });
  });

  it("V2 all stand on the master: none is refused because those before it have waited", async () => {
    const orders = baskets.map((name) => failure(durable.restock({ operationId: name, lines: large(name) })));
    expect(await Promise.all(orders)).toMatchObject(standing);
  });

  it("V4 so do their ends", async () => {
    for (const name of baskets) await stock.reserve({ reservationId: name, lines: large(name) });
    const ends = baskets.map((name) => failure(durable.confirm({ reservationId: name, operationId: name })));
    expect(await Promise.all(ends)).toMatchObject(standing);
  });
});
