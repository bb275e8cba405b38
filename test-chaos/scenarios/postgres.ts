/**
 * PostgreSQL's side: writes under locks behind a fence, keys that commit with their effect, and timers from an outbox. The database itself
 * does not fail; the pods that talk to it are paused and killed with transactions open, and the Redis that grants and fires fails.
 */
import { FencedLock } from "@holdfast/lock";
import { idempotentTransaction, migrate, outbox, withFence } from "@holdfast/postgres";
import { PostgresServer, pollUntil } from "@holdfast/testkit";
import { DurableTimer } from "@holdfast/timer";
import pg from "pg";
import { checkPostgres } from "../checkers/postgres.ts";
import type { Values } from "../history/event.ts";
import { aborted, pace } from "./pace.ts";
import type { Bench, Scenario } from "./scenario.ts";
import type { Workplace } from "./workplace.ts";

const locks = ["ledger-a", "ledger-b"];
const ttlMs = 600;
const commandTimeoutMs = 400;
const slotMs = 150;
const timerName = "reminders";
const relayedWithinMs = 60_000;

const tables = `
  CREATE TABLE fenced_log (id bigserial PRIMARY KEY, name text NOT NULL, token bigint NOT NULL, operation text NOT NULL UNIQUE);
  CREATE TABLE fenced_count (name text PRIMARY KEY, count int NOT NULL);
  INSERT INTO fenced_count VALUES ('ledger-a', 0), ('ledger-b', 0);
  CREATE TABLE effects (id bigserial PRIMARY KEY, key text NOT NULL, reminder text NOT NULL)`;

function poolOf(place: Pick<Workplace, "given">): pg.Pool {
  const pool = new pg.Pool({ connectionString: String(place.given["databaseUrl"]), max: 8 });
  pool.on("error", () => undefined);
  return pool;
}

async function prepare(bench: Bench): Promise<Values> {
  const server = await PostgresServer.start();
  bench.own(server);
  const given = { databaseUrl: server.url };
  const pool = poolOf({ given });
  await migrate(pool);
  await pool.query(tables);
  await pool.end();
  return given;
}

/** Reads before it waits and writes what it read plus one, as code does that trusts its lock. */
async function underLock(place: Workplace, pool: pg.Pool, lock: FencedLock, name: string): Promise<void> {
  const { random } = place;
  const operation = random.id();
  const acquired = await place.call(
    { call: "acquire", resource: name, operation },
    () => lock.acquire(name, { waitMs: 1_500, signal: place.quiet }),
    ({ token }) => ({ token }),
  );
  if (acquired.outcome !== "ok") return;
  const hold = acquired.value;
  await pace(random.chance(0.4) ? random.int(200, 550) : random.int(0, 20), place.stopping);
  const { resource, token } = hold;
  await place.call({ call: "write", resource: name, operation, values: { token } }, () =>
    // Without the hold's own opinion: what is asked here is whether the database refuses.
    withFence(pool, { resource, token }, { idleMs: 1_000 }, async (tx) => {
      const { rows } = await tx.query<{ count: number }>("SELECT count FROM fenced_count WHERE name = $1", [name]);
      await pace(random.int(0, 15), place.stopping);
      const next = Number(rows[0]?.count) + 1;
      await tx.query("UPDATE fenced_count SET count = $2 WHERE name = $1", [name, next]);
      await tx.query("INSERT INTO fenced_log (name, token, operation) VALUES ($1, $2, $3)", [name, token, operation]);
    }),
  );
  await hold.release().catch(() => undefined);
}

/** An effect and a reminder that commit together with their key; the same keys in all pods. */
async function underKey(place: Workplace, pool: pg.Pool, timer: DurableTimer): Promise<void> {
  const { random } = place;
  const slot = Math.floor(Number(process.hrtime.bigint()) / 1e6 / slotMs) - random.int(0, 3);
  const key = `key-${slot}`;
  for (let tries = 1; tries <= 4 && !place.stopping.aborted; tries += 1) {
    const called = await place.call(
      { call: "pay", resource: key, operation: key },
      () =>
        idempotentTransaction(pool, { name: "payments", tenant: "acme", key, fingerprint: { key } }, async (tx) => {
          const reminder = `reminder-${place.pod}-${random.id()}`;
          await tx.query("INSERT INTO effects (key, reminder) VALUES ($1, $2)", [key, reminder]);
          await outbox.schedule(tx, timer, { id: reminder, afterMs: random.int(0, 500) });
          await pace(random.int(0, 30), place.stopping);
          if (random.chance(0.1)) throw Object.assign(new Error("rolled back"), { effect: "none" });
          return reminder;
        }),
      ({ value, replayed }) => ({ value, replayed }),
    );
    if (called.outcome === "ok") return;
    await pace(random.int(20, 120), place.stopping);
  }
}

async function work(place: Workplace): Promise<void> {
  const pool = poolOf(place);
  const lock = new FencedLock(place.redis, {
    prefix: `${place.prefix}-pg`,
    ttlMs,
    commandTimeoutMs,
    waiterLapseMs: 400,
  });
  const timer = new DurableTimer(place.redis, timerName, { prefix: place.prefix, commandTimeoutMs });
  const worker = timer.worker({ leaseMs: 700, pollMs: 150, attemptsMax: 10 }, ({ id }) => place.note("fired", id));
  const relay = outbox.relay(pool, timer, { pollMs: 50, claimMs: 1_500, backoff: { baseMs: 50, delayMaxMs: 300 } });
  await worker.start();
  await relay.start();
  const loop = async (turn: () => Promise<void>): Promise<void> => {
    while (!place.quiet.aborted) {
      await turn();
      await pace(place.random.int(10, 80), place.quiet);
    }
  };
  await Promise.all([
    ...locks.map((name) => loop(() => underLock(place, pool, lock, name))),
    loop(() => underKey(place, pool, timer)),
    loop(() => underKey(place, pool, timer)),
    aborted(place.stopping),
  ]);
  await relay.stop({ graceMs: 1_000 });
  await worker.stop({ graceMs: 1_000 });
  await lock.close();
  await pool.end();
}

async function settle(bench: Bench): Promise<void> {
  const pool = poolOf(bench);
  const timer = new DurableTimer(bench.redis, timerName, { prefix: bench.prefix });
  await pollUntil(
    "the outbox is empty and every reminder has fired",
    async () => {
      const { pending } = await outbox.status(pool, { name: timerName });
      const stats = await timer.stats();
      return pending + stats.pending + stats.leased === 0;
    },
    { timeoutMs: relayedWithinMs, intervalMs: 50 },
    // What is left shows in the findings.
  ).catch(() => undefined);
  await timer.close();
  await pool.end();
}

/** What the database says at the end. */
export interface PostgresFindings {
  /** The writes of each lock, in the order of their commits. */
  readonly logs: Readonly<Record<string, readonly { readonly token: number; readonly operation: string }[]>>;
  readonly counts: Readonly<Record<string, number>>;
  readonly effects: readonly { readonly key: string; readonly reminder: string }[];
  /** Rows that no relay has told. */
  readonly outboxRows: number;
}

async function inspect(bench: Bench): Promise<PostgresFindings> {
  const pool = poolOf(bench);
  const log = await pool.query<{ name: string; token: number; operation: string }>(
    "SELECT name, token::float8 AS token, operation FROM fenced_log ORDER BY id",
  );
  const counts = await pool.query<{ name: string; count: number }>("SELECT name, count FROM fenced_count");
  const effects = await pool.query<{ key: string; reminder: string }>("SELECT key, reminder FROM effects ORDER BY id");
  const { pending } = await outbox.status(pool, { name: timerName });
  await pool.end();
  return {
    logs: Object.fromEntries(locks.map((name) => [name, log.rows.filter((row) => row.name === name)])),
    counts: Object.fromEntries(counts.rows.map(({ name, count }) => [name, count])),
    effects: effects.rows,
    outboxRows: pending,
  };
}

/** The scenario of `@holdfast/postgres`. */
export const scenario: Scenario = { name: "postgres", prepare, work, settle, inspect, check: checkPostgres };
