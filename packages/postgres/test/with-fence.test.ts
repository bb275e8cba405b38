/** P2 and the life of a fenced transaction: pauses, kills, lost answers, and what the caller is told. */
import { ManualClock, Pod, pollUntil, Stopwatch } from "@holdfast/testkit";
import { withAmbientDeadline } from "@holdfast/core";
import type { Pool } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  fence,
  type PoolLike,
  StaleTokenError,
  TransactionAbortedError,
  TransactionConflictError,
  TransactionIdleError,
  withFence,
  type Transaction,
} from "../src/index.ts";
import { collector, Database, failure, gate, newResource, tokenNow } from "./database.ts";

let database: Database;
let resource: string;
let pool: Pool;
const pods: Pod[] = [];

beforeAll(async () => {
  database = await Database.start();
  pool = database.pool;
  await pool.query("CREATE TABLE effects (resource text, token bigint)");
  await pool.query("CREATE TABLE counters (id text PRIMARY KEY, n int)");
});
afterAll(() => database.stop());
beforeEach(() => {
  resource = newResource();
});
afterEach(async () => {
  await Promise.all(pods.splice(0).map((pod) => pod.kill()));
});

const effects = (of = resource): Promise<unknown[]> => database.rows("SELECT 1 FROM effects WHERE resource = $1", [of]);
const write = (tx: Transaction): Promise<unknown> => tx.query("INSERT INTO effects VALUES ($1, 0)", [resource]);

/** Resolves when the connection of a transaction has ended. */
function lost(tx: Transaction): Promise<void> {
  return new Promise((resolve) => {
    tx.client.on("error", () => resolve());
  });
}

async function holder(): Promise<Pod> {
  const pod = await Pod.start(new URL("pods/holder.pod.ts", import.meta.url), {
    env: { DATABASE_URL: database.server.url },
  });
  pods.push(pod);
  await pod.ready();
  return pod;
}

it("a transaction leaves no timer behind, whether it was committed or rolled back", async () => {
  const clock = new ManualClock();
  await withFence(pool, { resource, token: tokenNow() }, { clock }, write);
  const rolledBack = withFence(pool, { resource, token: tokenNow() }, { clock }, async () => {
    throw new Error("out of stock");
  });
  await expect(rolledBack).rejects.toThrow("out of stock");
  // A list of short deadlines lets its timer fire for nothing.
  await clock.advance(2_000);
  expect(clock.pendingTimers).toBe(0);
});

describe("a holder that stops", () => {
  it("P2 a holder that is paused in its transaction delays its successor by no more than idleMs, and cannot commit", async () => {
    const [pod, token] = [await holder(), tokenNow()];
    await pod.request("enter", { resource, token, idleMs: 500 });
    pod.pause();
    using watch = Stopwatch.start();
    await withFence(pool, { resource, token: token + 1 }, write);
    expect(watch.ranMs).toBeLessThan(500 + 1_000);
    pod.resume();
    await pod.request("leave");
    expect(await pod.request("outcome")).toBe("TransactionIdleError");
    expect(await effects()).toHaveLength(1);
  });

  it("P2 counter-test: without the fence's limit the successor waits for as long as the holder is paused", async () => {
    const client = await pool.connect();
    const token = tokenNow();
    await client.query("BEGIN");
    await client.query("SELECT holdfast.fence($1, $2, 500)", [[resource], [token]]);
    await client.query("SET LOCAL idle_in_transaction_session_timeout = 0");
    const signal = AbortSignal.timeout(1_500);
    const error = await failure(withFence(pool, { resource, token: token + 1 }, { signal }, write));
    expect(error).toMatchObject({ name: "TimeoutError" });
    await client.query("ROLLBACK");
    client.release();
  });

  it("P2 the limit ends with the transaction, and a lower one of the session stays in force", async () => {
    const client = await pool.connect();
    const limit = async (): Promise<unknown> =>
      (await client.query("SHOW idle_in_transaction_session_timeout")).rows[0].idle_in_transaction_session_timeout;
    const limitWithin = async (idleMs: number): Promise<unknown> => {
      await client.query("BEGIN");
      await client.query("SELECT holdfast.fence($1, $2, $3)", [[resource], [tokenNow()], idleMs]);
      const found = await limit();
      await client.query("COMMIT");
      return found;
    };
    try {
      expect(await limitWithin(420_000)).toBe("7min");
      expect(await limit()).toBe("0");
      for (const [session, idleMs, within] of [
        ["3min", 420_000, "3min"],
        ["1h", 420_000, "7min"],
        ["120250ms", 120_300, "120250ms"],
        ["2h", 120_300, "120300ms"],
      ] as const) {
        await client.query(`SET idle_in_transaction_session_timeout = '${session}'`);
        expect(await limitWithin(idleMs)).toBe(within);
        expect(await limit()).toBe(session);
      }
    } finally {
      client.release(true);
    }
  });

  it("P1 P2 a holder killed with SIGKILL in its transaction leaves nothing, and its successor enters at once", async () => {
    const [pod, token] = [await holder(), tokenNow()];
    await pod.request("enter", { resource, token, idleMs: 60_000 });
    const successor = withFence(pool, { resource, token: token + 1 }, write);
    await pollUntil("the successor waits", () => database.waiting());
    await pod.kill();
    await successor;
    expect(await effects()).toHaveLength(1);
  });

  it("a server killed with SIGKILL mid-transaction commits nothing, keeps the fence, and says so", async () => {
    const token = tokenNow();
    await withFence(pool, { resource, token }, async () => undefined);
    try {
      const error = await failure(
        withFence(pool, { resource, token }, async (tx) => {
          await write(tx);
          const gone = lost(tx);
          await database.server.kill();
          await gone;
          await write(tx);
        }),
      );
      expect(error).toMatchObject({ name: "PostgresUnavailableError", reason: "connection-lost", effect: "none" });
      const down = await failure(withFence(pool, { resource, token }, write));
      // A pooled connection whose end was not noticed yet is lost, a new one cannot be had.
      expect(down).toMatchObject({ name: "PostgresUnavailableError", effect: "none" });
    } finally {
      await database.server.restart();
    }
    expect(await effects()).toHaveLength(0);
    expect(await failure(withFence(pool, { resource, token: token - 1 }, write))).toBeInstanceOf(StaleTokenError);
    await withFence(pool, { resource, token }, write);
  });

  it("a body that is silent for too long is told why, also when the connection ended while nothing was asked", async () => {
    const error = await failure(
      withFence(pool, { resource, token: tokenNow() }, { idleMs: 50 }, async (tx) => {
        await write(tx);
        await pollUntil("the session is gone", async () => {
          const open = await database.value(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'",
          );
          return open === "0";
        });
        await write(tx);
      }),
    );
    expect(error).toBeInstanceOf(TransactionIdleError);
    expect(await effects()).toHaveLength(0);
  });
});

describe("repeats", () => {
  it("a serialization failure in the body runs the whole transaction again, also when the body wrapped or caught it", async () => {
    await pool.query("INSERT INTO counters VALUES ($1, 0)", [resource]);
    for (const manner of ["passes", "wraps", "catches"] as const) {
      let runs = 0;
      const { events, onEvent } = collector();
      await withFence(pool, { resource, token: tokenNow() }, { isolation: "serializable", onEvent }, async (tx) => {
        runs += 1;
        await tx.query("SELECT n FROM counters WHERE id = $1", [resource]);
        if (runs === 1) await pool.query("UPDATE counters SET n = n + 100 WHERE id = $1", [resource]);
        const update = tx.query("UPDATE counters SET n = n + 1 WHERE id = $1", [resource]);
        if (manner === "passes") await update;
        if (manner === "catches") await update.catch(() => undefined);
        if (manner === "wraps") {
          await update.catch((cause: unknown) => {
            throw new Error("mapper: update failed", { cause });
          });
        }
      });
      expect(runs).toBe(2);
      expect(events).toMatchObject([{ type: "retried", attempt: 1 }]);
    }
    expect(await database.value("SELECT n FROM counters WHERE id = $1", [resource])).toBe(303);
  });

  it("end after attemptsMax with a typed error", async () => {
    await pool.query("INSERT INTO counters VALUES ($1, 0)", [resource]);
    let runs = 0;
    const error = await failure(
      withFence(pool, { resource, token: tokenNow() }, { isolation: "serializable", attemptsMax: 3 }, async (tx) => {
        runs += 1;
        await tx.query("SELECT 1");
        await pool.query("UPDATE counters SET n = n + 1 WHERE id = $1", [resource]);
        await tx.query("UPDATE counters SET n = n + 1 WHERE id = $1", [resource]);
      }),
    );
    expect(error).toBeInstanceOf(TransactionConflictError);
    expect(error).toMatchObject({ attempts: 3, effect: "none", cause: { code: "40001" } });
    expect(runs).toBe(3);
  });

  it("never follow an error of the body's own", async () => {
    let runs = 0;
    const own = new Error("insufficient funds");
    const error = await failure(
      withFence(pool, { resource, token: tokenNow() }, async (tx) => {
        runs += 1;
        await write(tx);
        throw own;
      }),
    );
    expect(error).toBe(own);
    expect(runs).toBe(1);
    expect(await effects()).toHaveLength(0);
  });
});

describe("what it costs", () => {
  it("a fenced transaction takes as many round trips as the same one without a fence, and fence(tx) one statement", async () => {
    const sent: string[] = [];
    const counted: PoolLike = {
      query: (text, values) => pool.query(text, values),
      connect: async () => {
        const client = await pool.connect();
        return {
          query: (text, values) => {
            sent.push(text);
            return client.query(text, values);
          },
          release: (destroy) => client.release(destroy),
          on: (event, listener) => client.on(event, listener),
          off: (event, listener) => client.off(event, listener),
        };
      },
    };
    const token = tokenNow();
    await withFence(counted, { resource, token }, write);
    expect(sent).toHaveLength(["BEGIN", "INSERT", "COMMIT"].length);
    await withFence(counted, { resource, token }, async (tx) => {
      sent.length = 0;
      await fence(tx, [
        { resource, token },
        { resource: newResource(), token },
      ]);
      expect(sent).toHaveLength(1);
    });
  });
});

describe("the body's transaction", () => {
  it("refuses statements that would end it, and statements after its end", async () => {
    let leaked: Transaction | undefined;
    await withFence(pool, { resource, token: tokenNow() }, async (tx) => {
      leaked = tx;
      for (const text of [
        "COMMIT",
        " rollback ",
        "BEGIN",
        "end;",
        "abort",
        "PREPARE TRANSACTION 'x'",
        "start transaction",
        "-- done\nCOMMIT",
        "/* by * orders */ ; commit",
        "/* by /* nested */ orders */ COMMIT",
        "/*/**/*/commit",
        "/* -- */ commit",
        "--\rcommit",
        "prepare/* */transaction 'x'",
        "rollback -- to a\n work",
      ]) {
        await expect(tx.query(text)).rejects.toThrow(TypeError);
      }
      await tx.query("SAVEPOINT a");
      await tx.query("ROLLBACK TO a");
      await tx.query("rollback work to savepoint a");
      await tx.query("rollback /* a */ to /* b */ a");
      await tx.query("SELECT 'commit'");
      await tx.query("/* /* */ commit */ SELECT 1 AS begin");
      await tx.query("/* commit */ SELECT 1 -- commit");
      await tx.query("DO $$ BEGIN PERFORM 1; END $$");
    });
    await expect(leaked?.query("SELECT 1")).rejects.toThrow("the transaction has ended");
    expect(() => leaked?.client).toThrow("the transaction has ended");
  });

  it("counts a statement that was not awaited in, and its failure too", async () => {
    await withFence(pool, { resource, token: tokenNow() }, async (tx) => void write(tx));
    expect(await effects()).toHaveLength(1);
    const error = await failure(
      withFence(pool, { resource, token: tokenNow() }, async (tx) => {
        tx.query("SELECT 1 / 0").catch(() => undefined);
      }),
    );
    expect(error).toBeInstanceOf(TransactionAbortedError);
  });

  it("gives its connection back with no listener of ours on it, whatever happened", async () => {
    const few = database.open({ max: 1 });
    await withFence(few, { resource, token: tokenNow() }, write);
    await failure(withFence(few, { resource, token: tokenNow() }, (tx) => tx.query("SELECT 1 / 0")));
    await failure(withFence(few, { resource, token: 1 }, write));
    expect([few.totalCount, few.idleCount]).toEqual([1, 1]);
    const client = await few.connect();
    // The pool's own listener is the only one, and a transaction is not open.
    expect(client.listenerCount("error")).toBeLessThanOrEqual(1);
    expect((await client.query("SELECT now() = statement_timestamp() AS fresh")).rows[0].fresh).toBe(true);
    client.release();
  });
});

describe("waiting", () => {
  it("for the fence ends with the signal, and what was waited for is not committed later", async () => {
    const [entered, leave, aborter] = [gate(), gate(), new AbortController()];
    const token = tokenNow();
    const first = withFence(pool, { resource, token }, async () => {
      entered.open();
      await leave.opened;
    });
    await entered.opened;
    const second = failure(withFence(pool, { resource, token: token + 1 }, { signal: aborter.signal }, write));
    await pollUntil("the second waits", () => database.waiting());
    aborter.abort(new Error("enough"));
    expect(await second).toMatchObject({ message: "enough" });
    leave.open();
    await first;
    await pollUntil("nobody waits", async () => !(await database.waiting()));
    expect(await effects()).toHaveLength(0);
    await withFence(pool, { resource, token }, write);
  });

  it("for a connection ends with the signal, and a connection that comes too late goes back to the pool", async () => {
    const few = database.open({ max: 1 });
    const [entered, leave, aborter] = [gate(), gate(), new AbortController()];
    const first = withFence(few, { resource, token: tokenNow() }, async () => {
      entered.open();
      await leave.opened;
    });
    await entered.opened;
    const second = failure(withFence(few, { resource, token: tokenNow() }, { signal: aborter.signal }, write));
    await pollUntil("the second waits for the connection", () => few.waitingCount === 1);
    aborter.abort(new Error("enough"));
    expect(await second).toMatchObject({ message: "enough" });
    leave.open();
    await first;
    await pollUntil("the connection is back", () => few.idleCount === 1);
    expect([few.totalCount, few.waitingCount]).toEqual([1, 0]);
    expect(await effects()).toHaveLength(0);
  });

  it("for a connection, or for the fence, ends with the ambient deadline", async () => {
    const few = database.open({ max: 1 });
    const [entered, leave] = [gate(), gate()];
    const token = tokenNow();
    const first = withFence(few, { resource, token }, async () => {
      entered.open();
      await leave.opened;
    });
    await entered.opened;
    for (const through of [few, pool]) {
      const error = await failure(withAmbientDeadline(50, () => withFence(through, { resource, token }, write)));
      expect(error).toMatchObject({ name: "PostgresUnavailableError", reason: "deadline" });
    }
    leave.open();
    await first;
    // The connection that came too late was given back.
    await withFence(few, { resource, token }, write);
    expect(await effects()).toHaveLength(1);
  });
});
