import { ManualClock, pollUntil, PostgresServer } from "@holdfast/testkit";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from "vitest";
import { Bulkhead, CallTimeoutError, wrapPool } from "../src/index.ts";
import type { BulkheadOptions } from "../src/index.ts";
import { busy, settled, turn, watch } from "./work.ts";

let server: PostgresServer;
let pool: pg.Pool;

beforeAll(async () => {
  server = await PostgresServer.start();
});
afterAll(() => server.stop());
beforeEach(() => {
  pool = new pg.Pool({ connectionString: server.url, max: 4 });
});
afterEach(() => pool.end());

function bulkhead(options: BulkheadOptions = {}): Bulkhead {
  return new Bulkhead("db", { concurrencyMax: 2, timeoutMs: 120_000, ...options });
}

it("takes queries in each form of pg's that returns a promise", async () => {
  const { query } = wrapPool(bulkhead(), pool);
  expect((await query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
  expect((await query("SELECT $1::int AS value", [7])).rows).toEqual([{ value: 7 }]);
  expect((await query({ text: "SELECT $1::int", values: [8], rowMode: "array" })).rows).toEqual([[8]]);
  const { rows } = await query<{ value: number }>("SELECT 9 AS value");
  expect(rows[0]?.value satisfies number | undefined).toBe(9);
});

it("an error of the server passes through and counts as a failure", async () => {
  const one = bulkhead();
  await expect(wrapPool(one, pool).query("SELECT nothing")).rejects.toMatchObject({ code: "42703" });
  expect(one.snapshot().outcomes).toMatchObject({ failed: 1, success: 0 });
});

it("B1 no more queries are at work than there are permits, though the pool has connections", async () => {
  const one = bulkhead();
  const { query } = wrapPool(one, pool);
  let most = 0;
  const looking = setInterval(() => (most = Math.max(most, pool.totalCount - pool.idleCount)), 1);
  await Promise.all(Array.from({ length: 12 }, () => query("SELECT pg_sleep(0.02)")));
  clearInterval(looking);
  expect(most).toBe(2);
  expect(one.snapshot()).toMatchObject({ inFlight: 0, queued: 0 });
});

it("a transaction holds its permit from the connection to the release", async () => {
  const one = bulkhead({ concurrencyMax: 1 });
  const wrapped = wrapPool(one, pool);
  await wrapped.query("CREATE TABLE IF NOT EXISTS orders (id int)");
  const client = await wrapped.connect();
  await client.query("BEGIN");
  await client.query("INSERT INTO orders VALUES (1)");
  const outside = watch(wrapped.query("SELECT count(*)::int AS count FROM orders"));
  await turn();
  expect(one.snapshot()).toMatchObject({ inFlight: 1, queued: 1 });
  expect(outside.done).toBe(false);
  await client.query("COMMIT");
  client.release();
  await pollUntil("it has its turn", () => Promise.resolve(outside.done));
  expect((outside.value as pg.QueryResult).rows).toEqual([{ count: 1 }]);
});

it("a connection whose release fails gives its permit back", async () => {
  const one = bulkhead({ concurrencyMax: 1 });
  const broken = {
    query: () => Promise.resolve(),
    connect: async () => ({
      release: (): void => {
        throw new Error("the pool is broken");
      },
    }),
  };
  const client = await wrapPool(one, broken).connect();
  expect(() => client.release()).toThrow("the pool is broken");
  await turn();
  expect(one.snapshot().inFlight).toBe(0);
});

it("a connection that was handed out and released can be used and released again, each time under a permit", async () => {
  const one = bulkhead({ concurrencyMax: 1 });
  const wrapped = wrapPool(one, pool);
  for (let round = 0; round < 3; round += 1) {
    const client = await wrapped.connect();
    expect(one.snapshot().inFlight).toBe(1);
    await client.query("SELECT 1");
    client.release();
    await turn();
    expect(one.snapshot().inFlight).toBe(0);
  }
  expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
});

it("B1 a query whose caller has stopped waiting keeps its permit as long as the server works on it", async () => {
  const one = bulkhead({ concurrencyMax: 1, timeoutMs: 100 });
  const { query } = wrapPool(one, pool);
  const other = new pg.Client({ connectionString: server.url });
  await other.connect();
  await other.query("SELECT pg_advisory_lock(1)");
  await expect(query("SELECT pg_advisory_lock(1)")).rejects.toBeInstanceOf(CallTimeoutError);
  expect(one.snapshot()).toMatchObject({ inFlight: 1, zombies: 1 });
  // What the server waits for.
  await other.end();
  await pollUntil("the server is done", () => Promise.resolve(one.snapshot().inFlight === 0));
  expect(one.snapshot()).toMatchObject({ zombies: 0, leaked: 0 });
});

it("a connection that comes after its caller has given up goes back to the pool", async () => {
  const all = await Promise.all(Array.from({ length: 4 }, () => pool.connect()));
  const one = bulkhead({ timeoutMs: 50 });
  await expect(wrapPool(one, pool).connect()).rejects.toBeInstanceOf(CallTimeoutError);
  for (const client of all) client.release();
  await pollUntil("the permit is back", () => Promise.resolve(one.snapshot().inFlight === 0));
  expect(pool.idleCount).toBe(4);
});

it("a database that is away is refused by the pool, and the permit comes back", async () => {
  const away = new pg.Pool({ host: "127.0.0.1", port: 1, max: 1 });
  const one = bulkhead();
  await expect(wrapPool(one, away).connect()).rejects.toMatchObject({ code: "ECONNREFUSED" });
  await expect(wrapPool(one, away).query("SELECT 1")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  expect(one.snapshot()).toMatchObject({ inFlight: 0, outcomes: { failed: 2 } });
  await away.end();
});

describe("a pool that is not pg's", () => {
  let clock: ManualClock;
  beforeEach(() => {
    clock = new ManualClock();
  });

  function pool() {
    const released: (boolean | Error | undefined)[] = [];
    return {
      released,
      query: async (text: string) => ({ rows: [text] }),
      connect: async () => ({
        query: async (text: string) => ({ rows: [text] }),
        release: (destroy?: boolean | Error) => {
          released.push(destroy);
        },
      }),
    };
  }

  it("a connection holds its permit until it is released", async () => {
    const one = new Bulkhead("db", { concurrencyMax: 1, timeoutMs: 1_000, clock });
    const raw = pool();
    const wrapped = wrapPool(one, raw);
    expect(await wrapped.query("SELECT 1")).toEqual({ rows: ["SELECT 1"] });
    const client = await wrapped.connect();
    expect(one.snapshot().inFlight).toBe(1);
    const waiting = watch(wrapped.query("SELECT 2"));
    await turn();
    expect(waiting.done).toBe(false);
    client.release();
    await turn();
    expect(waiting.value).toEqual({ rows: ["SELECT 2"] });
    expect(raw.released).toEqual([undefined]);
    expect(one.snapshot().inFlight).toBe(0);
  });

  it("a connection that is held too long keeps its permit all the same", async () => {
    const one = new Bulkhead("db", { concurrencyMax: 1, timeoutMs: 1_000, clock });
    const client = await wrapPool(one, pool()).connect();
    await clock.advance(1_000);
    expect(one.snapshot()).toMatchObject({ inFlight: 1, zombies: 1 });
    client.release(true);
    await turn();
    expect(one.snapshot()).toMatchObject({ inFlight: 0, zombies: 0 });
  });

  /** A pool whose statements fail in a way that the default rule would have repeated. */
  function failing() {
    const busyPool = {
      ...pool(),
      tries: 0,
      query: (_text: string) => Promise.reject<unknown>(busy(`${(busyPool.tries += 1)}`)),
    };
    return busyPool;
  }
  const retry = { backoff: { baseMs: 0 } };

  it("is sent no statement twice, unless told", async () => {
    const raw = failing();
    await expect(wrapPool(new Bulkhead("db", { retry }), raw).query("INSERT")).rejects.toThrow("1");
    expect(raw.tries).toBe(1);
    await expect(wrapPool(new Bulkhead("db", { retry }), raw, { retry: true }).query("SELECT")).rejects.toThrow("4");
  });

  it("is asked again, when told, after a connection that did not come about", async () => {
    const refused = Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
    let tries = 0;
    const away = { ...pool(), query: () => ((tries += 1) < 3 ? Promise.reject(refused) : Promise.resolve("rows")) };
    await expect(wrapPool(new Bulkhead("db", { retry }), away, { retry: true }).query()).resolves.toBe("rows");
  });

  it("B1 is asked for one connection a call, whatever a rule for values says of it", async () => {
    const raw = pool();
    let out = 0;
    const counting = {
      ...raw,
      connect: async () => {
        out += 1;
        return { release: () => void (out -= 1) };
      },
    };
    const one = new Bulkhead("db", {
      classify: ({ value }) => (value === undefined ? "failure" : "success"),
      retry: { ...retry, when: () => true },
    });
    const client = await wrapPool(one, counting).connect();
    client.release();
    await settled(() => one.snapshot().outcomes.failed > 0, "the rule has been asked");
    await turn();
    expect([out, one.snapshot().inFlight]).toEqual([0, 0]);
  });

  it("B1 refuses a callback, which would be called past the permit", () => {
    const one = new Bulkhead("db", { clock });
    const raw = { ...pool(), query: (_text: string, done?: () => void) => done?.() };
    expect(() => wrapPool(one, raw).query("SELECT 1", () => undefined)).toThrow(TypeError);
    expect(one.snapshot().inFlight).toBe(0);
  });
});
