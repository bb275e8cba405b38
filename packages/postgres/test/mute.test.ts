/**
 * The connection falls mute: what is sent on it is executed and not answered, or never arrives, and nobody says that it is gone. Whoever has a
 * deadline or a signal is told in time, nothing was committed, and the connection goes to nobody else.
 */
import { withAmbientDeadline } from "@holdfast/core";
import { FaultProxy, LeapClock, pollUntil } from "@holdfast/testkit";
import type { Pool, PoolClient } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { idempotentTransaction, migrate, outbox, prune, type TransactionOptions, withFence } from "../src/index.ts";
import { Database, failure, newResource, tokenNow } from "./database.ts";

let database: Database;

beforeAll(async () => {
  database = await Database.start();
  await database.pool.query("CREATE TABLE effects (resource text)");
});
afterAll(() => database.stop());

type Call = (pool: Pool, resource: string, options: TransactionOptions) => Promise<unknown>;

const calls: Readonly<Record<string, Call>> = {
  withFence: (pool, resource, options) =>
    withFence(pool, { resource, token: tokenNow() }, options, async (tx) => {
      await tx.query("INSERT INTO effects VALUES ($1)", [resource]);
    }),
  idempotentTransaction: (pool, resource, options) =>
    idempotentTransaction(
      pool,
      { ...options, name: "n", tenant: "t", key: resource, fingerprint: 1 },
      async (tx) => void (await tx.query("INSERT INTO effects VALUES ($1)", [resource])),
    ),
};

const effects = async (resource: string): Promise<number> =>
  (await database.rows("SELECT FROM effects WHERE resource = $1", [resource])).length;

interface Muted {
  readonly error: unknown;
  readonly resource: string;
}

/** How the caller of a call that gets no answer is released. */
interface GiveUp {
  readonly options: (clock: LeapClock) => TransactionOptions;
  readonly act: (clock: LeapClock) => void;
}

/**
 * Makes a call over a connection that falls mute when a statement goes out, and does something once it has.
 * @param mute which statement
 */
async function muted(call: Call, direction: "up" | "down", mute: RegExp, giveUp: GiveUp): Promise<Muted> {
  await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
  const pool = database.open({ max: 1 }, proxy);
  const resource = newResource();
  const error = await whenMute(pool, proxy, [direction, mute], giveUp, (options, clock) =>
    withAmbientDeadline(60_000, () => failure(call(pool, resource, options)), clock),
  );
  await proxy.heal({ held: "drop" });
  await pollUntil("the server has noticed, and a repeat is the only one", async () =>
    call(pool, resource, {}).then(
      () => true,
      (failed: unknown) => (failed as { name: string }).name !== "InProgressError" && Promise.reject(failed as Error),
    ),
  );
  expect(pool.totalCount).toBe(1);
  await pool.end();
  return { error, resource };
}

/** What a call fails with that has met a mute connection, which then goes to nobody else. */
async function whenMute(
  pool: Pool,
  proxy: FaultProxy,
  [direction, mute]: readonly ["up" | "down", RegExp],
  giveUp: GiveUp,
  call: (options: TransactionOptions, clock: LeapClock) => Promise<unknown>,
): Promise<unknown> {
  const clock = new LeapClock();
  let isMute = false;
  const watch = (client: PoolClient): void => {
    const query = client.query.bind(client) as (...args: unknown[]) => unknown;
    Object.assign(client, {
      query: (...args: unknown[]) => {
        if (!isMute && mute.test(String(args[0]))) {
          isMute = true;
          proxy.blackhole(direction);
        }
        return query(...args);
      },
    });
  };
  pool.on("connect", watch);
  const outcome = call(giveUp.options(clock), clock);
  let error: unknown;
  void outcome.then((value) => (error = value));
  await pollUntil("the statement is on its way", () => isMute);
  await pollUntil("the caller is told", () => {
    giveUp.act(clock);
    return error !== undefined;
  });
  // Closed, and not given back: the next caller gets another one.
  expect(pool.totalCount).toBe(0);
  return error;
}

describe.each(Object.entries(calls))("a connection that falls mute at the beginning of %s", (_, call) => {
  it.each(["up", "down"] as const)(
    "%s P2 P3 is waited for until the deadline: nothing was committed",
    async (direction) => {
      const { error, resource } = await muted(call, direction, /^BEGIN/u, {
        options: (clock) => ({ clock }),
        act: (clock) => clock.leap(30_000),
      });
      expect(error).toMatchObject({ name: "PostgresUnavailableError", reason: "deadline", effect: "none" });
      expect(await effects(resource)).toBe(1);
    },
  );

  it.each(["up", "down"] as const)("%s P2 P3 is waited for until the signal aborts", async (direction) => {
    const controller = new AbortController();
    const enough = new Error("enough");
    const { error, resource } = await muted(call, direction, /^BEGIN/u, {
      options: () => ({ signal: controller.signal }),
      act: () => controller.abort(enough),
    });
    expect(error).toBe(enough);
    expect(await effects(resource)).toBe(1);
  });
});

describe("a connection that falls mute when the result of idempotentTransaction is stored", () => {
  it.each(["up", "down"] as const)(
    "%s P3 is waited for as long as for COMMIT: nothing was committed",
    async (direction) => {
      const { error, resource } = await muted(calls["idempotentTransaction"] as Call, direction, /complete_key/u, {
        options: (clock) => ({ clock, commitTimeoutMs: 5_000 }),
        act: (clock) => clock.leap(1_000),
      });
      expect(error).toMatchObject({ name: "PostgresUnavailableError", reason: "connection-lost", effect: "none" });
      expect(await effects(resource)).toBe(1);
    },
  );
});

describe.each([
  ["reads the version", /max\(version\)/u],
  ["begins", /^BEGIN/u],
  ["makes its steps", /pg_advisory_xact_lock/u],
])("a connection that falls mute when migrate %s", (_, mute) => {
  const enough = new Error("enough");
  const controller = new AbortController();
  const ways: Readonly<Record<string, GiveUp & { readonly timeoutMs?: number; readonly error: object }>> = {
    "as long as any answer": {
      options: (clock) => ({ clock }),
      act: (clock) => clock.leap(10_000),
      error: { name: "PostgresUnavailableError", reason: "connection-lost", effect: "none" },
    },
    "until the deadline": {
      options: (clock) => ({ clock }),
      act: (clock) => clock.leap(1_000),
      timeoutMs: 5_000,
      error: { name: "PostgresUnavailableError", reason: "deadline", effect: "none" },
    },
    "until the signal aborts": {
      options: () => ({ signal: controller.signal }),
      act: () => controller.abort(enough),
      error: enough,
    },
  };

  it.each(Object.entries(ways))("is waited for %s: nothing was made", async (__, { timeoutMs = Infinity, ...way }) => {
    const name = `mute_${newResource().replaceAll(/\W/gu, "_")}`;
    await database.pool.query(`CREATE DATABASE ${name}`);
    await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
    const pool = database.open({ max: 1, database: name }, proxy);
    const error = await whenMute(pool, proxy, ["up", mute], way, (options, clock) =>
      withAmbientDeadline(timeoutMs, () => failure(migrate(pool, options)), clock),
    );
    expect(error).toMatchObject(way.error);
    await proxy.heal({ held: "drop" });
    expect(await migrate(pool)).toMatchObject({ from: 0 });
    await pool.end();
  });
});

describe("a pool whose connection falls mute under a single statement", () => {
  it("gives it up after its own query_timeout: a read did nothing, of a write it is not known, and the connection goes to nobody else", async () => {
    await using proxy = await FaultProxy.start(database.server, { protocol: "tcp" });
    const pool = database.open({ max: 1, query_timeout: 300 }, proxy);
    const calls = {
      PostgresUnavailableError: () => outbox.status(pool, { name: "timer" }),
      OutcomeUnknownError: () => prune(pool),
    };
    for (const [name, call] of Object.entries(calls)) {
      await call();
      proxy.blackhole("down");
      expect(await failure(call())).toMatchObject({ name });
      expect(pool.totalCount).toBe(0);
      await proxy.heal({ held: "drop" });
    }
    await pool.end();
  });
});
