/**
 * The connection breaks after a statement has reached the server and before its answer: at each statement of a call, one after the other.
 * What the caller is told has to be true, and a repeat of the call has to end in one effect.
 */
import { once } from "node:events";
import { FaultProxy, LeapClock, pollUntil } from "@holdfast/testkit";
import type { Pool, PoolClient } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  idempotentTransaction,
  type IdempotentTransactionOptions,
  InProgressError,
  migrate,
  prune,
  type Transaction,
  withFence,
} from "../src/index.ts";
import { Database, newResource, tokenNow } from "./database.ts";

let database: Database;

beforeAll(async () => {
  database = await Database.start();
  await database.pool.query("CREATE TABLE effects (resource text)");
});
afterAll(() => database.stop());

/**
 * Sees the statements of a pool's connections go out. The driver hands over an error before the server has said that it is ready again, and
 * until then it keeps the next statement to itself: that one goes out when it really does.
 */
function onStatement(pool: Pool, act: (text: string) => void): void {
  pool.on("connect", (client: PoolClient) => {
    const query = client.query.bind(client) as (...args: unknown[]) => unknown;
    let answering = false;
    client.on("drain", () => (answering = false));
    Object.assign(client, {
      query: async (...args: unknown[]) => {
        if (answering) await once(client, "drain");
        answering = true;
        act(String(args[0]));
        return query(...args);
      },
    });
  });
}

interface Lost {
  /** What the call came to. */
  readonly outcome: PromiseSettledResult<unknown>;
  /** How many statements it had sent when the answer was lost. */
  readonly statements: number;
}

/** Makes a call over a connection that breaks at its nth statement, which the server has executed then. */
async function losing(
  nth: number,
  call: (pool: Pool) => Promise<unknown>,
  {
    dbname = "postgres",
    meanwhile = async () => undefined,
    afterwards = "heal",
  }: { dbname?: string; meanwhile?: () => Promise<void>; afterwards?: "heal" | "refuse" } = {},
): Promise<Lost> {
  await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
  const name = newResource();
  const pool = database.open({ max: 2, application_name: name, database: dbname }, proxy);
  let statements = 0;
  let broken: Promise<void> | undefined;
  const breakAt = async (text: string): Promise<void> => {
    await pollUntil(`statement ${nth} is executed`, async () => {
      const executed =
        "SELECT FROM pg_stat_activity WHERE application_name = $1 AND state LIKE 'idle%' AND query = left($2, 1023)";
      return (await database.rows(executed, [name, text])).length === 1;
    });
    await meanwhile();
    await proxy.heal({ held: "drop" });
    if (afterwards === "refuse") await proxy.refuse();
    proxy.reset();
  };
  onStatement(pool, (text) => {
    statements += 1;
    if (statements !== nth) return;
    proxy.blackhole("down");
    broken = breakAt(text);
  });
  const [outcome] = await Promise.allSettled([call(pool)]);
  await broken;
  return { outcome, statements };
}

const effects = async (resource: string): Promise<number> =>
  (await database.rows("SELECT FROM effects WHERE resource = $1", [resource])).length;

const nothing = { status: "rejected", reason: { name: "PostgresUnavailableError", effect: "none" } };

describe("an answer that is lost", () => {
  // BEGIN with the fence, the body's statement, COMMIT.
  it.each([1, 2, 3])(
    "P1 at statement %i of withFence: nothing was committed, or the caller has its value",
    async (nth) => {
      const hold = { resource: newResource(), token: tokenNow() };
      const write = (pool: Pool): Promise<string> =>
        withFence(pool, hold, async (tx) => {
          await tx.query("INSERT INTO effects VALUES ($1)", [hold.resource]);
          return "done";
        });
      const { outcome } = await losing(nth, write);
      const committed = nth === 3;
      expect(outcome).toMatchObject(committed ? { status: "fulfilled", value: "done" } : nothing);
      expect(await effects(hold.resource)).toBe(committed ? 1 : 0);
      if (!committed) await write(database.pool);
      expect(await effects(hold.resource)).toBe(1);
    },
  );

  // BEGIN with the claim, the body's statement, the result, COMMIT.
  it.each([1, 2, 3, 4])(
    "P3 at statement %i of idempotentTransaction: a repeat ends in one effect and one value",
    async (nth) => {
      const resource = newResource();
      let bodies = 0;
      const write = (pool: Pool): Promise<unknown> =>
        idempotentTransaction(
          pool,
          { name: "n", tenant: "t", key: resource, fingerprint: 1 },
          async (tx: Transaction) => {
            bodies += 1;
            const body = bodies;
            await tx.query("INSERT INTO effects VALUES ($1)", [resource]);
            return body;
          },
        );
      const { outcome } = await losing(nth, write);
      const committed = nth === 4;
      expect(outcome).toMatchObject(
        committed ? { status: "fulfilled", value: { value: bodies, replayed: false } } : nothing,
      );
      expect(await effects(resource)).toBe(committed ? 1 : 0);
      let repeated: unknown;
      await pollUntil("the server has noticed that the first caller is gone", async () => {
        repeated = await write(database.pool).catch((error: unknown) => error);
        return !(repeated instanceof InProgressError);
      });
      expect(repeated).toEqual({ value: bodies, replayed: committed });
      expect(await effects(resource)).toBe(1);
    },
  );

  const forgetful = (key: string): IdempotentTransactionOptions => ({
    name: "n",
    tenant: "t",
    key,
    fingerprint: 1,
    retentionMs: 1_000,
  });
  const counted = (pool: Pool, key: string): Promise<unknown> =>
    idempotentTransaction(pool, forgetful(key), async (tx: Transaction) => {
      await tx.query("INSERT INTO effects VALUES ($1)", [key]);
      return "done";
    });
  const expired = (key: string): Promise<unknown> =>
    pollUntil("the retention is over", async () => {
      const over = "SELECT FROM holdfast.idempotency_keys WHERE key = $1 AND expires_at <= clock_timestamp()";
      return (await database.rows(over, [key])).length === 1;
    });

  it("P3 at COMMIT of idempotentTransaction, found out after the retention and a prune: the body does not run again", async () => {
    const resource = newResource();
    const meanwhile = async (): Promise<void> => {
      await expired(resource);
      await prune(database.pool);
    };
    const { outcome } = await losing(4, (pool) => counted(pool, resource), { meanwhile });
    expect(outcome).toMatchObject({ status: "fulfilled", value: { value: "done", replayed: false } });
    expect(await effects(resource)).toBe(1);
  });

  it("P3 at COMMIT of idempotentTransaction, whose key was another call's after the retention, is an unknown outcome", async () => {
    const resource = newResource();
    const meanwhile = async (): Promise<void> => {
      await expired(resource);
      await counted(database.pool, resource);
      await expired(resource);
    };
    const { outcome } = await losing(4, (pool) => counted(pool, resource), { meanwhile });
    expect(outcome).toMatchObject({ status: "rejected", reason: { name: "OutcomeUnknownError", effect: "possible" } });
    // One of each call.
    expect(await effects(resource)).toBe(2);
  });

  // The version, BEGIN, the steps, COMMIT.
  it.each([1, 2, 3, 4])("at statement %i of migrate: nothing was made, or everything, and it goes on", async (nth) => {
    const dbname = `migrated_${nth}`;
    await database.pool.query(`CREATE DATABASE ${dbname}`);
    const { outcome } = await losing(nth, (pool) => migrate(pool), { dbname });
    const committed = nth === 4;
    expect(outcome).toMatchObject(committed ? { status: "fulfilled", value: { from: 0 } } : nothing);
    const pool = database.open({ database: dbname, max: 1 });
    const { from, to } = await migrate(pool);
    expect(from).toBe(committed ? to : 0);
    await withFence(pool, { resource: "lock:a", token: tokenNow() }, async () => undefined);
  });

  it("at COMMIT of migrate, with nobody to ask what became of it, is an unknown outcome: to migrate again is safe", async () => {
    await database.pool.query("CREATE DATABASE migrated_unknown");
    const { outcome } = await losing(4, (pool) => migrate(pool), { dbname: "migrated_unknown", afterwards: "refuse" });
    expect(outcome).toMatchObject({
      status: "rejected",
      reason: { name: "OutcomeUnknownError", message: expect.stringContaining("migrate again") },
    });
    const { from, to } = await migrate(database.open({ database: "migrated_unknown", max: 1 }));
    expect(from).toBe(to);
  });

  it("at COMMIT of migrate is an unknown outcome, too, when a connection that the pool has kept answers no question", async () => {
    await database.pool.query("CREATE DATABASE migrated_mute");
    await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
    const pool = database.open({ max: 2, database: "migrated_mute" }, proxy);
    const idle = [await pool.connect(), await pool.connect()];
    for (const client of idle) client.release();
    const clock = new LeapClock();
    let isMute = false;
    for (const client of idle) {
      const query = client.query.bind(client) as (...args: unknown[]) => unknown;
      Object.assign(client, {
        query: (...args: unknown[]) => {
          if (args[0] === "COMMIT") proxy.blackhole("down");
          isMute ||= args[0] === "COMMIT";
          return query(...args);
        },
      });
    }
    const migrating = migrate(pool, { clock }).catch((error: unknown) => error);
    await pollUntil("COMMIT is on its way", () => isMute);
    let outcome: unknown;
    void migrating.then((value) => (outcome = value));
    try {
      await pollUntil("it is not waited for any longer", () => {
        clock.leap(5_000);
        return outcome;
      });
    } finally {
      await proxy.heal({ held: "drop" });
    }
    expect(outcome).toMatchObject({ name: "OutcomeUnknownError" });
  });

  it("counter-test: a plain transaction that is repeated after each lost answer writes twice", async () => {
    const resource = newResource();
    const plainly = async (pool: Pool): Promise<void> => {
      const client = await pool.connect();
      try {
        await client.query("BEGIN");
        await client.query("INSERT INTO effects VALUES ($1)", [resource]);
        await client.query("COMMIT");
      } finally {
        client.release(true);
      }
    };
    const { outcome, statements } = await losing(3, plainly);
    expect([outcome.status, statements]).toEqual(["rejected", 3]);
    await plainly(database.pool);
    expect(await effects(resource)).toBe(2);
  });
});
