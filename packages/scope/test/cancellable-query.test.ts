import { FaultProxy, ManualClock, pollUntil, PostgresServer } from "@holdfast/testkit";
import pg from "pg";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { cancellableQuery, scope, ScopeTimeoutError } from "../src/index.ts";
import type { ScopeEvent } from "../src/index.ts";

let server: PostgresServer;
let admin: pg.Pool;
const pools: pg.Pool[] = [];

beforeAll(async () => {
  server = await PostgresServer.start();
  admin = new pg.Pool({ connectionString: server.url, max: 1 });
});
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.end()));
});
afterAll(async () => {
  await admin.end();
  await server.stop();
});

function poolOf(max: number, url = server.url): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max });
  pool.on("error", () => undefined);
  pools.push(pool);
  return pool;
}

/** Queries that the server works on, by a word in their text. */
async function atWork(word: string): Promise<number> {
  const { rows } = await admin.query<{ count: number }>(
    "SELECT count(*)::int AS count FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE $1",
    [`%${word}%`],
  );
  return rows[0]?.count ?? -1;
}

/** Runs a query that takes a minute, in a scope that is over once the server works on it. */
async function cutShort(pool: pg.Pool, word: string): Promise<unknown> {
  const caller = new AbortController();
  const running = scope({ name: "report", signal: caller.signal }, (s) =>
    s.fork("reads", () => cancellableQuery(pool, `SELECT pg_sleep(60) AS ${word}`)),
  );
  const ended = running.catch((error: unknown) => error);
  await pollUntil("the server works on it", async () => (await atWork(word)) === 1);
  caller.abort(new Error("the customer has gone"));
  return ended;
}

it("resolves to the rows, with values bound, and hands the connection back", async () => {
  const pool = poolOf(1);
  const rows = await scope({ name: "report", timeoutMs: 30_000 }, () =>
    cancellableQuery<{ sum: number }>(pool, "SELECT $1::int + $2::int AS sum", [19, 23]),
  );
  expect(rows).toEqual([{ sum: 42 }]);
  expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
  expect(await cancellableQuery(pool, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  await expect(cancellableQuery(pool, "SELECT nothing")).rejects.toMatchObject({ code: "42703" });
  expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
});

it("S5 a scope that ends stops the query on the server, and throws its connection away", async () => {
  const pool = poolOf(4);
  expect(await cutShort(pool, "ended")).toMatchObject({ code: "SCOPE_CALLER_CANCELLED" });
  await pollUntil("the server has stopped", async () => (await atWork("ended")) === 0);
  // What comes next on this pool is hit by no cancellation.
  for (let round = 0; round < 20; round += 1) await pool.query("SELECT 1");
});

it("a connection that breaks during its query rejects the query, and does not end the process", async () => {
  const { hostname, port } = new URL(server.url);
  await using proxy = await FaultProxy.start({ host: hostname, port: Number(port) }, { protocol: "tcp" });
  const url = new URL(server.url);
  url.hostname = proxy.host;
  url.port = String(proxy.port);
  const pool = poolOf(1, url.href);
  const uncaught: unknown[] = [];
  const onUncaught = (error: unknown): void => {
    uncaught.push(error);
  };
  process.on("uncaughtExceptionMonitor", onUncaught);
  try {
    for (const inScope of [true, false]) {
      const word = `broken_${String(inScope)}`;
      const query = (): Promise<unknown[]> => cancellableQuery(pool, `SELECT pg_sleep(60) AS ${word}`);
      const running = inScope ? scope({ name: "report" }, (s) => s.fork("reads", query)) : query();
      const ended = running.catch((error: unknown) => error);
      await pollUntil("the server works on it", async () => (await atWork(word)) === 1);
      proxy.reset();
      expect(await ended).toMatchObject({ code: "ECONNRESET" });
    }
    // What the socket has to say is said.
    expect(await cancellableQuery(pool, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  } finally {
    process.off("uncaughtExceptionMonitor", onUncaught);
  }
  expect(uncaught).toEqual([]);
  await pool.end();
  pools.splice(pools.indexOf(pool), 1);
});

it("S5 a query leaves no listener on its connection", async () => {
  const pool = poolOf(1);
  const client = await pool.connect();
  client.release();
  const before = client.listenerCount("error");
  for (let round = 0; round < 3; round += 1) await cancellableQuery(pool, "SELECT 1");
  expect([pool.totalCount, client.listenerCount("error")]).toEqual([1, before]);
});

it("stops the query also when it holds the pool's only connection", async () => {
  const pool = poolOf(1);
  await cutShort(pool, "alone");
  await pollUntil("the server has stopped", async () => (await atWork("alone")) === 0);
  expect((await pool.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
});

it("counter-test: a query that is merely not awaited any more goes on on the server", async () => {
  const pool = poolOf(1);
  const clock = new ManualClock();
  const query = pool.query("SELECT pg_sleep(600) AS goes_on");
  const running = scope({ name: "report", timeoutMs: 200, graceMs: 0, clock }, (s) => s.fork("reads", () => query));
  const ended = running.catch((error: unknown) => error);
  await pollUntil("the server works on it", async () => (await atWork("goes_on")) === 1);
  await clock.advance(200);
  expect(await ended).toBeInstanceOf(ScopeTimeoutError);
  expect(await atWork("goes_on")).toBe(1);
  await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%AS goes_on'");
  await expect(query).rejects.toThrow();
});

it("a query that waits for a connection when its scope ends is never sent", async () => {
  const pool = poolOf(1);
  const held = await pool.connect();
  const clock = new ManualClock();
  const running = scope({ name: "report", timeoutMs: 50, graceMs: 0, clock }, (s) =>
    s.fork("reads", () => cancellableQuery(pool, "SELECT pg_sleep(60) AS never_sent")),
  );
  const ended = running.catch((error: unknown) => error);
  await pollUntil("it waits", () => Promise.resolve(pool.waitingCount === 1));
  await clock.advance(50);
  expect(await ended).toBeInstanceOf(ScopeTimeoutError);
  held.release();
  await pollUntil("it has let go", () => Promise.resolve(pool.waitingCount === 0));
  await pool.query("SELECT 1");
  expect(await atWork("never_sent")).toBe(0);
});

it("S2 a query that waits for a connection ends with its scope and is no zombie; the connection that comes is kept", async () => {
  const pool = poolOf(1);
  const held = await pool.connect();
  const clock = new ManualClock();
  const events: ScopeEvent[] = [];
  const options = {
    name: "report",
    timeoutMs: 50,
    graceMs: 60_000,
    clock,
    onEvent: (event: ScopeEvent) => events.push(event),
  };
  const running = scope(options, (s) => s.fork("reads", () => cancellableQuery(pool, "SELECT 1")));
  const ended = running.catch((error: unknown) => error);
  await pollUntil("it waits", () => Promise.resolve(pool.waitingCount === 1));
  await clock.advance(50);
  const soFar = [...events];
  held.release();
  // Without a moment of the grace.
  expect(soFar).toMatchObject([{ type: "ended", report: { timedOut: 1, zombies: 0 } }]);
  expect(await ended).toBeInstanceOf(ScopeTimeoutError);
  await pollUntil("it has come and gone", () => Promise.resolve(pool.idleCount === 1));
  expect([pool.totalCount, pool.waitingCount]).toEqual([1, 0]);
});

it("a pool that gives no connection says so, at once or later", async () => {
  const query = () => Promise.resolve({ rows: [] });
  const failure = new Error("no connection");
  const sync = {
    query,
    connect: (): never => {
      throw failure;
    },
  };
  for (const away of [sync, { query, connect: () => Promise.reject(failure) }]) {
    await expect(scope({ name: "report" }, () => cancellableQuery(away, "SELECT 1"))).rejects.toBe(failure);
  }
});
