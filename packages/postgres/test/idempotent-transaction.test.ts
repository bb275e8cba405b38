/** P3: key and business write are one, whoever dies and whatever answer is lost. */
import { Pod, pollUntil } from "@holdfast/testkit";
import type { Pool } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  FingerprintMismatchError,
  idempotentTransaction,
  InProgressError,
  type Isolation,
  prune,
  type Transaction,
} from "../src/index.ts";
import { collector, Database, failure, gate } from "./database.ts";

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

  it.each(isolations)(
    "P3 under %s a duplicate that meets a transaction in the moment of its COMMIT replays its result",
    async (isolation) => {
      await idempotentTransaction(pool, { ...charge, key }, async () => "charged");
      const turn = "UPDATE holdfast.idempotency_keys SET expires_at = $2 WHERE key = $1";
      await pool.query(turn, [key, "-infinity"]);
      const client = await pool.connect();
      // It commits between the duplicate's look at the key and its claim of it.
      await client.query("BEGIN");
      await client.query(turn, [key, new Date(Date.now() + 60_000)]);
      const duplicate = idempotentTransaction(pool, { ...charge, key, isolation }, write);
      await pollUntil("the duplicate has looked", () => database.waiting());
      await client.query("COMMIT");
      client.release();
      expect(await duplicate).toEqual({ value: "charged", replayed: true });
      expect(await effects()).toBe(0);
    },
  );

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
    // For an hour more it answers who asks for his own COMMIT.
    await pool.query("UPDATE holdfast.idempotency_keys SET expires_at = now() - interval '59 minutes'");
    expect((await prune(pool)).keys).toBe(0);
    await pool.query("UPDATE holdfast.idempotency_keys SET expires_at = now() - interval '1 hour'");
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
    await expect(idempotentTransaction(pool, { ...charge, key: "a\0b" }, write)).rejects.toThrow(RangeError);
    await expect(idempotentTransaction(pool, { ...charge, fingerprint: undefined, key }, write)).rejects.toThrow(
      "fingerprint must be the payload, or null",
    );
  });
});
