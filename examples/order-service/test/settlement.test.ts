import { randomUUID } from "node:crypto";
import { FencedLock } from "@holdfast/lock";
import { migrate as migrateHoldfast, withFence } from "@holdfast/postgres";
import { Scheduler, type Run } from "@holdfast/scheduler";
import { pollUntil } from "@holdfast/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { JOBS } from "../src/jobs.ts";
import { migrate } from "../src/migrations.ts";
import { PaymentProvider } from "../src/payment-provider.ts";
import { BOOKS, Settlement } from "../src/settlement.ts";
import type { TestDatabase } from "./database.ts";
import { TestProvider } from "./provider.ts";
import { Replica } from "./replica.ts";
import { TestServers } from "./servers.ts";
import { WAIT } from "./wait.ts";

/** After so long another replica takes over what a paused one has begun. */
const LEASE_MS = 600;
/** Where nobody is paused or killed nothing is taken over, however long the machine stands still. */
const CALM = { TIMER_LEASE_MS: "60000" };

let servers: TestServers;
beforeAll(async () => {
  servers = await TestServers.start();
});
afterAll(() => servers.stop());

let database: TestDatabase;
let provider: TestProvider;
let env: Record<string, string>;
beforeEach(async () => {
  database = await servers.database();
  provider = await TestProvider.start();
  env = {
    ...servers.env(database),
    PAYMENT_PROVIDER_URL: provider.url,
    PAYMENT_PROVIDER_TIMEOUT_MS: "60000",
    // Not by night: the tests say when.
    SETTLEMENT_CRON: "0 0 29 2 *",
    TIMER_LEASE_MS: String(LEASE_MS),
    TIMER_POLL_MS: "100",
  };
});
afterEach(async () => {
  await provider[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

interface Settled {
  readonly orders: number;
  readonly total_cents: string;
  readonly payout: string | null;
}

async function settlements(): Promise<Settled[]> {
  const { rows } = await database.pool.query<Settled>(
    "SELECT orders, total_cents, payout FROM settlements ORDER BY id",
  );
  return rows;
}

async function payOne(replica: Replica): Promise<void> {
  const id = await replica.place();
  expect((await replica.pay(id)).status).toBe(200);
}

/** As an operator does. */
function operator(): Scheduler {
  return new Scheduler(servers.client, JOBS, { prefix: database.name, commandTimeoutMs: 60_000 });
}

describe("the settlement", () => {
  it("runs once for three replicas, and has every paid order", async () => {
    const replicas = await Promise.all([1, 2, 3].map(() => Replica.start({ ...env, ...CALM })));
    await using stack = new AsyncDisposableStack();
    for (const replica of replicas) stack.use(replica);
    await Promise.all(replicas.map((replica) => replica.ready()));
    await Promise.all(replicas.map(payOne));
    const scheduler = operator();
    expect(await scheduler.runNow("settlement", { operationId: "tonight" })).toMatchObject({ kind: "queued" });
    await pollUntil(
      "the settlement has run",
      async () => (await scheduler.history("settlement")).runs.length > 0,
      WAIT,
    );
    const { runs } = await scheduler.history("settlement");
    expect(runs).toMatchObject([{ outcome: "completed", attempts: 1 }]);
    expect(await settlements()).toEqual([{ orders: 3, total_cents: "5997", payout: "po_1" }]);
    expect(provider.payouts).toHaveLength(1);
    await scheduler.stop({ graceMs: 0 });
  });

  it("that was stopped in the middle is done by another replica, and refused when it wakes up", async () => {
    // The provider is told apart who asks.
    const replicas = await Promise.all(
      [0, 1].map((index) => Replica.start({ ...env, PAYMENT_PROVIDER_URL: `${provider.url}/${index}` })),
    );
    await using stack = new AsyncDisposableStack();
    for (const replica of replicas) stack.use(replica);
    await Promise.all(replicas.map((replica) => replica.ready()));
    await payOne(replicas[0] as Replica);
    const asked = Promise.withResolvers<Replica>();
    const wake = Promise.withResolvers<void>();
    let payouts = 0;
    provider.beforePayout = (path) => {
      payouts += 1;
      if (payouts > 1) return Promise.resolve();
      asked.resolve(replicas[Number(path.split("/")[1])] as Replica);
      return wake.promise;
    };
    const scheduler = operator();
    await scheduler.runNow("settlement");
    const runner = await asked.promise;
    runner.pod.pause();
    await pollUntil("the other replica has settled", async () => (await settlements())[0]?.payout === "po_1", WAIT);
    wake.resolve();
    runner.pod.resume();
    await runner.pod.waitForLine(/a job (failed|was overtaken)/, WAIT.timeoutMs);
    await runner.ready();
    expect(await settlements()).toEqual([{ orders: 1, total_cents: "1999", payout: "po_1" }]);
    expect(new Set(provider.payouts).size).toBe(1);
    await scheduler.stop({ graceMs: 0 });
  });
});

describe("the settlement by its cron", () => {
  it("runs by itself, is finished by another replica when its runner is killed, and has every paid order once", async () => {
    const often = { ...env, SETTLEMENT_CRON: "* * * * * *", TIMER_LEASE_MS: "3000" };
    const replicas = await Promise.all(
      [0, 1].map((index) => Replica.start({ ...often, PAYMENT_PROVIDER_URL: `${provider.url}/${index}` })),
    );
    await using stack = new AsyncDisposableStack();
    for (const replica of replicas) stack.use(replica);
    await Promise.all(replicas.map((replica) => replica.ready()));
    await pollUntil("it has run by itself", async () => (await settlements()).length > 0, WAIT);
    const asked = Promise.withResolvers<number>();
    const never = new Promise<void>(() => undefined);
    provider.beforePayout = (path) => {
      const index = Number(path.split("/")[1]);
      asked.resolve(index);
      return asked.promise.then((doomed) => (index === doomed ? never : undefined));
    };
    const doomed = replicas[await asked.promise] as Replica;
    const [heir] = replicas.filter((replica) => replica !== doomed) as [Replica];
    // Paid while the run of the doomed one is under way.
    await payOne(heir);
    await payOne(heir);
    const before = await settlements();
    await doomed.pod.kill();
    const sum = (rows: readonly Settled[]): number => rows.reduce((total, { orders }) => total + orders, 0);
    await pollUntil("both are settled", async () => sum(await settlements()) === 2, WAIT);
    await pollUntil("it goes on", async () => (await settlements()).length > before.length + 2, WAIT);
    expect(sum(await settlements())).toBe(2);
    expect((await settlements()).reduce((total, { total_cents: cents }) => total + Number(cents), 0)).toBe(3_998);
    const scheduler = operator();
    const { runs } = await scheduler.history("settlement");
    expect(runs.filter(({ attempts }) => attempts > 1).length).toBeGreaterThanOrEqual(1);
    expect(new Set(runs.map(({ occurrenceId }) => occurrenceId)).size).toBe(runs.length);
    // One payout for each settlement, whoever asked for it how often.
    const payouts = (await settlements()).flatMap(({ payout }) => payout ?? []);
    expect(payouts.length).toBeGreaterThan(before.length);
    expect(new Set(payouts).size).toBe(payouts.length);
    await scheduler.stop({ graceMs: 0 });
  });
});

describe("housekeeping", () => {
  it("forgets old fences, however many, and keeps those that somebody could still be late for", async () => {
    await using replica = await Replica.start({ ...env, ...CALM });
    await replica.ready();
    await payOne(replica);
    const fences = async (): Promise<number> =>
      (await database.pool.query<{ count: number }>("SELECT count(*)::int AS count FROM holdfast.fences")).rows[0]
        ?.count ?? 0;
    const fresh = await fences();
    expect(fresh).toBeGreaterThan(0);
    await database.pool.query("INSERT INTO holdfast.fences SELECT 'old ' || n, n FROM generate_series(1, 2500) AS n");
    const scheduler = operator();
    await scheduler.runNow("housekeeping");
    await pollUntil("the old ones are gone", async () => (await fences()) === fresh, WAIT);
    await scheduler.stop({ graceMs: 0 });
  });
});

/** A run as the scheduler makes it. */
function runWith(token: number, occurrenceId: string): Run {
  const signal = new AbortController().signal;
  const resource = "scheduler:orders/settlement";
  return { job: "settlement", occurrenceId, scheduledForMs: 0, attempt: 1, version: 1, resource, token, signal };
}

describe("a payout", () => {
  let stack: AsyncDisposableStack;
  let settlement: Settlement;
  let token: number;
  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    await migrate(database.url);
    await migrateHoldfast(database.pool);
    const lock = stack.use(new FencedLock(servers.client, { prefix: randomUUID(), commandTimeoutMs: 60_000 }));
    const payments = new PaymentProvider({ url: provider.url, concurrencyMax: 1, queueMax: 1, timeoutMs: 60_000 });
    stack.defer(() => payments.stop(1_000));
    settlement = new Settlement(database.pool, lock, payments);
    token = Date.now() * 1_000;
  });
  afterEach(() => stack.disposeAsync());

  /** An order as it is when it was paid. */
  const paid = async (): Promise<void> => {
    await database.pool.query(
      `INSERT INTO orders (id, amount_cents, status, created_at, payment_due_at, decided_at)
       VALUES (gen_random_uuid(), 1999, 'PAID', now(), now(), now())`,
    );
  };
  const paidOut = (): number[] => [...provider.paidOutCents.values()];

  it("is for the orders of its settlement: one that is paid meanwhile is in the next one, with its money", async () => {
    await paid();
    provider.beforePayout = () => {
      provider.beforePayout = () => Promise.resolve();
      return paid().then(paid);
    };
    await settlement.run(runWith(token, "first"));
    expect(await settlements()).toEqual([{ orders: 1, total_cents: "1999", payout: "po_1" }]);
    expect(paidOut()).toEqual([1_999]);
    await settlement.run(runWith(token + 1, "second"));
    expect((await settlements())[1]).toEqual({ orders: 2, total_cents: "3998", payout: "po_2" });
    expect(paidOut()).toEqual([1_999, 3_998]);
  });

  it("that its run never came to is made by the next run, under the key of its own settlement", async () => {
    await paid();
    provider.beforePayout = () => Promise.reject(new Error("the provider is away"));
    await expect(settlement.run(runWith(token, "first"))).rejects.toMatchObject({ name: "ProviderFailedError" });
    expect(await settlements()).toEqual([{ orders: 1, total_cents: "1999", payout: null }]);
    provider.beforePayout = () => Promise.resolve();
    await paid();
    await settlement.run(runWith(token + 1, "second"));
    expect(new Set((await settlements()).map(({ payout }) => payout))).toEqual(new Set(["po_1", "po_2"]));
    expect([...provider.paidOutCents]).toEqual([
      ["settlement/second", 1_999],
      ["settlement/first", 1_999],
    ]);
  });

  it("that the provider refuses is not noted as made", async () => {
    await paid();
    provider.refusesPayouts = true;
    await expect(settlement.run(runWith(token, "first"))).rejects.toMatchObject({ name: "ProviderFailedError" });
    expect(await settlements()).toEqual([{ orders: 1, total_cents: "1999", payout: null }]);
  });

  it("is asked for by nobody where payments were taken on trust", async () => {
    await using lock = new FencedLock(servers.client, { prefix: randomUUID(), commandTimeoutMs: 60_000 });
    await paid();
    await new Settlement(database.pool, lock, undefined).run(runWith(token, "trusting"));
    await settlement.run(runWith(token + 1, "later"));
    expect([...provider.paidOutCents]).toEqual([["settlement/later", 0]]);
  });
});

describe("a settlement with a token that was overtaken", () => {
  it("writes nothing", async () => {
    await using replica = await Replica.start({ ...env, ...CALM });
    await replica.ready();
    await payOne(replica);
    await using lock = new FencedLock(servers.client, { prefix: randomUUID(), commandTimeoutMs: 60_000 });
    const settlement = new Settlement(database.pool, lock, undefined);
    const token = Date.now() * 1_000;
    await settlement.run(runWith(token + 1, "second"));
    await expect(settlement.run(runWith(token, "first"))).rejects.toMatchObject({ name: "StaleTokenError" });
    expect(await settlements()).toMatchObject([{ orders: 1 }]);
  });

  it("notes no payout either when the books were taken from it meanwhile; the next run does, with the same one", async () => {
    await using replica = await Replica.start({ ...env, ...CALM });
    await replica.ready();
    await payOne(replica);
    const options = { prefix: randomUUID(), commandTimeoutMs: 60_000 };
    await using lock = new FencedLock(servers.client, options);
    await using other = new FencedLock(servers.client, options);
    const payments = new PaymentProvider({ url: provider.url, concurrencyMax: 1, queueMax: 1, timeoutMs: 60_000 });
    const [asked, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    provider.beforePayout = () => {
      asked.resolve();
      return answer.promise;
    };
    const settlement = new Settlement(database.pool, lock, payments);
    const token = Date.now() * 1_000;
    const overtaken = settlement.run(runWith(token, "tonight")).catch((error: unknown) => error);
    await asked.promise;
    await other.forceRelease(BOOKS);
    await other.withLock(BOOKS, (hold) => withFence(database.pool, hold, (tx) => tx.query("SELECT 1", [])));
    answer.resolve();
    // By PostgreSQL, or by its own lock where that was renewed meanwhile.
    expect((await overtaken) as Error).toHaveProperty(
      "name",
      expect.stringMatching(/^(StaleTokenError|LockLostError)$/),
    );
    expect(await settlements()).toEqual([{ orders: 1, total_cents: "1999", payout: null }]);
    await settlement.run(runWith(token + 1, "tonight"));
    expect(await settlements()).toEqual([{ orders: 1, total_cents: "1999", payout: "po_1" }]);
    expect(new Set(provider.payouts).size).toBe(1);
    await payments.stop(1_000);
  });

  it("counter-test: with a higher one it writes, an empty settlement that has no order twice", async () => {
    await using replica = await Replica.start({ ...env, ...CALM });
    await replica.ready();
    await payOne(replica);
    await using lock = new FencedLock(servers.client, { prefix: randomUUID(), commandTimeoutMs: 60_000 });
    const settlement = new Settlement(database.pool, lock, undefined);
    const token = Date.now() * 1_000;
    await settlement.run(runWith(token, "first"));
    await settlement.run(runWith(token + 1, "second"));
    expect(await settlements()).toMatchObject([{ orders: 1 }, { orders: 0 }]);
  });
});
