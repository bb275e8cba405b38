/** P3: key and business write are one, whoever dies and whatever answer is lost. */
import { systemClock, withAmbientDeadline } from "@holdfast/core";
import type { Clock } from "@holdfast/core";
import { FaultProxy, Pod, pollUntil } from "@holdfast/testkit";
import type { Pool } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  FingerprintMismatchError,
  idempotentTransaction,
  InProgressError,
  type Isolation,
  OutcomeUnknownError,
  prune,
  type Transaction,
} from "../src/index.ts";
import { beforeCommit, collector, Database, failure, gate } from "./database.ts";

let database: Database;
let pool: Pool;
let keys = 0;
let key: string;
const pods: Pod[] = [];

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
afterEach(async () => {
  await Promise.all(pods.splice(0).map((pod) => pod.kill()));
});

const charge = { name: "charge", tenant: "acme", fingerprint: { amount: 5, currency: "EUR" } };
const write = async (tx: Transaction): Promise<void> => {
  await tx.query("INSERT INTO effects VALUES ($1, 0)", [key]);
};

const effects = async (): Promise<number> =>
  (await database.rows("SELECT 1 FROM effects WHERE resource = $1", [key])).length;

async function charger(): Promise<Pod> {
  const pod = await Pod.start(new URL("pods/holder.pod.ts", import.meta.url), {
    env: { DATABASE_URL: database.server.url },
  });
  pods.push(pod);
  await pod.ready();
  return pod;
}

const isolations: readonly Isolation[] = ["read-committed", "repeatable-read", "serializable"];

describe.each(isolations)("under %s", (isolation) => {
  it("P3 a repeated call replays the committed result and writes nothing", async () => {
    const { events, onEvent } = collector();
    const run = (): Promise<unknown> =>
      idempotentTransaction(pool, { ...charge, key, isolation, onEvent }, async (tx, attempt) => {
        await write(tx);
        return { id: attempt.id, bytes: Buffer.from([0, 255]), at: new Date(0) };
      });
    const first = (await run()) as { value: object };
    expect(first).toMatchObject({
      replayed: false,
      value: { bytes: Buffer.from([0, 255]), at: "1970-01-01T00:00:00.000Z" },
    });
    expect(await run()).toEqual({ value: first.value, replayed: true });
    expect(await effects()).toBe(1);
    expect(events.map(({ type }) => type)).toEqual(["replayed"]);
  });

  it("P3 of many duplicates at once one commits, and all others replay it or are told that it runs", async () => {
    let bodies = 0;
    const outcomes = await Promise.allSettled(
      Array.from({ length: 40 }, () =>
        idempotentTransaction(pool, { ...charge, key, isolation, attemptsMax: 20 }, async (tx) => {
          bodies += 1;
          await write(tx);
          return "charged";
        }),
      ),
    );
    expect([bodies, await effects()]).toEqual([1, 1]);
    const values = outcomes.filter((outcome) => outcome.status === "fulfilled").map((outcome) => outcome.value);
    expect(values.every(({ value }) => value === "charged")).toBe(true);
    expect(values.filter(({ replayed }) => !replayed)).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") expect(outcome.reason).toBeInstanceOf(InProgressError);
    }
    expect((await idempotentTransaction(pool, { ...charge, key }, write)).replayed).toBe(true);
  });

  it("P3 a body that throws leaves neither its write nor its key", async () => {
    const own = new Error("card refused");
    const error = await failure(
      idempotentTransaction(pool, { ...charge, key, isolation }, async (tx) => {
        await write(tx);
        throw own;
      }),
    );
    expect(error).toBe(own);
    expect(await effects()).toBe(0);
    expect((await idempotentTransaction(pool, { ...charge, key, isolation }, write)).replayed).toBe(false);
    expect(await effects()).toBe(1);
  });
});

describe("a key that is in use", () => {
  it("P3 a duplicate that meets an open transaction gets InProgressError at once, also with another payload", async () => {
    const [entered, leave] = [gate(), gate()];
    const first = idempotentTransaction(pool, { ...charge, key }, async (tx) => {
      await write(tx);
      entered.open();
      await leave.opened;
      return 1;
    });
    await entered.opened;
    for (const fingerprint of [charge.fingerprint, { amount: 6 }]) {
      const error = await failure(idempotentTransaction(pool, { ...charge, fingerprint, key }, write));
      expect(error).toBeInstanceOf(InProgressError);
      expect(error).toMatchObject({ effect: "none", retryAfterMs: 5_000 });
    }
    expect(await database.waiting()).toBe(false);
    leave.open();
    expect(await first).toEqual({ value: 1, replayed: false });
    expect(await effects()).toBe(1);
  });

  it("P3 counter-test: with a unique key alone the duplicate hangs until the open transaction ends", async () => {
    await pool.query("CREATE TABLE naive_keys (key text PRIMARY KEY)");
    const [one, two] = [await pool.connect(), await pool.connect()];
    await one.query("BEGIN; INSERT INTO naive_keys VALUES ('k')");
    let answered = false;
    const duplicate = two.query("INSERT INTO naive_keys VALUES ('k')").then(
      () => (answered = true),
      () => (answered = true),
    );
    await pollUntil("the duplicate waits", () => database.waiting());
    expect(answered).toBe(false);
    await one.query("ROLLBACK");
    await duplicate;
    one.release();
    two.release();
  });

  it("P3 another payload under a committed key is a mismatch, whoever asks; JSON key order does not matter", async () => {
    await idempotentTransaction(pool, { ...charge, key }, write);
    const error = await failure(idempotentTransaction(pool, { ...charge, fingerprint: { amount: 6 }, key }, write));
    expect(error).toBeInstanceOf(FingerprintMismatchError);
    const again = { ...charge, fingerprint: '{"currency":"EUR", "amount":5}', key };
    expect((await idempotentTransaction(pool, again, write)).replayed).toBe(true);
    expect(await effects()).toBe(1);
  });

  it("P3 tenants and names never meet, not even by names that would join to the same text", async () => {
    const others = [
      { name: "charge", tenant: "acme", key },
      { name: "charge", tenant: "other", key },
      { name: "refund", tenant: "acme", key },
      { name: "charge", tenant: `acme:${key}`, key: "x" },
      { name: "charge", tenant: "acme", key: `${key}:x` },
      { name: "charge:acme", tenant: key, key: "x" },
    ];
    const seen = new Set<string>();
    for (const other of others) {
      const { value, replayed } = await idempotentTransaction(
        pool,
        { ...other, fingerprint: null },
        async (tx, { resource, downstreamKey }) => {
          await write(tx);
          seen.add(resource).add(downstreamKey);
          return other;
        },
      );
      expect([value, replayed]).toEqual([other, false]);
    }
    expect(seen.size).toBe(others.length * 2);
    expect(await effects()).toBe(others.length);
  });

  it("P3 a process killed with SIGKILL in its transaction gives the key back at once, with nothing written", async () => {
    const pod = await charger();
    await pod.request("charge", { key, idleMs: 60_000 });
    expect(
      await failure(idempotentTransaction(pool, { ...charge, fingerprint: { amount: 5 }, key }, write)),
    ).toBeInstanceOf(InProgressError);
    await pod.kill();
    const second = await pollUntil("the key is free", () =>
      idempotentTransaction(pool, { ...charge, fingerprint: { amount: 5 }, key }, write).catch((error: unknown) => {
        if (error instanceof InProgressError) return false;
        throw error;
      }),
    );
    expect(second).toMatchObject({ replayed: false });
    expect(await effects()).toBe(1);
  });

  it("P3 a process that is paused in its transaction blocks the key for no longer than idleMs, and cannot commit", async () => {
    const pod = await charger();
    await pod.request("charge", { key, idleMs: 300 });
    pod.pause();
    await pollUntil("the key is free", () =>
      idempotentTransaction(pool, { ...charge, fingerprint: { amount: 5 }, key }, write).then(
        () => true,
        (error: unknown) => !(error instanceof InProgressError),
      ),
    );
    pod.resume();
    await pod.request("leave");
    expect(await pod.request("outcome")).toBe("TransactionIdleError");
    expect(await effects()).toBe(1);
  });
});

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
    const far = database.open({ max: 4, connectionTimeoutMillis: 100 }, proxy);
    const error = await failure(
      idempotentTransaction(far, { ...charge, key, commitTimeoutMs: 100, resolveMs: 300 }, async (tx) => {
        await write(tx);
        beforeCommit(tx, () => proxy.blackhole("down"));
        return "charged";
      }),
    );
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(error).toMatchObject({ effect: "possible" });
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
    const error = await failure(
      idempotentTransaction(far, { ...charge, key, commitTimeoutMs: 100, resolveMs: 100 }, async (tx) => {
        await write(tx);
        beforeCommit(tx, () => proxy.blackhole("down"));
      }),
    );
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    // Nor does the question keep its connection.
    await pollUntil("it is closed", () => far.totalCount === 0);
    await proxy.heal({ held: "drop" });
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
      const run = idempotentTransaction(pool, { ...charge, key, resolveMs: 20_000 }, async (tx) => {
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

describe("results and retention", () => {
  it("a result that cannot be stored takes the business write back", async () => {
    for (const value of [new Map(), 1n, () => 1, "x".repeat(2_000)]) {
      const run = idempotentTransaction(pool, { ...charge, key, resultBytesMax: 1_024 }, async (tx) => {
        await write(tx);
        return value;
      });
      await expect(run).rejects.toThrow(typeof value === "string" ? RangeError : TypeError);
    }
    expect(await effects()).toBe(0);
  });

  it("undefined, null, text and bytes come back as they were", async () => {
    for (const [index, value] of [undefined, null, "", "\0ü", Buffer.from([0, 1, 255]), [{ a: [] }]].entries()) {
      const options = { ...charge, key: `${key}-${index}` };
      for (const replayed of [false, true]) {
        expect(await idempotentTransaction(pool, options, async () => value)).toEqual({ value, replayed });
      }
    }
  });

  it("a key is forgotten after its retention, by a call or by prune, and never before", async () => {
    const options = { ...charge, key, retentionMs: 1_000 };
    await idempotentTransaction(pool, options, write);
    await prune(pool);
    expect((await idempotentTransaction(pool, options, write)).replayed).toBe(true);
    await pool.query("UPDATE holdfast.idempotency_keys SET expires_at = now() WHERE key = $1", [key]);
    // Another payload, too, since nothing is remembered.
    expect((await idempotentTransaction(pool, { ...options, fingerprint: 1 }, write)).replayed).toBe(false);
    expect((await idempotentTransaction(pool, { ...options, fingerprint: 1 }, write)).replayed).toBe(true);
    await pool.query("UPDATE holdfast.idempotency_keys SET expires_at = now()");
    const { keys: pruned } = await prune(pool, { rowsMax: 2 });
    expect(pruned).toBe(2);
    while ((await prune(pool)).keys > 0);
    expect(await database.value("SELECT count(*) FROM holdfast.idempotency_keys")).toBe("0");
    expect(await effects()).toBe(2);
  });

  it("what is no key is misuse", async () => {
    await expect(idempotentTransaction(pool, { ...charge, key: "" }, write)).rejects.toThrow("key must be");
    await expect(idempotentTransaction(pool, { ...charge, tenant: undefined as never, key }, write)).rejects.toThrow(
      "tenant must be",
    );
    await expect(idempotentTransaction(pool, { ...charge, fingerprint: undefined, key }, write)).rejects.toThrow(
      "fingerprint must be the payload, or null",
    );
  });
});
