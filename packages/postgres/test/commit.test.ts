/** The end of a fenced transaction: what the answer to COMMIT means, and what becomes of a COMMIT without one. */
import { FaultProxy, pollUntil } from "@holdfast/testkit";
import type { Pool, PoolClient } from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  commitOutcome,
  OutcomeUnknownError,
  type Transaction,
  TransactionAbortedError,
  withFence,
} from "../src/index.ts";
import { beforeCommit, collector, Database, failure, newResource, tokenNow } from "./database.ts";

let database: Database;
let resource: string;
let pool: Pool;

beforeAll(async () => {
  database = await Database.start();
  pool = database.pool;
  await pool.query("CREATE TABLE effects (resource text, token bigint)");
  await pool.query("CREATE TABLE late (id int, CONSTRAINT once UNIQUE (id) DEFERRABLE INITIALLY DEFERRED)");
});
afterAll(() => database.stop());
beforeEach(() => {
  resource = newResource();
});

const effects = (): Promise<unknown[]> => database.rows("SELECT 1 FROM effects WHERE resource = $1", [resource]);
const write = (tx: Transaction): Promise<unknown> => tx.query("INSERT INTO effects VALUES ($1, 0)", [resource]);

/** Resolves when the connection of a transaction has ended. */
function lost(tx: Transaction): Promise<void> {
  return new Promise((resolve) => {
    tx.client.on("error", () => resolve());
  });
}

describe("COMMIT", () => {
  it("that gets no answer is found out by reading: it was committed, and the caller gets its value", async () => {
    await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
    const far = database.open({ max: 2 }, proxy);
    const { events, onEvent } = collector();
    const run = withFence(far, { resource, token: tokenNow() }, { onEvent }, async (tx) => {
      await write(tx);
      beforeCommit(tx, () => proxy.blackhole("down"));
      return "paid";
    });
    await pollUntil("the commit is there", async () => (await effects()).length === 1);
    await proxy.heal({ held: "drop" });
    proxy.reset();
    expect(await run).toBe("paid");
    expect(await effects()).toHaveLength(1);
    expect(events).toMatchObject([{ type: "commit-lost" }, { type: "commit-resolved", committed: true }]);
    // The connection without answer is not used again.
    await pollUntil("it is closed", () => far.totalCount <= 1);
  });

  it("that never reached the server is found out by reading, too: nothing was committed, for certain", async () => {
    await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
    const far = database.open({ max: 2 }, proxy);
    const { events, onEvent } = collector();
    const options = { onEvent, commitTimeoutMs: 100 };
    const error = await failure(
      withFence(far, { resource, token: tokenNow() }, options, async (tx) => {
        await write(tx);
        beforeCommit(tx, () => {
          proxy.blackhole("both");
          setTimeout(() => void proxy.heal({ held: "drop" }), 150);
        });
      }),
    );
    expect(error).toMatchObject({ name: "PostgresUnavailableError", effect: "none", reason: "connection-lost" });
    expect(events.at(-1)).toMatchObject({ type: "commit-resolved", committed: false });
    expect(await effects()).toHaveLength(0);
    // The fence was taken back with the rest.
    await withFence(pool, { resource, token: 1 }, write);
  });

  it("is an unknown outcome only when nobody can be asked, and its operationId tells it later", async () => {
    await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
    const far = database.open({ max: 1 }, proxy);
    const { events, onEvent } = collector();
    const options = { onEvent, commitTimeoutMs: 100, resolveMs: 200 };
    const error = await failure(
      withFence(far, { resource, token: tokenNow() }, options, async (tx) => {
        await write(tx);
        beforeCommit(tx, () => proxy.blackhole("down"));
      }),
    );
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(error).toMatchObject({ effect: "possible", message: expect.stringContaining("commitOutcome(pool, ") });
    expect(events.map(({ type }) => type)).toEqual(["commit-lost"]);
    const { operationId } = error as OutcomeUnknownError;
    await pollUntil("it is decided", async () => (await commitOutcome(pool, operationId)).kind !== "in-progress");
    expect(await commitOutcome(pool, operationId)).toEqual({ kind: "committed" });
    expect(await effects()).toHaveLength(1);
    // The number alone, as an earlier version gave it, may be another's since the server has recovered.
    const [number = "", fencedUs = ""] = operationId.split("@");
    expect(await commitOutcome(pool, number)).toEqual({ kind: "forgotten" });
    // Of a clock that was set back nobody knows whether the server has recovered since.
    expect(await commitOutcome(pool, `${number}@${BigInt(fencedUs) + 3_600_000_000n}`)).toEqual({ kind: "forgotten" });
    await proxy.heal({ held: "drop" });
  });

  it("counter-test: without reading, committed and rolled back look the same to the client", async () => {
    const seen: unknown[] = [];
    for (const direction of ["down", "both"] as const) {
      await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
      const client = await database.open({ max: 1 }, proxy).connect();
      client.on("error", () => undefined);
      await client.query("BEGIN");
      await client.query("INSERT INTO effects VALUES ($1, 0)", [resource]);
      proxy.blackhole(direction);
      const commit = failure(client.query("COMMIT"));
      if (direction === "down") await pollUntil("it is committed", async () => (await effects()).length === 1);
      proxy.reset();
      seen.push(((await commit) as Error).message);
      client.release(true);
    }
    expect(new Set(seen).size).toBe(1);
    expect(await effects()).toHaveLength(1);
  });

  it("commitOutcome tells each end of a transaction, and refuses what is no number of one", async () => {
    const client = await pool.connect();
    const number = async (): Promise<string> => {
      await client.query("BEGIN");
      const asked = "SELECT pg_current_xact_id() || '@' || (extract(epoch FROM now()) * 1000000)::bigint AS xid";
      return (await client.query<{ xid: string }>(asked)).rows[0]?.xid ?? "";
    };
    const aborted = await number();
    expect(await commitOutcome(pool, aborted)).toEqual({ kind: "in-progress" });
    await client.query("ROLLBACK");
    expect(await commitOutcome(pool, aborted)).toEqual({ kind: "rolled-back" });
    const committed = await number();
    await client.query("COMMIT");
    client.release();
    expect(await commitOutcome(pool, committed)).toEqual({ kind: "committed" });
    expect(await commitOutcome(pool, String(2n ** 40n))).toEqual({ kind: "forgotten" });
    for (const id of ["none", "1000@", "@1000", "1000@x"]) {
      await expect(commitOutcome(pool, id)).rejects.toThrow(TypeError);
    }
  });

  // No room left, a disk that fails, a page that cannot be read.
  it.each(["53100", "58030", "XX001"])(
    "that is answered with %s is found out by reading, too: the server may have committed before it failed",
    async (code) => {
      // Its connections are not to be used again.
      const far = database.open({ max: 2 });
      const answers = ["COMMIT", "ROLLBACK"];
      const outcomes: unknown[] = [];
      for (const answer of answers) {
        const run = withFence(far, { resource, token: tokenNow() }, async (tx) => {
          await write(tx);
          const { client } = tx;
          const query = client.query.bind(client);
          client.query = async (text, values) => {
            if (text !== "COMMIT") return query(text, values);
            await query(answer);
            throw Object.assign(new Error("the server failed"), { code, severity: "ERROR" });
          };
          return "paid";
        });
        outcomes.push(await run.catch((error: unknown) => error));
      }
      await far.end();
      expect(outcomes).toMatchObject(["paid", { name: "PostgresUnavailableError", effect: "none" }]);
      expect(await effects()).toHaveLength(1);
    },
  );

  it("P2 that comes when the server has ended the silent session already is not seen by it: nothing was committed", async () => {
    await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
    const far = database.open({ max: 1, application_name: resource }, proxy);
    const { events, onEvent } = collector();
    const error = await failure(
      withFence(far, { resource, token: tokenNow() }, { idleMs: 50, onEvent }, async (tx) => {
        await write(tx);
        // The end of the session is on its way while the body goes on, and arrives behind COMMIT.
        proxy.blackhole("down");
        beforeCommit(tx, () => void proxy.heal());
        await pollUntil("the session is gone", async () => {
          const sessions = await database.rows("SELECT FROM pg_stat_activity WHERE application_name = $1", [resource]);
          return sessions.length === 0;
        });
      }),
    );
    expect(error).toMatchObject({ name: "TransactionIdleError", effect: "none", cause: { code: "25P03" } });
    // There is nothing to ask about.
    expect(events).toEqual([]);
    expect(await effects()).toHaveLength(0);
  });

  it("is not sent when the connection is known to be gone: nothing was committed, for certain", async () => {
    const error = await failure(
      withFence(pool, { resource, token: tokenNow() }, async (tx) => {
        const { rows } = await tx.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
        await write(tx);
        const gone = lost(tx);
        await pool.query("SELECT pg_terminate_backend($1)", [rows[0]?.pid]);
        await gone;
      }),
    );
    expect(error).toMatchObject({ name: "PostgresUnavailableError", effect: "none" });
    expect(await effects()).toHaveLength(0);
  });

  it("that is answered with ROLLBACK, since the body caught an error, is an error", async () => {
    const error = await failure(
      withFence(pool, { resource, token: tokenNow() }, async (tx) => {
        await write(tx);
        await tx.query("SELECT 1 / 0").catch(() => undefined);
      }),
    );
    expect(error).toBeInstanceOf(TransactionAbortedError);
    expect(error).toMatchObject({ effect: "none", cause: { code: "22012" } });
    expect(await effects()).toHaveLength(0);
  });

  it("that violates a deferred constraint is refused with PostgreSQL's own error, and the connection is kept", async () => {
    const before = pool.totalCount;
    const error = await failure(
      withFence(pool, { resource, token: tokenNow() }, (tx) => tx.query("INSERT INTO late VALUES (1), (1)")),
    );
    expect(error).toMatchObject({ code: "23505", constraint: "once" });
    expect(pool.totalCount).toBe(before);
  });

  it("comes after assertHeld: a lock that was lost meanwhile rolls back", async () => {
    let held = true;
    const hold = {
      resource,
      token: tokenNow(),
      assertHeld: () => {
        if (!held) throw new Error("lost");
      },
    };
    const run = withFence(pool, hold, async (tx) => {
      await write(tx);
      held = false;
    });
    await expect(run).rejects.toThrow("lost");
    expect(await effects()).toHaveLength(0);
  });
});

describe("BEGIN", () => {
  it("P1 comes after assertHeld, too: with a lock that is lost already nothing is sent, and the body does not run", async () => {
    const few = database.open({ max: 1 });
    const sent: string[] = [];
    few.on("connect", (client: PoolClient) => {
      const query = client.query.bind(client) as (...args: unknown[]) => unknown;
      Object.assign(client, {
        query: (...args: unknown[]) => {
          sent.push(String(args[0]));
          return query(...args);
        },
      });
    });
    const hold = {
      resource,
      token: tokenNow(),
      assertHeld: () => {
        throw new Error("lost");
      },
    };
    await expect(withFence(few, hold, () => Promise.reject(new Error("the body ran")))).rejects.toThrow("lost");
    expect(sent.filter((text) => text !== "ROLLBACK")).toEqual([]);
    expect([few.totalCount, few.idleCount]).toEqual([1, 1]);
  });
});
