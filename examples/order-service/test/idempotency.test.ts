import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TestDatabase } from "./database.ts";
import type { Answer, Request } from "./requests.ts";
import { TestServers } from "./servers.ts";
import { LocalService } from "./service.ts";

let servers: TestServers;
let database: TestDatabase;
let service: LocalService;
beforeAll(async () => {
  servers = await TestServers.start();
  database = await servers.database();
  service = await LocalService.start(servers.env(database));
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
  await servers.stop();
});

function post(path: string, request: Request): Promise<Answer> {
  return service.send("POST", path, request);
}

async function ordersStored(): Promise<number> {
  const { rows } = await database.pool.query<{ count: number }>("SELECT count(*)::int AS count FROM orders");
  return rows[0]?.count ?? 0;
}

describe("a request with an idempotency key", () => {
  it("that comes twice places one order, and the second answer is the first one", async () => {
    const before = await ordersStored();
    const request = { body: { amountCents: 100 }, key: randomUUID() };
    const first = await post("/orders", request);
    const second = await post("/orders", request);
    expect(first).toMatchObject({ status: 201, replayed: false });
    expect(second).toEqual({ ...first, replayed: true });
    expect(await ordersStored()).toBe(before + 1);
  });

  it("that comes twenty times at once places one order; who comes too early hears 409", async () => {
    const before = await ordersStored();
    const request = { body: { amountCents: 100 }, key: randomUUID() };
    const answers = await Promise.all(Array.from({ length: 20 }, () => post("/orders", request)));
    expect(answers.filter(({ status, replayed }) => status === 201 && !replayed)).toHaveLength(1);
    expect(answers.every(({ status }) => status === 201 || status === 409)).toBe(true);
    expect(await ordersStored()).toBe(before + 1);
  });

  it("counter-test: with another key each time it places another order each time", async () => {
    const before = await ordersStored();
    for (let times = 0; times < 3; times += 1) await post("/orders", { body: { amountCents: 100 } });
    expect(await ordersStored()).toBe(before + 3);
  });

  it("and another body under the same key is refused with 422", async () => {
    const key = randomUUID();
    await post("/orders", { body: { amountCents: 100 }, key });
    expect(await post("/orders", { body: { amountCents: 200 }, key })).toMatchObject({ status: 422, replayed: false });
  });

  it("that was refused for its form has used up no key", async () => {
    const key = randomUUID();
    expect((await post("/orders", { body: { amountCents: -1 }, key })).status).toBe(400);
    expect((await post("/orders", { body: { amountCents: 1 }, key })).status).toBe(201);
  });

  it("pays an order once: the same key hears the same 200, another one 409", async () => {
    const id = await service.place();
    const key = randomUUID();
    expect(await post(`/orders/${id}/payment`, { key })).toMatchObject({ status: 200, replayed: false });
    expect(await post(`/orders/${id}/payment`, { key })).toMatchObject({ status: 200, replayed: true });
    expect(await post(`/orders/${id}/payment`, {})).toMatchObject({ status: 409, body: { status: "PAID" } });
    expect(await database.history(id)).toEqual(["placed", "paid", "payment-refused"]);
  });

  it("that has no key is refused with 400, and nothing is stored", async () => {
    const before = await ordersStored();
    const { status, body } = await post("/orders", { body: { amountCents: 1 }, key: null });
    expect(status).toBe(400);
    expect(String(body["type"])).toContain("idempotency-key-missing");
    expect(await ordersStored()).toBe(before);
  });
});

describe("an attempt whose process died after its COMMIT", () => {
  /** What is left when a process dies between its COMMIT and the note in Redis: everything but the note. */
  const forgetKeys = async (): Promise<void> => {
    const keys = await servers.client.keys(`${database.name}:{idem*`);
    expect(keys.length).toBeGreaterThan(0);
    await servers.client.del(keys);
  };

  it("has placed the order that the next attempt answers with", async () => {
    const request = { body: { amountCents: 100 }, key: randomUUID() };
    const first = await post("/orders", request);
    await forgetKeys();
    const second = await post("/orders", request);
    expect(second).toEqual({ ...first, replayed: false });
    expect(await database.history(String(first.body["id"]))).toEqual(["placed"]);
  });

  it("keeps its key from another order, though nobody remembers the key: 422", async () => {
    const key = randomUUID();
    await post("/orders", { body: { amountCents: 100 }, key });
    await forgetKeys();
    const before = await ordersStored();
    expect(await post("/orders", { body: { amountCents: 200 }, key })).toMatchObject({ status: 422, replayed: false });
    expect(await ordersStored()).toBe(before);
  });

  it("has paid the order, and the next attempt says so", async () => {
    const id = await service.place();
    const key = randomUUID();
    await post(`/orders/${id}/payment`, { key });
    await forgetKeys();
    expect(await post(`/orders/${id}/payment`, { key })).toMatchObject({ status: 200, replayed: false });
    expect(await database.history(id)).toEqual(["placed", "paid"]);
  });
});
