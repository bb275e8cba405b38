import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { pollUntil } from "@holdfast/testkit";
import { DurableTimer } from "@holdfast/timer";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { TestDatabase } from "./database.ts";
import { TestProvider } from "./provider.ts";
import type { Answer } from "./requests.ts";
import { TestServers } from "./servers.ts";
import { LocalService } from "./service.ts";
import { WAIT } from "./wait.ts";

/** Where a provider that does not answer is given up. */
const HASTY = { PAYMENT_PROVIDER_TIMEOUT_MS: "500" };
/** For how long a key stays closed after a 504. */
const LEASE_MS = 1_000;
const SHORT_LEASE = { TIMER_LEASE_MS: String(LEASE_MS) };
/** Orders time out when the test says so. */
const LATER = { PAYMENT_TIMEOUT_MS: "3600000" };
/** One call in flight, another one in the queue. */
const ONE_WAITS = { PAYMENT_PROVIDER_CONCURRENCY_MAX: "1", PAYMENT_PROVIDER_QUEUE_MAX: "1" };

let servers: TestServers;
beforeAll(async () => {
  servers = await TestServers.start();
});
afterAll(() => servers.stop());

let database: TestDatabase;
let provider: TestProvider;
let service: LocalService;
let stack: AsyncDisposableStack;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  database = stack.use(await servers.database());
  provider = stack.use(await TestProvider.start());
});
afterEach(() => stack.disposeAsync());

async function start(env: Record<string, string> = {}): Promise<void> {
  const patient = { PAYMENT_PROVIDER_URL: provider.url, PAYMENT_PROVIDER_TIMEOUT_MS: "60000" };
  service = stack.use(await LocalService.start({ ...servers.env(database), ...patient, ...env }));
}

/** It has charged by then, and whoever asked has given up. */
function neverAnswerTheFirst(): void {
  provider.beforeAnswer = (request) => (request === 1 ? new Promise(() => undefined) : Promise.resolve());
}

function pay(id: string, key?: string): Promise<Answer> {
  return service.send("POST", `/orders/${id}/payment`, { key });
}

interface Heard {
  readonly status: number;
  readonly askedMs: number;
  readonly answeredMs: number;
}

/** A client that repeats its request, under its key or each time under another one, until it hears something final. */
async function payUntilFinal(id: string, keyOf: () => string): Promise<Heard[]> {
  const heard: Heard[] = [];
  for (;;) {
    const askedMs = performance.now();
    const { status, body } = await pay(id, keyOf());
    heard.push({ status, askedMs, answeredMs: performance.now() });
    if (status < 400 || typeof body["status"] === "string") return heard;
    await sleep(30);
  }
}

/** Pays until the charge is with the provider: a call whose time was over before it was sent has not got there. */
async function payInVain(id: string): Promise<number> {
  for (;;) {
    const { status } = await pay(id);
    if (provider.requests > 0) return status;
  }
}

/** The time to pay is over, now. */
async function timesOut(id: string): Promise<void> {
  await using timeouts = new DurableTimer(servers.client, "payment-timeout", {
    prefix: database.name,
    commandTimeoutMs: 60_000,
  });
  await pollUntil("the relay has told the timer", async () => (await timeouts.fireNow(id)).kind !== "absent", WAIT);
  await database.becomes(id, "PAYMENT_TIMEOUT");
}

describe("a provider that charges and does not answer in time", () => {
  it("has charged once when the client has heard 200, after its retries under one key", async () => {
    await start({ ...HASTY, ...SHORT_LEASE });
    const id = await service.place();
    neverAnswerTheFirst();
    const key = randomUUID();
    const heard = await payUntilFinal(id, () => key);
    expect(heard.at(-1)?.status).toBe(200);
    const first = heard.findIndex(({ status }) => status === 504);
    const [unknown, repeat] = [heard[first], heard[first + 1]];
    if (unknown === undefined || repeat === undefined) throw new Error("nobody was told that it is not known");
    // The key is closed for a lease at least; whether the client comes back within it is for the machine to say.
    if (repeat.answeredMs - unknown.askedMs < LEASE_MS) expect(repeat.status).toBe(409);
    expect(provider.requests).toBeGreaterThan(1);
    expect(provider.takenFor(id)).toBe(1);
    expect(await database.history(id)).toEqual(["placed", "paid"]);
  });

  it("has charged once when the client takes another key for each retry, since the order has one key of its own", async () => {
    await start({ ...HASTY, ...SHORT_LEASE });
    const id = await service.place();
    neverAnswerTheFirst();
    await payUntilFinal(id, () => randomUUID());
    expect(provider.requests).toBeGreaterThan(1);
    expect(provider.takenFor(id)).toBe(1);
  });

  it("counter-test: charges again when it does not know keys", async () => {
    await start({ ...HASTY, ...SHORT_LEASE });
    provider.knowsKeys = false;
    const id = await service.place();
    neverAnswerTheFirst();
    const key = randomUUID();
    await payUntilFinal(id, () => key);
    expect(provider.takenFor(id)).toBeGreaterThan(1);
  });
});

describe("a payment that meets the timeout", () => {
  it("is voided when the order has timed out while the provider was charging", async () => {
    await start(LATER);
    const id = await service.place();
    provider.beforeAnswer = (request) => (request === 1 ? timesOut(id) : Promise.resolve());
    expect(await service.pay(id)).toMatchObject({
      status: 409,
      body: { status: "PAYMENT_TIMEOUT" },
    });
    await pollUntil("the charge is voided", () => provider.takenFor(id) === 0, WAIT);
    expect(provider.charges.size).toBe(1);
    expect((await database.history(id)).filter((kind) => kind === "paid")).toEqual([]);
  });

  it("and whose client gave up leaves no charge behind", async () => {
    await start({ ...LATER, ...HASTY });
    const id = await service.place();
    neverAnswerTheFirst();
    expect(await payInVain(id)).toBe(504);
    expect(provider.takenFor(id)).toBe(1);
    await timesOut(id);
    await pollUntil("the charge is voided", () => provider.takenFor(id) === 0, WAIT);
  });

  it("leaves the customer charged if and only if the order is paid, forty times at the deadline", async () => {
    await start({ PAYMENT_TIMEOUT_MS: "400" });
    provider.beforeAnswer = (request) => sleep((request % 2) * 40);
    const together = (spreadMs: number): Promise<{ readonly id: string; readonly status: number }[]> =>
      Promise.all(
        Array.from({ length: 40 }, async (_, index) => {
          const id = await service.place();
          await sleep(Math.max(0, 400 + (index - 20) * spreadMs));
          const { status } = await service.pay(id);
          return { id, status };
        }),
      );
    // On a busy machine timeouts are late, too, and all customers may still be in time: then others come, and wait for longer.
    const payments = await together(3);
    for (let spreadMs = 12; payments.every(({ status }) => status === 200); spreadMs *= 4)
      payments.push(...(await together(spreadMs)));
    for (const { id, status } of payments) {
      await pollUntil("the order is decided", async () => (await database.statusOf(id)) !== "PENDING_PAYMENT", WAIT);
      expect(status === 200).toBe((await database.statusOf(id)) === "PAID");
      const wanted = status === 200 ? 1 : 0;
      await pollUntil("the provider has what the order says", () => provider.takenFor(id) === wanted, WAIT);
    }
    expect(payments.some(({ status }) => status === 409)).toBe(true);
  });
});

describe("a provider", () => {
  it("that declines is asked again under a new key only", async () => {
    await start();
    const id = await service.place();
    provider.declines = true;
    const key = randomUUID();
    expect((await pay(id, key)).status).toBe(402);
    provider.declines = false;
    expect(await pay(id, key)).toMatchObject({ status: 402, replayed: true });
    expect((await pay(id)).status).toBe(200);
    expect(provider.takenFor(id)).toBe(1);
  });

  it("that is overloaded is asked by as many as it can take, and the others hear 503, charged with nothing", async () => {
    await start(ONE_WAITS);
    const answers = Promise.withResolvers<void>();
    provider.beforeAnswer = () => answers.promise;
    const ids = await Promise.all(Array.from({ length: 6 }, () => service.place()));
    const refused: string[] = [];
    const statuses = ids.map(async (id) => {
      const { status } = await pay(id);
      if (status === 503) refused.push(id);
      return status;
    });
    await pollUntil("all but one in flight and one in the queue are refused", () => refused.length === 4, WAIT);
    answers.resolve();
    const paid = (await Promise.all(statuses)).filter((status) => status !== 503);
    expect(paid).toEqual([200, 200]);
    expect(provider.requests).toBe(2);
    expect(refused.map((id) => provider.takenFor(id))).toEqual([0, 0, 0, 0]);
  });
});
