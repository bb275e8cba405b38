/** P3: a COMMIT without answer under a key, and the question what became of it. */
import { setTimeout as delay } from "node:timers/promises";
import { systemClock, withAmbientDeadline } from "@holdfast/core";
import type { Clock } from "@holdfast/core";
import { FaultProxy, pollUntil } from "@holdfast/testkit";
import type { Pool } from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { idempotentTransaction, OutcomeUnknownError, type Transaction, TransactionAbortedError } from "../src/index.ts";
import { beforeCommit, collector, Database, failure } from "./database.ts";

let database: Database;
let pool: Pool;
let keys = 0;
let key: string;

beforeAll(async () => {
  database = await Database.start();
  pool = database.pool;
  await pool.query("CREATE TABLE effects (resource text, token bigint)");
});
afterAll(() => database.stop());
beforeEach(() => {
  keys += 1;
  key = `order-${keys}`;
});

const charge = { name: "charge", tenant: "acme", fingerprint: { amount: 5, currency: "EUR" } };
const write = async (tx: Transaction): Promise<void> => {
  await tx.query("INSERT INTO effects VALUES ($1, 0)", [key]);
};

const effects = async (): Promise<number> =>
  (await database.rows("SELECT 1 FROM effects WHERE resource = $1", [key])).length;

describe("a COMMIT whose answer is lost", () => {
  it("P3 is resolved by reading: it was committed, the caller gets its value, and nothing runs again", async () => {
    await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
    const far = database.open({ max: 4 }, proxy);
    const { events, onEvent } = collector();
    let bodies = 0;
    const run = idempotentTransaction(far, { ...charge, key, onEvent }, async (tx) => {
      bodies += 1;
      await write(tx);
      beforeCommit(tx, () => proxy.blackhole("down"));
      return "charged";
    });
    await pollUntil("it is committed", async () => (await effects()) === 1);
    await proxy.heal({ held: "drop" });
    proxy.reset();
    expect(await run).toEqual({ value: "charged", replayed: false });
    expect(bodies).toBe(1);
    expect(await effects()).toBe(1);
    expect(events).toMatchObject([{ type: "commit-lost" }, { type: "commit-resolved", committed: true }]);
  });

  it("P3 that never reached the server is resolved, too: the body runs again, and one effect is committed", async () => {
    await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
    const far = database.open({ max: 4 }, proxy);
    const { events, onEvent } = collector();
    let bodies = 0;
    const result = await idempotentTransaction(far, { ...charge, key, onEvent }, async (tx) => {
      bodies += 1;
      await write(tx);
      if (bodies === 1) {
        beforeCommit(tx, () => {
          proxy.blackhole("both");
          // COMMIT is on its way by then, and goes no further; its connection is cut.
          setImmediate(() => void proxy.heal({ held: "drop" }).then(() => proxy.reset()));
        });
      }
      return bodies;
    });
    expect(result).toEqual({ value: 2, replayed: false });
    expect(await effects()).toBe(1);
    expect(events.map(({ type }) => type)).toEqual(["commit-lost", "commit-resolved"]);
    expect(events.at(-1)).toMatchObject({ committed: false });
  });

  it("P3 is an unknown outcome only when nobody can be asked; a later call with the same key learns it", async () => {
    await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
    const far = database.open({ max: 4 }, proxy);
    const error = await failure(
      idempotentTransaction(far, { ...charge, key, commitTimeoutMs: 100, resolveMs: 300 }, async (tx) => {
        await write(tx);
        beforeCommit(tx, () => proxy.blackhole("down"));
        return "charged";
      }),
    );
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(error).toMatchObject({ effect: "possible" });
    await pollUntil("it is committed", async () => (await effects()) === 1);
    await proxy.heal({ held: "drop" });
    const found = await idempotentTransaction(pool, { ...charge, key }, write);
    expect(found).toEqual({ value: "charged", replayed: true });
    expect(await effects()).toBe(1);
  });

  it("P3 is an unknown outcome, too, when the caller's deadline or signal ends the questions", async () => {
    await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
    for (const way of ["deadline", "signal"]) {
      // A pool of its own: a connection that one way leaves behind would take the question of the other.
      const far = database.open({ max: 4 }, proxy);
      const controller = new AbortController();
      let isAsking = false;
      let passedMs = 0;
      const clock: Clock = {
        ...systemClock,
        monotonicMs: () => systemClock.monotonicMs() + passedMs,
        setTimer(callback, delayMs, weak) {
          const isPause = delayMs < 10_000;
          // The signal comes in the first pause, which follows a question that was refused. Behind the deadline there is none.
          if (isAsking && isPause) queueMicrotask(() => controller.abort(new Error("enough")));
          // A question that nobody answers waits for the deadline.
          const jumps = isAsking && way === "deadline" && !isPause && passedMs === 0;
          if (jumps) passedMs = delayMs;
          return systemClock.setTimer(callback, jumps ? 0 : delayMs, weak);
        },
      };
      const onEvent = ({ type }: { readonly type: string }): void => {
        if (type === "commit-lost") isAsking = true;
      };
      const more = {
        key: `${key}-${way}`,
        onEvent,
        clock,
        signal: controller.signal,
        commitTimeoutMs: 100,
        resolveMs: 600_000,
      };
      const run = (): Promise<unknown> =>
        idempotentTransaction(far, { ...charge, ...more }, async (tx) => {
          await write(tx);
          beforeCommit(tx, () => {
            proxy.blackhole("down");
            if (way === "signal") void proxy.refuse();
          });
        });
      const error = await failure(way === "deadline" ? withAmbientDeadline(300_000, run, clock) : run());
      expect(error).toBeInstanceOf(OutcomeUnknownError);
      expect(controller.signal.aborted).toBe(way === "signal");
      await proxy.heal({ held: "drop" });
    }
  });

  it("P3 is an unknown outcome after resolveMs, too, when a connection that the pool has kept answers no question", async () => {
    await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
    const far = database.open({ max: 2 }, proxy);
    const idle = [await far.connect(), await far.connect()];
    for (const client of idle) client.release();
    const asking = failure(
      idempotentTransaction(far, { ...charge, key, commitTimeoutMs: 100, resolveMs: 100 }, async (tx) => {
        await write(tx);
        beforeCommit(tx, () => proxy.blackhole("down"));
      }),
    );
    try {
      const error = await Promise.race([asking, delay(60_000, "it is still waited for", { ref: false })]);
      expect(error).toBeInstanceOf(OutcomeUnknownError);
      // Nor does the question keep its connection.
      await pollUntil("it is closed", () => far.totalCount === 0);
    } finally {
      await proxy.heal({ held: "drop" });
    }
    expect(await idempotentTransaction(pool, { ...charge, key }, write)).toEqual({ value: undefined, replayed: true });
  });

  it("P3 counter-test: a caller who repeats a plain transaction after a lost COMMIT writes twice", async () => {
    await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
    const far = database.open({ max: 4 }, proxy);
    const client = await far.connect();
    client.on("error", () => undefined);
    await client.query("BEGIN");
    await client.query("INSERT INTO effects VALUES ($1, 0)", [key]);
    proxy.blackhole("down");
    const commit = client.query("COMMIT").catch((error: unknown) => error);
    await pollUntil("it is committed", async () => (await effects()) === 1);
    proxy.reset();
    expect(await commit).toBeInstanceOf(Error);
    client.release(true);
    await pool.query("INSERT INTO effects VALUES ($1, 0)", [key]);
    expect(await effects()).toBe(2);
  });

  it("P3 is resolved after the server was killed with SIGKILL: committed once, whichever way it went", async () => {
    let bodies = 0;
    let result: { value: unknown; replayed: boolean } | undefined;
    try {
      const run = idempotentTransaction(pool, { ...charge, key, resolveMs: 120_000 }, async (tx) => {
        bodies += 1;
        await write(tx);
        if (bodies === 1) {
          beforeCommit(tx, () => process.kill(database.server.pid, "SIGKILL"));
        }
        return "charged";
      });
      await pollUntil("the server is dead", () => !database.server.isRunning);
      await database.server.restart();
      result = await run.catch((error: unknown) => {
        // The connection was known to be gone before COMMIT was sent.
        expect(error).toMatchObject({ effect: "none" });
        return idempotentTransaction(pool, { ...charge, key }, write);
      });
    } finally {
      if (!database.server.isRunning) await database.server.restart();
    }
    expect(result).toMatchObject({ replayed: false });
    expect(await effects()).toBe(1);
  });
});

describe("an error that the body has caught", () => {
  it("P3 is told as what it was: nothing is committed, and a repeat runs", async () => {
    const error = await failure(
      idempotentTransaction(pool, { ...charge, key }, async (tx) => {
        await write(tx);
        await tx.query("SELECT 1 / 0").catch(() => undefined);
        await tx.query("SELECT 1").catch(() => undefined);
        return "charged";
      }),
    );
    expect(error).toBeInstanceOf(TransactionAbortedError);
    expect(error).toMatchObject({ effect: "none", cause: { code: "22012" } });
    expect(await effects()).toBe(0);
    expect(await idempotentTransaction(pool, { ...charge, key }, write)).toMatchObject({ replayed: false });
  });

  it("P3 runs the whole transaction again when it was a serialization failure", async () => {
    await pool.query("CREATE TABLE counters (id text PRIMARY KEY, n int)");
    await pool.query("INSERT INTO counters VALUES ($1, 0)", [key]);
    const { events, onEvent } = collector();
    const options = { ...charge, key, isolation: "serializable", onEvent } as const;
    let runs = 0;
    const result = await idempotentTransaction(pool, options, async (tx) => {
      runs += 1;
      await tx.query("SELECT n FROM counters WHERE id = $1", [key]);
      if (runs === 1) await pool.query("UPDATE counters SET n = n + 100 WHERE id = $1", [key]);
      await tx.query("UPDATE counters SET n = n + 1 WHERE id = $1", [key]).catch(() => undefined);
      return runs;
    });
    expect(result).toEqual({ value: 2, replayed: false });
    expect(events).toMatchObject([{ type: "retried", attempt: 1 }]);
    expect(await database.value("SELECT n FROM counters WHERE id = $1", [key])).toBe(101);
  });
});
