/** What callers see: checks of input, events, observers, closing, permissions; nothing left behind. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { channel } from "node:diagnostics_channel";
import { RedisServer } from "@holdfast/testkit";
import { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { importStock, Inventory, inventoryChannel, type InventoryEvent, type Movement } from "../src/index.ts";
import { failure, openClients, passed, patient, turnRecords } from "./clients.ts";

const line = (sku: string, quantity: number): { sku: string; quantity: number } => ({ sku, quantity });
const open = openClients();
let server: RedisServer;

beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());
beforeEach(() => server.call("FLUSHALL"));

describe("input", () => {
  it("constructors check everything and ask nothing", () => {
    const redis = open({ url: "redis://127.0.0.1:1" }, { lazyConnect: true });
    const make = (name: unknown, options: unknown) => () => new Inventory(redis, name as string, options as object);
    for (const name of ["", "x".repeat(257), 1, null]) expect(make(name, {})).toThrow(/name must be/u);
    expect(make("x", { holdMs: 49 })).toThrow("holdMs must be a whole number from 50 to 86400000, got 49");
    expect(make("x", { holdMs: 86_400_001 })).toThrow(RangeError);
    expect(make("x", { rememberMs: 1 })).toThrow(/rememberMs/u);
    expect(make("x", { coalesceMax: 33 })).toThrow(/coalesceMax/u);
    expect(make("x", { buckets: { hot: 65 } })).toThrow(/buckets\["hot"\]/u);
    expect(make("x", { buckets: { hot: "2" } })).toThrow(TypeError);
    expect(make("x", { prefix: "a{b" })).toThrow(/prefix/u);
    expect(
      make("x", { holdMs: undefined, rememberMs: undefined, buckets: undefined, onEvent: undefined }),
    ).not.toThrow();
    expect(redis.status).toBe("wait");
    const prefixed = new Redis({ lazyConnect: true, keyPrefix: "app:" });
    expect(() => new Inventory(prefixed, "x")).toThrow(/keyPrefix/u);
  });

  it("calls name the field that is wrong", async () => {
    const stock = new Inventory(open(server), "shop", patient);
    const lines = [line("mug", 1)];
    const messageOf = async (promise: Promise<unknown>): Promise<string> => (await failure(promise)).message;
    expect(await messageOf(stock.decrement({ operationId: "", lines }))).toMatch(/operationId/u);
    expect(await messageOf(stock.decrement({ operationId: "x".repeat(257), lines }))).toMatch(/operationId/u);
    expect(await messageOf(stock.decrement(null as never))).toMatch(/request must be an object/u);
    expect(await messageOf(stock.decrement({ operationId: "d", lines: "mug" as never }))).toMatch(
      /lines must be an array/u,
    );
    expect(await messageOf(stock.decrement({ operationId: "d", lines: [null as never] }))).toMatch(/lines\[0\]/u);
    expect(await messageOf(stock.decrement({ operationId: "d", lines: [line("", 1)] }))).toMatch(/lines\[0\]\.sku/u);
    expect(await messageOf(stock.decrement({ operationId: "d", lines, allowPartial: 1 as never }))).toMatch(
      /allowPartial/u,
    );
    expect(await messageOf(stock.decrement({ operationId: "d", lines, issuedAt: Number.NaN }))).toMatch(/issuedAt/u);
    expect(await messageOf(stock.reserve({ reservationId: "r", lines, holdMs: 10 }))).toMatch(/holdMs/u);
    expect(await messageOf(stock.reserve({ reservationId: "r", lines, orderId: "" }))).toMatch(/orderId/u);
    expect(await messageOf(stock.confirm({ reservationId: "r", lines: [] }))).toMatch(/lines must have 1 to 1000/u);
    expect(await messageOf(stock.extend({ reservationId: "r", operationId: "e", holdMs: 1 }))).toMatch(/holdMs/u);
    expect(await messageOf(stock.adjust({ operationId: "a", lines } as never))).toMatch(/reason/u);
    const nothing = { operationId: "a", reason: "x", lines: [line("mug", 1), line("mug", -1)] };
    expect(await messageOf(stock.adjust(nothing))).toMatch(/cancel one another/u);
    expect(await messageOf(stock.seed({ mug: -1 }, { ifCursor: { sequence: 0, stamp: "" } }))).toMatch(
      /snapshot\["mug"\]/u,
    );
    expect(await messageOf(stock.seed({ mug: 1 }, {} as never))).toMatch(/ifCursor/u);
    expect(await messageOf(stock.seed({ mug: 1 }, { ifCursor: { sequence: 1, stamp: "x" } }))).toMatch(/stamp/u);
    const yes = "yes" as never;
    expect(await messageOf(stock.confirm({ reservationId: "r", retakeIfExpired: yes }))).toMatch(/retakeIfExpired/u);
    const file = { format: "csv", operationId: "x", dryRun: yes } as const;
    expect(await messageOf(importStock(stock, "sku,quantity\nmug,1\n", file))).toMatch(/dryRun/u);
    expect(() => stock.movements({ follow: yes })).toThrow(/follow/u);
    expect(() => stock.movements({ bucket: 1 })).toThrow(/bucket/u);
    expect(() => stock.consumer("")).toThrow(/consumer/u);
    expect(await server.call("DBSIZE")).toBe(0);
  });

  it("a sku may be any text: none meets a field of ours, another sku, or a separator", async () => {
    const stock = new Inventory(open(server), "shop", patient);
    const skus = [
      "#form",
      "#next",
      "#side",
      "#atRest",
      "r#x",
      "x",
      "x 1",
      "x%201",
      "x\n1",
      "x\t",
      "#",
      "%",
      "ü",
      "名",
      "{x}",
      "-",
      "a",
    ];
    await stock.restock({ operationId: "k 1", lines: skus.map((sku, index) => line(sku, index + 1)) });
    const held = await stock.reserve({ reservationId: "r #1", orderId: "o #", lines: skus.map((sku) => line(sku, 1)) });
    expect(held).toMatchObject({ kind: "reserved" });
    expect((await stock.confirm({ reservationId: "r #1", lines: [line("#", 1)] })).kind).toBe("confirmed");
    const levels = await stock.levels(skus);
    expect(skus.map((sku) => levels.get(sku)?.onHand)).toEqual(skus.map((sku, index) => index + (sku === "#" ? 0 : 1)));
    const seen: string[] = [];
    for await (const sku of stock.skus()) seen.push(sku);
    expect(seen.toSorted()).toEqual(skus.toSorted());
    for await (const movement of stock.movements({ after: { sequence: 0, stamp: "" } })) {
      if (movement.kind === "reserve") expect(movement).toMatchObject({ id: "r #1", orderId: "o #" });
    }
  });
});

describe("observers", () => {
  it("events tell what was answered, and holds that came back", async () => {
    const events: InventoryEvent[] = [];
    const heard: unknown[] = [];
    const listener = (event: unknown): void => void heard.push(event);
    channel(inventoryChannel).subscribe(listener);
    const stock = new Inventory(open(server), "shop", { ...patient, onEvent: (event) => events.push(event) });
    await stock.restock({ operationId: "k", lines: [line("mug", 2)] });
    const held = await stock.reserve({ reservationId: "r", holdMs: 50, lines: [line("mug", 2)] });
    await passed(server, held.kind === "reserved" ? held.expiresAtMs : 0);
    await stock.decrement({ operationId: "d", lines: [line("mug", 3)] });
    const consumer = stock.consumer("ledger");
    const last = (await consumer.next()).at(-1);
    if (last !== undefined) await consumer.commit(last);
    channel(inventoryChannel).unsubscribe(listener);
    expect(events).toEqual([
      { type: "answered", inventory: "shop", operation: "restock", id: "k", kind: "restocked" },
      { type: "answered", inventory: "shop", operation: "reserve", id: "r", kind: "reserved" },
      { type: "expired", inventory: "shop", bucket: 0, count: 1 },
      { type: "answered", inventory: "shop", operation: "decrement", id: "d", kind: "insufficient" },
      { type: "committed", inventory: "shop", bucket: 0, consumer: "ledger", sequence: 3 },
    ]);
    expect(heard).toEqual(events);
  });

  it("a closed inventory refuses, and leaves the client open", async () => {
    const redis = open(server);
    const stock = new Inventory(redis, "shop", patient);
    await stock.close();
    await stock.close();
    expect((await failure(stock.decrement({ operationId: "d", lines: [line("mug", 1)] }))).name).toBe("ClosedError");
    expect((await failure(stock.confirm({ reservationId: "r" }))).name).toBe("ClosedError");
    expect((await failure(stock.level("mug"))).name).toBe("ClosedError");
    expect(await redis.ping()).toBe("PONG");
  });

  it("a closed inventory ends what follows its log, and its consumers refuse", async () => {
    const stock = new Inventory(open(server), "closing", patient);
    await stock.restock({ operationId: "k", lines: [line("mug", 1)] });
    const consumer = stock.consumer("ledger");
    const [first] = await consumer.next();
    const ids: string[] = [];
    for await (const { id } of stock.movements({ follow: true, pollMs: 10 })) {
      ids.push(id);
      await stock.close();
    }
    expect(ids).toEqual(["k"]);
    const calls = [consumer.next(), consumer.position(), consumer.commit(first as Movement), consumer.remove()];
    for (const call of calls) expect((await failure(call)).name).toBe("ClosedError");
  });
});

describe("Redis", () => {
  it("ACLs apply inside scripts: the line of the README is enough for every call", async () => {
    const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
    const rules = (/^ACL SETUSER holdfast (.+)$/mu.exec(readme)?.[1] ?? "").replace(">change-me", ">secret").split(" ");
    await server.call("ACL", "SETUSER", "holdfast", "reset", ...rules);
    const client = open({ url: server.url.replace("redis://", "redis://holdfast:secret@") });
    const stock = new Inventory(client, "shop", { ...patient, buckets: { hot: 3 } });
    await stock.restock({ operationId: "k", lines: [line("hot", 5), line("mug", 5)] });
    for (let index = 0; index < 6; index += 1) {
      const reservationId = `r${index}`;
      await stock.reserve({ reservationId, lines: [line("hot", 1)] });
      await stock.extend({ reservationId, operationId: `e${index}`, holdMs: 50 });
      await stock.confirm({ reservationId, retakeIfExpired: true });
      await stock.release({ reservationId });
      await stock.outcome(`none${index}`);
      for (let bucket = 0; bucket < 3; bucket += 1) await turnRecords(server, "shop", bucket);
      await stock.sweep();
    }
    await stock.seed({ mug: 4 }, { ifCursor: await stock.cursor() });
    const consumer = stock.consumer("ledger");
    const last = (await consumer.next()).at(-1);
    if (last !== undefined) await consumer.commit(last);
    await consumer.position();
    for await (const sku of stock.skus()) expect(["hot", "mug"]).toContain(sku);
    expect(await stock.level("mug")).toEqual({ onHand: 4, reserved: 0, available: 4 });
  });

  it("one round trip an operation, and sixteen orders of one tick share it", async () => {
    const stock = new Inventory(open(server), "shop", patient);
    await stock.restock({ operationId: "k", lines: [line("mug", 100)] });
    const calls = async (): Promise<number> => {
      const stats = String(await server.call("INFO", "commandstats"));
      return Number(/cmdstat_evalsha:calls=(\d+)/u.exec(stats)?.[1] ?? 0);
    };
    await stock.decrement({ operationId: "warm", lines: [line("mug", 1)] });
    const before = await calls();
    await stock.decrement({ operationId: "d", lines: [line("mug", 1)] });
    expect(await calls()).toBe(before + 1);
    await Promise.all(
      Array.from({ length: 16 }, (_, index) => stock.decrement({ operationId: `d${index}`, lines: [line("mug", 1)] })),
    );
    expect(await calls()).toBe(before + 2);
    // The same id twice in one tick: the second finds what the first did.
    const twice = { operationId: "twice", lines: [line("mug", 1)] };
    expect(await Promise.all([stock.decrement(twice), stock.decrement(twice)])).toHaveLength(2);
    expect((await stock.level("mug")).onHand).toBe(81);
  });

  it("a remembered order takes at most 260 bytes, its movement included", async () => {
    const stock = new Inventory(open(server), "shop", patient);
    await stock.restock({ operationId: "k", lines: [line("mug", 1_000_000)] });
    const used = async (): Promise<number> =>
      Number(/used_memory:(\d+)/u.exec(String(await server.call("INFO", "memory")))?.[1]);
    const orders = 20_000;
    const before = await used();
    for (let from = 0; from < orders; from += 500) {
      await Promise.all(
        Array.from({ length: 500 }, (_, index) =>
          stock.decrement({ operationId: `order-${String(from + index).padStart(10, "0")}`, lines: [line("mug", 1)] }),
        ),
      );
    }
    const each = ((await used()) - before) / orders;
    expect(each).toBeLessThan(260);
  });
});
