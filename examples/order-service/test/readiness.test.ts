import { pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MIGRATION_LOCK } from "../src/migrations.ts";
import { Readiness } from "../src/readiness.ts";
import { Replica } from "./replica.ts";
import { TestServers } from "./servers.ts";
import { WAIT } from "./wait.ts";

let servers: TestServers;
beforeAll(async () => {
  servers = await TestServers.start();
});
afterAll(() => servers.stop());

describe("readiness", () => {
  it("is refused while the replica starts, and so are orders, while it is alive all the time", async () => {
    await using database = await servers.database();
    const client = await database.pool.connect();
    await client.query("SELECT pg_advisory_lock($1)", [MIGRATION_LOCK]);
    await using replica = await Replica.start(servers.env(database));
    expect(await replica.send("GET", "/readyz")).toMatchObject({ status: 503, body: { phase: "starting" } });
    expect((await replica.send("POST", "/orders", { body: { amountCents: 1 } })).status).toBe(503);
    expect((await replica.send("GET", "/healthz")).status).toBe(200);
    await client.query("SELECT pg_advisory_unlock($1)", [MIGRATION_LOCK]);
    client.release();
    await replica.ready();
    expect((await replica.send("POST", "/orders", { body: { amountCents: 1 } })).status).toBe(201);
  });

  it("goes with Redis or the database, names which, and comes back by itself", async () => {
    await using database = await servers.database();
    await using own = await RedisServer.start({ aof: true });
    await using replica = await Replica.start({ ...servers.env(database), REDIS_URL: own.url });
    await replica.ready();
    own.pause();
    // A machine that stands still has not heard of the database either.
    await pollUntil(
      "Redis is named, and it alone",
      async () => {
        const { status, body } = await replica.send("GET", "/readyz");
        const { database: first, redis: second } = body["checks"] as Record<string, string>;
        return status === 503 && first === "ok" && second === "no answer within 1000 ms";
      },
      WAIT,
    );
    own.resume();
    await replica.ready();
    await own.kill();
    expect((await replica.send("GET", "/readyz")).status).toBe(503);
    expect((await replica.send("GET", "/healthz")).status).toBe(200);
    await own.restart();
    await replica.ready();
  });

  it("goes when what was committed does not reach the timers, and comes back with the relay", async () => {
    await using database = await servers.database();
    await using own = await RedisServer.start();
    await using replica = await Replica.start({
      ...servers.env(database),
      REDIS_URL: own.url,
      OUTBOX_LAG_MAX_MS: "100",
    });
    await replica.ready();
    own.pause();
    await database.pool.query(
      `SELECT holdfast.outbox_write('payment-timeout', 'order-1', 'schedule', 60000, '{"orderId": "order-1"}')`,
    );
    await pollUntil(
      "the outbox is late",
      async () => {
        const { status, body } = await replica.send("GET", "/readyz");
        const { timeouts } = body["checks"] as Record<string, string>;
        return status === 503 && timeouts?.startsWith("a row has been waiting in the outbox");
      },
      WAIT,
    );
    own.resume();
    await replica.ready();
  });

  it("takes a second at most when a check hangs, and says what a failing one said", async () => {
    const { promise: never } = Promise.withResolvers<void>();
    const readiness = new Readiness({
      hangs: () => never,
      fails: () => Promise.reject(new Error("connection refused")),
    });
    readiness.phase = "ready";
    expect(await readiness.report()).toEqual({
      ready: false,
      phase: "ready",
      checks: { hangs: "no answer within 1000 ms", fails: "connection refused" },
    });
  });
});
