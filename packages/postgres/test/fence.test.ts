/** P1: what the fence refuses, and how a refusal cannot be got around. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { fence, type Isolation, prune, StaleTokenError, TransactionConflictError, withFence } from "../src/index.ts";
import { pollUntil } from "@holdfast/testkit";
import { collector, Database, failure, gate, newResource, tokenNow } from "./database.ts";

let database: Database;
let resource: string;

beforeAll(async () => {
  database = await Database.start();
  await database.pool.query("CREATE TABLE accounts (id text PRIMARY KEY, balance int NOT NULL)");
  await database.pool.query("CREATE TABLE journal (place bigserial, resource text, token bigint)");
});
afterAll(() => database.stop());
beforeEach(async () => {
  resource = newResource();
  await database.pool.query("INSERT INTO accounts VALUES ($1, 100)", [resource]);
});

const isolations: readonly Isolation[] = ["read-committed", "repeatable-read", "serializable"];
const begins = {
  "read-committed": "BEGIN ISOLATION LEVEL READ COMMITTED",
  "repeatable-read": "BEGIN ISOLATION LEVEL REPEATABLE READ",
  serializable: "BEGIN ISOLATION LEVEL SERIALIZABLE",
};

const balance = (): Promise<number | undefined> =>
  database.value<number>("SELECT balance FROM accounts WHERE id = $1", [resource]);
const add = "UPDATE accounts SET balance = balance + $2 WHERE id = $1";

describe.each(isolations)("under %s", (isolation) => {
  it("P1 once a later token has committed, an earlier one is refused, and an equal or later one passes", async () => {
    const { pool } = database;
    const work = (token: number): Promise<unknown> =>
      withFence(pool, { resource, token }, { isolation }, (tx) => tx.query(add, [resource, 1]));
    await work(tokenNow(10));
    const token = tokenNow(20);
    await work(token);
    await work(token);
    const error = await failure(work(token - 1));
    expect(error).toBeInstanceOf(StaleTokenError);
    expect(error).toMatchObject({ resource, token: token - 1, highest: token, reason: "superseded", effect: "none" });
    expect(await balance()).toBe(103);
  });

  it("P1 a stale writer that had to wait for a later one ends in StaleTokenError, never in 40001", async () => {
    const { pool } = database;
    const [entered, leave] = [gate(), gate()];
    const token = tokenNow();
    const later = withFence(pool, { resource, token: token + 1 }, { isolation }, async (tx) => {
      entered.open();
      await leave.opened;
      await tx.query(add, [resource, 10]);
    });
    await entered.opened;
    const stale = failure(
      withFence(pool, { resource, token }, { isolation }, (tx) => tx.query(add, [resource, 1_000])),
    );
    await pollUntil("the stale writer waits", () => database.waiting());
    leave.open();
    await later;
    expect(await stale).toBeInstanceOf(StaleTokenError);
    expect(await balance()).toBe(110);
  });

  it("P1 a valid writer that had to wait for an earlier one gets in and sees what that one wrote", async () => {
    const { pool } = database;
    const [entered, leave] = [gate(), gate()];
    const token = tokenNow();
    const { events, onEvent } = collector();
    const earlier = withFence(pool, { resource, token }, { isolation }, async (tx) => {
      entered.open();
      await leave.opened;
      await tx.query(add, [resource, 10]);
    });
    await entered.opened;
    const valid = withFence(pool, { resource, token: token + 1 }, { isolation, onEvent }, async (tx) => {
      const { rows } = await tx.query<{ balance: number }>("SELECT balance FROM accounts WHERE id = $1", [resource]);
      await tx.query("UPDATE accounts SET balance = $2 WHERE id = $1", [resource, (rows[0]?.balance ?? 0) + 10]);
    });
    await pollUntil("the valid writer waits", () => database.waiting());
    leave.open();
    await Promise.all([earlier, valid]);
    expect(await balance()).toBe(120);
    // Its snapshot was older than the commit it waited for, so the whole transaction ran again.
    expect(events.some(({ type }) => type === "retried")).toBe(isolation !== "read-committed");
  });

  it("P1 a fence that was pruned admits no zombie, not even one whose snapshot is older than the pruning", async () => {
    const { pool } = database;
    await pool.query("SELECT setval('holdfast.fence_floor', 0)");
    const zombie = { resource, token: tokenNow(-200_000_000) };
    await withFence(pool, { resource, token: tokenNow(-100_000_000) }, async () => undefined);
    const client = await pool.connect();
    try {
      await client.query(begins[isolation]);
      await client.query("SELECT count(*) FROM holdfast.fences");
      await prune(pool, { fenceRetentionMs: 60_000 });
      expect(await database.value("SELECT token FROM holdfast.fences WHERE resource = $1", [resource])).toBeUndefined();
      const error = await failure(fence(client, zombie));
      expect(error).toMatchObject({ name: "StaleTokenError", reason: "too-old" });
      expect((await client.query("COMMIT")).command).toBe("ROLLBACK");
    } finally {
      client.release();
    }
    // Who is younger than the floor gets in, and the fence remembers again.
    await withFence(pool, { resource, token: tokenNow() }, async () => undefined);
  });
});

it("P1 prunings take turns until they are committed, so that the floor never goes back", async () => {
  const { pool } = database;
  const floor = (): Promise<string | undefined> => database.value("SELECT last_value FROM holdfast.fence_floor");
  await pool.query("SELECT setval('holdfast.fence_floor', 0)");
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    await prune(client, { fenceRetentionMs: 60_000 });
    const raised = await floor();
    // One that remembers for longer has the lower floor in mind.
    const second = prune(pool, { fenceRetentionMs: 3_600_000 });
    const waits = pollUntil("the second one waits", () => database.waiting()).then(() => "waits");
    expect(await Promise.race([second, waits])).toBe("waits");
    await client.query("COMMIT");
    await second;
    expect(await floor()).toBe(raised);
  } finally {
    client.release(true);
  }
});

it("P1 counter-test: a fence row that is deleted without a floor admits the zombie", async () => {
  const { pool } = database;
  const token = tokenNow();
  await withFence(pool, { resource, token }, async () => undefined);
  await pool.query("DELETE FROM holdfast.fences WHERE resource = $1", [resource]);
  await withFence(pool, { resource, token: token - 1_000 }, async (tx) => tx.query(add, [resource, 1_000]));
  expect(await balance()).toBe(1_100);
});

it("P1 counter-test: without the fence the stale writer's update is accepted", async () => {
  const { pool } = database;
  await withFence(pool, { resource, token: tokenNow() }, (tx) => tx.query(add, [resource, 10]));
  await pool.query(add, [resource, 1_000]);
  expect(await balance()).toBe(1_110);
});

it("P1 a caller who swallows the refusal still cannot commit", async () => {
  const { pool } = database;
  const token = tokenNow();
  await withFence(pool, { resource, token }, async () => undefined);
  const client = await pool.connect();
  await client.query("BEGIN");
  await fence(client, { resource, token: token - 1 }).catch(() => undefined);
  await expect(client.query(add, [resource, 1_000])).rejects.toMatchObject({ code: "25P02" });
  expect((await client.query("COMMIT")).command).toBe("ROLLBACK");
  client.release();
  // In the body of another fence the refusal is told although it was caught.
  const error = await failure(
    withFence(pool, { resource: newResource(), token }, async (tx) => {
      await fence(tx, { resource, token: token - 1 }).catch(() => undefined);
    }),
  );
  expect(error).toBeInstanceOf(StaleTokenError);
  expect(await balance()).toBe(100);
});

it.each(["", "not JSON", "null", '{"resource":"another"}'])(
  "an error of the body's own in the class of the refusal stays what it is: detail %j",
  async (detail) => {
    const raise = `DO $$ BEGIN RAISE EXCEPTION 'mine' USING ERRCODE = 'SF001', DETAIL = '${detail}'; END $$`;
    const { events, onEvent } = collector();
    const hold = { resource, token: tokenNow() };
    const error = await failure(withFence(database.pool, hold, { onEvent }, (tx) => tx.query(raise)));
    expect(error).toMatchObject({ message: "mine", code: "SF001" });
    const swallowed = withFence(database.pool, hold, { onEvent }, (tx) => tx.query(raise).catch(() => undefined));
    expect(await failure(swallowed)).toMatchObject({ name: "TransactionAbortedError", cause: { message: "mine" } });
    expect(events).toEqual([]);
  },
);

it("P1 counter-test: a refusal by zero rows can be swallowed, and the transaction commits", async () => {
  const { pool } = database;
  const token = tokenNow();
  await withFence(pool, { resource, token }, async () => undefined);
  const client = await pool.connect();
  await client.query("BEGIN");
  const refusal = await client.query("UPDATE holdfast.fences SET token = $2 WHERE resource = $1 AND token <= $2", [
    resource,
    token - 1,
  ]);
  expect(refusal.rowCount).toBe(0);
  await client.query(add, [resource, 1_000]);
  expect((await client.query("COMMIT")).command).toBe("COMMIT");
  client.release();
  expect(await balance()).toBe(1_100);
});

it("P1 limit: a savepoint that was set before the fence undoes the refusal, as the README warns", async () => {
  const { pool } = database;
  const token = tokenNow();
  await withFence(pool, { resource, token }, async () => undefined);
  const client = await pool.connect();
  await client.query("BEGIN; SAVEPOINT before");
  expect(await failure(fence(client, { resource, token: token - 1 }))).toBeInstanceOf(StaleTokenError);
  await client.query("ROLLBACK TO SAVEPOINT before");
  expect((await client.query("COMMIT")).command).toBe("COMMIT");
  client.release();
});

it("P1 a savepoint within a fenced transaction leaves the fence in place", async () => {
  const { pool } = database;
  const token = tokenNow();
  await withFence(pool, { resource, token }, async (tx) => {
    await tx.query("SAVEPOINT within");
    await expect(tx.query("SELECT 1 / 0")).rejects.toMatchObject({ code: "22012" });
    await tx.query("ROLLBACK TO SAVEPOINT within");
    await tx.query(add, [resource, 5]);
  });
  expect(await balance()).toBe(105);
  expect(await failure(withFence(pool, { resource, token: token - 1 }, async () => undefined))).toBeInstanceOf(
    StaleTokenError,
  );
});

it("several resources are fenced in one order, so transactions that name them differently never deadlock", async () => {
  const { pool } = database;
  const names = [newResource(), newResource(), newResource()];
  const { events, onEvent } = collector();
  const token = tokenNow();
  const run = (order: readonly string[]): Promise<unknown> =>
    withFence(
      pool,
      order.map((name) => ({ resource: name, token })),
      { isolation: "read-committed", attemptsMax: 1, onEvent },
      (tx) => tx.query("SELECT pg_sleep(0.001)"),
    );
  await Promise.all(Array.from({ length: 60 }, (_, index) => run(index % 2 === 0 ? names : names.toReversed())));
  expect(events).toEqual([]);
});

it("counter-test: the same resources fenced one by one in opposite orders deadlock", async () => {
  const { pool } = database;
  const names = [newResource(), newResource()];
  const token = tokenNow();
  const both = [gate(), gate()];
  const run = async (order: readonly string[], own: number): Promise<void> => {
    await withFence(pool, { resource: order[0] ?? "", token }, { attemptsMax: 1 }, async (tx) => {
      both[own]?.open();
      await Promise.all(both.map(({ opened }) => opened));
      await fence(tx, { resource: order[1] ?? "", token });
    });
  };
  const outcomes = await Promise.allSettled([run(names, 0), run(names.toReversed(), 1)]);
  const refused = outcomes.filter((outcome) => outcome.status === "rejected");
  expect(refused).toHaveLength(1);
  expect(refused[0]?.reason).toBeInstanceOf(TransactionConflictError);
  expect(refused[0]?.reason).toMatchObject({ attempts: 1, cause: { code: "40P01" } });
});

it("one stale hold among several refuses the whole transaction, and leaves the other fences as they were", async () => {
  const { pool } = database;
  const [other, token] = [newResource(), tokenNow()];
  await withFence(pool, { resource, token }, async () => undefined);
  const holds = [
    { resource: other, token },
    { resource, token: token - 1 },
  ];
  expect(await failure(withFence(pool, holds, (tx) => tx.query(add, [resource, 1])))).toMatchObject({ resource });
  expect(await database.value("SELECT token FROM holdfast.fences WHERE resource = $1", [other])).toBeUndefined();
  expect(await balance()).toBe(100);
});

it("one resource with two tokens in a transaction is refused: one of the two is stale", async () => {
  const token = tokenNow();
  const holds = [
    { resource, token: token - 1 },
    { resource, token },
  ];
  const error = await failure(withFence(database.pool, holds, async () => undefined));
  expect(error).toMatchObject({ name: "StaleTokenError", token: token - 1, highest: token });
});

it("names and tokens arrive as they are", async () => {
  const odd = "lock:ü'\"\\,{}$1;--";
  const token = Number.MAX_SAFE_INTEGER;
  await withFence(database.pool, { resource: odd, token }, async () => undefined);
  const error = await failure(withFence(database.pool, { resource: odd, token: token - 1 }, async () => undefined));
  expect(error).toMatchObject({ resource: odd, token: token - 1, highest: token });
});

it("what is no hold is misuse", async () => {
  const { pool } = database;
  const body = async (): Promise<void> => undefined;
  await expect(withFence(pool, { resource, token: 0 }, body)).rejects.toThrow(
    "hold.token must be a whole number from 1",
  );
  await expect(withFence(pool, { resource: "", token: 1 }, body)).rejects.toThrow("hold.resource");
  await expect(withFence(pool, [], body)).rejects.toThrow("the number of holds");
  await expect(withFence(pool, { resource, token: 1 }, { idleMs: 1 }, body)).rejects.toThrow("idleMs");
  await expect(withFence(pool, { resource, token: 1 }, {} as never, undefined as never)).rejects.toThrow("body");
});

it("P1 the tokens of a resource never go down in the order of commits, whoever races", async () => {
  const { pool } = database;
  const names = [newResource(), newResource()];
  let token = tokenNow();
  const outcomes = { committed: 0, stale: 0 };
  const writer = async (writerIndex: number): Promise<void> => {
    for (let round = 0; round < 25; round += 1) {
      token += 1;
      // Holders keep their token for a while, as if paused, and so become stale.
      const own = token - ((round * 7 + writerIndex * 3) % 5);
      const name = names[(round + writerIndex) % 2] ?? "";
      const isolation = isolations[(round + writerIndex) % 3];
      await withFence(pool, { resource: name, token: own }, { isolation, attemptsMax: 100 }, async (tx) => {
        await tx.query("INSERT INTO journal (resource, token) VALUES ($1, $2)", [name, own]);
      }).then(
        () => (outcomes.committed += 1),
        (error: unknown) => {
          expect(error).toBeInstanceOf(StaleTokenError);
          outcomes.stale += 1;
        },
      );
    }
  };
  await Promise.all(Array.from({ length: 8 }, (_, index) => writer(index)));
  expect(outcomes.committed).toBeGreaterThan(20);
  expect(outcomes.stale).toBeGreaterThan(20);
  for (const name of names) {
    const rows = await database.rows<{ token: string }>(
      "SELECT token FROM journal WHERE resource = $1 ORDER BY place",
      [name],
    );
    const tokens = rows.map((row) => Number(row.token));
    expect(tokens).toEqual(tokens.toSorted((left, right) => left - right));
  }
});
