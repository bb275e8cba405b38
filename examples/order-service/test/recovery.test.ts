import { FaultProxy, pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { TestDatabase } from "./database.ts";
import { Replica } from "./replica.ts";
import { TestServers } from "./servers.ts";
import { WAIT } from "./wait.ts";

const TIMEOUT_MS = 1_000;
/** Far longer than any timeout that still comes would need. */
const LONG_AFTER_MS = 3_000;

let servers: TestServers;
let database: TestDatabase;
let env: Record<string, string>;
beforeAll(async () => {
  servers = await TestServers.start();
});
afterAll(() => servers.stop());
beforeEach(async () => {
  database = await servers.database();
  env = {
    ...servers.env(database),
    PAYMENT_TIMEOUT_MS: String(TIMEOUT_MS),
    TIMER_LEASE_MS: "500",
    RECONCILE_EVERY_MS: "300",
    RECONCILE_MIN_AGE_MS: "100",
  };
});
afterEach(() => database[Symbol.asyncDispose]());

/** Kills a replica while an order it took waits for its payment, then starts another one. */
async function killBefore(timeouts: Record<string, string>): Promise<{ id: string; fresh: Replica }> {
  for (;;) {
    await using victim = await Replica.start({ ...env, ...timeouts });
    await victim.ready();
    const id = await victim.place();
    await victim.pod.kill();
    // On a machine that stood still the time to pay was over first: once more, then.
    if ((await database.statusOf(id)) !== "PENDING_PAYMENT") continue;
    const fresh = await Replica.start({ ...env, ...timeouts });
    return { id, fresh: await fresh.ready() };
  }
}

/** Places an order and locks its row before its time to pay is over. */
async function placeAndHold(replica: Replica): Promise<{ id: string; release: () => Promise<void> }> {
  for (;;) {
    const id = await replica.place();
    const release = await database.hold(id);
    if ((await database.statusOf(id)) === "PENDING_PAYMENT") return { id, release };
    await release();
  }
}

/** Kills a replica that has stored an order and whose relay is about to tell the timer. */
async function killBetween(): Promise<string> {
  await using proxy = await FaultProxy.start(servers.redis);
  await using victim = await Replica.start({ ...env, REDIS_URL: proxy.url });
  await victim.ready();
  // The script that schedules is the first that carries this order's payload.
  const held = proxy.hold("request", (words) => words.some((word) => word.includes('"orderId"')));
  // Its answer may be stuck behind that script: the database knows of the order as well.
  const answer = victim.send("POST", "/orders", { body: { amountCents: 1_999 } }).catch(() => undefined);
  await held.hit;
  await victim.pod.kill();
  await answer;
  const { rows } = await database.pool.query<{ id: string }>("SELECT id FROM orders");
  return String(rows[0]?.id);
}

/** Far longer than the tests take: what happens then happens without reconcile. */
const NEVER = { RECONCILE_MIN_AGE_MS: "3600000" };

describe("an order whose replica is killed", () => {
  it("is timed out by the next replica when its timeout is durable", async () => {
    const { id, fresh } = await killBefore({ TIMEOUTS: "durable", RECONCILE_MIN_AGE_MS: "60000" });
    await using _ = fresh;
    await database.becomes(id, "PAYMENT_TIMEOUT");
    expect(await database.history(id)).toEqual(["placed", "timed-out"]);
  });

  it("counter-test: stays pending for ever when its timeout was in memory", async () => {
    const { id, fresh } = await killBefore({ TIMEOUTS: "memory" });
    await using _ = fresh;
    await new Promise((resolve) => setTimeout(resolve, TIMEOUT_MS + LONG_AFTER_MS));
    expect(await database.statusOf(id)).toBe("PENDING_PAYMENT");
  });

  it("in the middle of its timeout is timed out once, by another replica, when the lease has ended", async () => {
    await using victim = await Replica.start(env);
    await victim.ready();
    const { id, release } = await placeAndHold(victim);
    await database.waiting(1);
    await victim.pod.kill();
    await using fresh = await Replica.start(env);
    await fresh.ready();
    await release();
    await database.becomes(id, "PAYMENT_TIMEOUT");
    const history = await database.history(id);
    expect(history.filter((kind) => kind === "timed-out")).toHaveLength(1);
  });
});

describe("an order whose replica was killed between its COMMIT and the relay", () => {
  it("is timed out: another replica's relay finds its timeout in the outbox", async () => {
    const id = await killBetween();
    await using fresh = await Replica.start({ ...env, ...NEVER });
    await fresh.ready();
    await database.becomes(id, "PAYMENT_TIMEOUT");
    expect(await database.history(id)).toEqual(["placed", "timed-out"]);
  });

  it("counter-test: stays pending when the timeout was not written with the order and nothing reconciles", async () => {
    const id = await killBetween();
    await database.pool.query("DELETE FROM holdfast.outbox");
    await using fresh = await Replica.start({ ...env, ...NEVER });
    await fresh.ready();
    await new Promise((resolve) => setTimeout(resolve, TIMEOUT_MS + LONG_AFTER_MS));
    expect(await database.statusOf(id)).toBe("PENDING_PAYMENT");
  });
});

describe("an order whose timeout is lost", () => {
  it("with its row of the outbox is found by reconcile", async () => {
    const id = await killBetween();
    await database.pool.query("DELETE FROM holdfast.outbox");
    await using fresh = await Replica.start(env);
    await fresh.ready();
    await database.becomes(id, "PAYMENT_TIMEOUT");
    expect(await database.history(id)).toEqual(["placed", "timed-out"]);
  });

  it("with everything else in Redis is found by reconcile while the replica runs", async () => {
    await using replica = await Replica.start(env);
    await replica.ready();
    const id = await replica.place();
    await servers.redis.call("FLUSHALL");
    await database.becomes(id, "PAYMENT_TIMEOUT");
    expect(await database.history(id)).toEqual(["placed", "timed-out"]);
  });
});

describe("a database session that the server ends in the middle of a transaction", () => {
  it.each(["durable", "memory"])("fails its request and not the replica, with timeouts %s", async (timeouts) => {
    const patient = { PAYMENT_TIMEOUT_MS: "3600000", TIMER_LEASE_MS: "60000" };
    await using replica = await Replica.start({ ...env, ...patient, TIMEOUTS: timeouts });
    await replica.ready();
    const id = await replica.place();
    const release = await database.hold(id);
    const payment = replica.send("POST", `/orders/${id}/payment`);
    await database.waiting(1);
    await database.pool.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
    expect((await payment).status).toBe(500);
    await release();
    expect((await replica.pay(id)).status).toBe(200);
    expect(await database.history(id)).toEqual(["placed", "paid"]);
  });
});

describe("while Redis is away", () => {
  it("no order is taken, since nobody could tell whether it was placed before; under the same key it is when Redis is back", async () => {
    await using own = await RedisServer.start({ aof: true });
    await using replica = await Replica.start({ ...env, REDIS_URL: own.url, REDIS_TIMEOUT_MS: "2000" });
    await replica.ready();
    await own.kill();
    // What is written to a connection that is not known to be dead may have arrived.
    await pollUntil(
      "the replica has noticed",
      async () => {
        const { body } = await replica.send("GET", "/readyz");
        return (body["checks"] as Record<string, string>)["redis"] !== "ok";
      },
      WAIT,
    );
    const request = { body: { amountCents: 1 }, key: "order-1" };
    expect((await replica.send("POST", "/orders", request)).status).toBe(503);
    expect((await database.pool.query("SELECT FROM orders")).rowCount).toBe(0);
    await own.restart();
    await replica.ready();
    const { status, body } = await replica.insist("/orders", request);
    expect(status).toBe(201);
    await database.becomes(String(body["id"]), "PAYMENT_TIMEOUT");
  });
});
