import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { pollUntil, PostgresServer, RedisServer } from "@holdfast/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { readConfig } from "../src/config.ts";
import { OrderService } from "../src/order-service.ts";
import { TestDatabase } from "./database.ts";
import { TestProvider } from "./provider.ts";
import { send, type Answer } from "./replica.ts";

/** Long enough to reach the provider on a slow machine. */
const PROVIDER_TIMEOUT_MS = 500;
/** For how long a key stays closed after a 504. */
const SHORT_LEASE = { TIMER_LEASE_MS: "1000" };
/** One call in flight, another one in the queue. */
const ONE_WAITS = { PAYMENT_PROVIDER_CONCURRENCY_MAX: "1", PAYMENT_PROVIDER_QUEUE_MAX: "1" };

let postgres: PostgresServer;
let redis: RedisServer;
beforeAll(async () => {
  [postgres, redis] = await Promise.all([PostgresServer.start(), RedisServer.start()]);
});
afterAll(() => Promise.all([postgres.stop(), redis.stop()]));

let database: TestDatabase;
let provider: TestProvider;
let service: OrderService | undefined;
beforeEach(async () => {
  database = await TestDatabase.create(postgres);
  provider = await TestProvider.start();
});
afterEach(async () => {
  await service?.stop();
  await provider[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

async function start(env: Record<string, string> = {}): Promise<void> {
  service = await OrderService.start(
    readConfig({
      DATABASE_URL: database.url,
      REDIS_URL: redis.url,
      REDIS_PREFIX: new URL(database.url).pathname.slice(1),
      HOST: "127.0.0.1",
      PORT: "0",
      LOG_LEVEL: "silent",
      PAYMENT_PROVIDER_URL: provider.url,
      PAYMENT_PROVIDER_TIMEOUT_MS: String(PROVIDER_TIMEOUT_MS),
      TIMER_LEASE_MS: "2000",
      ...env,
    }),
  );
}

/** It has charged by then, and whoever asked has given up. */
function neverAnswerTheFirst(): void {
  provider.beforeAnswer = (request) => (request === 1 ? new Promise(() => undefined) : Promise.resolve());
}

function post(path: string, body?: object, key?: string): Promise<Answer> {
  return send(`http://127.0.0.1:${service?.port}`, "POST", path, { body, key });
}

/** As a good client does: repeats the request under its key until the answer is final. */
async function postUntilFinal(path: string, body?: object): Promise<Answer> {
  const key = randomUUID();
  for (;;) {
    const answer = await post(path, body, key);
    if (answer.body["type"] === undefined) return answer;
    await sleep(50);
  }
}

async function place(): Promise<string> {
  const { status, body } = await postUntilFinal("/orders", { amountCents: 1_999 });
  if (status !== 201) throw new Error(`POST /orders answered ${status} ${JSON.stringify(body)}.`);
  return String(body["id"]);
}

/** A client that repeats its request, under its key or each time under another one, until it hears something final. */
async function payUntilFinal(id: string, keyOf: () => string): Promise<number[]> {
  const statuses: number[] = [];
  for (;;) {
    const { status, body } = await post(`/orders/${id}/payment`, undefined, keyOf());
    statuses.push(status);
    if (status < 400 || typeof body["status"] === "string") return statuses;
    if (statuses.length > 200) throw new Error(`no answer: ${statuses.join(" ")}`);
    await sleep(30);
  }
}

describe("a provider that charges and does not answer in time", () => {
  it("has charged once when the client has heard 200, after its retries under one key", async () => {
    await start(SHORT_LEASE);
    const id = await place();
    neverAnswerTheFirst();
    const key = randomUUID();
    const statuses = await payUntilFinal(id, () => key);
    expect(statuses[0]).toBe(504);
    expect(statuses).toContain(409);
    expect(statuses.at(-1)).toBe(200);
    expect(provider.requests).toBeGreaterThan(1);
    expect(provider.takenFor(id)).toBe(1);
    expect(await database.history(id)).toEqual(["placed", "paid"]);
  });

  it("has charged once when the client takes another key for each retry, since the order has one key of its own", async () => {
    await start(SHORT_LEASE);
    const id = await place();
    neverAnswerTheFirst();
    await payUntilFinal(id, () => randomUUID());
    expect(provider.requests).toBeGreaterThan(1);
    expect(provider.takenFor(id)).toBe(1);
  });

  it("counter-test: charges twice when it does not know keys", async () => {
    await start(SHORT_LEASE);
    provider.knowsKeys = false;
    const id = await place();
    neverAnswerTheFirst();
    const key = randomUUID();
    await payUntilFinal(id, () => key);
    expect(provider.takenFor(id)).toBe(2);
  });
});

describe("a payment that meets the timeout", () => {
  it("is voided when the order has timed out while the provider was charging", async () => {
    await start({ PAYMENT_TIMEOUT_MS: "2000", PAYMENT_PROVIDER_TIMEOUT_MS: "60000" });
    const id = await place();
    provider.beforeAnswer = () => database.becomes(id, "PAYMENT_TIMEOUT");
    expect(await postUntilFinal(`/orders/${id}/payment`)).toMatchObject({
      status: 409,
      body: { status: "PAYMENT_TIMEOUT" },
    });
    await pollUntil("the charge is voided", () => provider.takenFor(id) === 0 && provider.charges.size === 1);
    expect((await database.history(id)).filter((kind) => kind === "paid")).toEqual([]);
  });

  it("and whose client gave up leaves no charge behind", async () => {
    await start({ PAYMENT_TIMEOUT_MS: "2000" });
    const id = await place();
    neverAnswerTheFirst();
    expect((await post(`/orders/${id}/payment`)).status).toBe(504);
    expect(provider.takenFor(id)).toBe(1);
    await database.becomes(id, "PAYMENT_TIMEOUT");
    await pollUntil("the charge is voided", () => provider.takenFor(id) === 0);
  });

  it("leaves the customer charged if and only if the order is paid, forty times at the deadline", async () => {
    await start({ PAYMENT_TIMEOUT_MS: "400", PAYMENT_PROVIDER_TIMEOUT_MS: "5000" });
    provider.beforeAnswer = (request) => sleep((request % 2) * 40);
    const payments = await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const id = await place();
        await sleep(340 + index * 3);
        const { status } = await postUntilFinal(`/orders/${id}/payment`);
        return { id, status };
      }),
    );
    for (const { id, status } of payments) {
      await pollUntil("the order is decided", async () => (await database.statusOf(id)) !== "PENDING_PAYMENT");
      expect(status === 200).toBe((await database.statusOf(id)) === "PAID");
      const wanted = status === 200 ? 1 : 0;
      await pollUntil("the provider has what the order says", () => provider.takenFor(id) === wanted);
    }
    expect(payments.some(({ status }) => status === 409)).toBe(true);
  });
});

describe("a provider", () => {
  it("that declines is asked again under a new key only", async () => {
    await start();
    const id = await place();
    provider.declines = true;
    const key = randomUUID();
    expect((await post(`/orders/${id}/payment`, undefined, key)).status).toBe(402);
    provider.declines = false;
    expect(await post(`/orders/${id}/payment`, undefined, key)).toMatchObject({ status: 402, replayed: true });
    expect((await post(`/orders/${id}/payment`)).status).toBe(200);
    expect(provider.takenFor(id)).toBe(1);
  });

  it("that is overloaded is asked by as many as it can take, and the others hear 503, charged with nothing", async () => {
    await start({ ...ONE_WAITS, PAYMENT_PROVIDER_TIMEOUT_MS: "60000" });
    const answers = Promise.withResolvers<void>();
    provider.beforeAnswer = () => answers.promise;
    const ids = await Promise.all(Array.from({ length: 6 }, () => place()));
    const refused: string[] = [];
    const statuses = ids.map(async (id) => {
      const { status } = await post(`/orders/${id}/payment`);
      if (status === 503) refused.push(id);
      return status;
    });
    await pollUntil("all but one in flight and one in the queue are refused", () => refused.length === 4);
    answers.resolve();
    const paid = (await Promise.all(statuses)).filter((status) => status !== 503);
    expect(paid).toEqual([200, 200]);
    expect(provider.requests).toBe(2);
    expect(refused.map((id) => provider.takenFor(id))).toEqual([0, 0, 0, 0]);
  });
});
