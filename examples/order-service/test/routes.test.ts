import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TestDatabase } from "./database.ts";
import type { Answer } from "./requests.ts";
import { TestServers } from "./servers.ts";
import { LocalService } from "./service.ts";

let servers: TestServers;
beforeAll(async () => {
  servers = await TestServers.start();
});
afterAll(() => servers.stop());

describe.each(["memory", "durable"])("the service with timeouts in %s", (kind) => {
  let database: TestDatabase;
  let service: LocalService;
  /** The same, with customers who have less time than a request may take on a busy machine. */
  let hasty: LocalService;
  const request = (method: string, path: string, body?: object | string): Promise<Answer> =>
    service.send(method, path, { body });

  beforeAll(async () => {
    database = await servers.database();
    const env = { ...servers.env(database), TIMEOUTS: kind, SHUTDOWN_GRACE_MS: "2000" };
    service = await LocalService.start({ ...env, PAYMENT_TIMEOUT_MS: "3600000" });
    hasty = await LocalService.start({ ...env, PAYMENT_TIMEOUT_MS: "400" });
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
    await hasty[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
  });

  it("places an order: 201, where it is, and until when it waits for its payment", async () => {
    const { status, body } = await request("POST", "/orders", { amountCents: 1_999 });
    expect(status).toBe(201);
    expect(body).toMatchObject({ amountCents: 1_999, status: "PENDING_PAYMENT" });
    expect(Date.parse(String(body["paymentDueAt"])) - Date.parse(String(body["createdAt"]))).toBe(3_600_000);
  });

  it("pays an order once: 200, then 409 with the status it has", async () => {
    const { body } = await request("POST", "/orders", { amountCents: 1 });
    const path = `/orders/${String(body["id"])}`;
    expect(await request("POST", `${path}/payment`)).toMatchObject({
      status: 200,
      body: { id: body["id"], status: "PAID" },
    });
    expect(await request("POST", `${path}/payment`)).toMatchObject({ status: 409, body: { status: "PAID" } });
    expect(await request("GET", path)).toMatchObject({ status: 200, body: { status: "PAID" } });
  });

  it("times an order out that nobody pays: a payment then gets 409 with PAYMENT_TIMEOUT", async () => {
    const { body } = await hasty.send("POST", "/orders", { body: { amountCents: 1 } });
    const id = String(body["id"]);
    await database.becomes(id, "PAYMENT_TIMEOUT");
    expect(await request("POST", `/orders/${id}/payment`)).toMatchObject({
      status: 409,
      body: { id, status: "PAYMENT_TIMEOUT" },
    });
    expect(await database.history(id)).toEqual(["placed", "timed-out", "payment-refused"]);
  });

  it.each([
    ["no amount", {}],
    ["nothing", 0],
    ["less than nothing", -5],
    ["half a cent", 0.5],
    ["a number as text", "100"],
    ["true", true],
    ["null", null],
    ["more than a million", 100_000_001],
    ["a list", [1]],
  ])("refuses %s as an amount, and stores nothing", async (_what, amountCents) => {
    const before = await database.pool.query("SELECT count(*) FROM orders");
    const body =
      typeof amountCents === "object" && amountCents !== null && !Array.isArray(amountCents) ? {} : { amountCents };
    const answer = await request("POST", "/orders", body);
    expect(answer.status).toBe(400);
    expect(String(answer.body["error"])).toContain("amountCents");
    expect((await database.pool.query("SELECT count(*) FROM orders")).rows).toEqual(before.rows);
  });

  it.each([
    ["JSON that is none", "{"],
    ["a list", "[]"],
    ["a field that does not exist", '{"amountCents":1,"discount":1}'],
    ["an empty body", ""],
  ])("refuses %s with 400", async (_what, body) => {
    expect((await request("POST", "/orders", body)).status).toBe(400);
  });

  it("refuses a body that is too long with 413, and one that is no JSON with 415", async () => {
    const long = JSON.stringify({ amountCents: 1, note: "x".repeat(2_000_000) });
    expect((await request("POST", "/orders", long)).status).toBe(413);
    const response = await fetch(`${service.url}/orders`, {
      method: "POST",
      body: "amountCents=1",
      headers: { "content-type": "application/x-www-form-urlencoded", "idempotency-key": "form" },
    });
    expect(response.status).toBe(415);
    await response.arrayBuffer();
  });

  it("knows no other order: 404, and 400 for an id that is none", async () => {
    for (const [method, path] of [
      ["GET", ""],
      ["POST", "/payment"],
    ] as const) {
      expect((await request(method, `/orders/${randomUUID()}${path}`)).status).toBe(404);
      expect((await request(method, `/orders/42${path}`)).status).toBe(400);
    }
  });

  it("answers both probes", async () => {
    expect(await request("GET", "/healthz")).toMatchObject({ status: 200, body: { status: "ok" } });
    expect(await request("GET", "/readyz")).toMatchObject({ status: 200, body: { ready: true, phase: "ready" } });
  });
});
