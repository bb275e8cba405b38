/**
 * A holder that goes silent in the middle of sending a statement. For PostgreSQL its session is busy reading, so the limit to silence does not
 * see it: a limit of P2, which the server's own limit to whole transactions bounds.
 */
import type { Socket } from "node:net";
import { pollUntil } from "@holdfast/testkit";
import type { Pool } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Transaction, withFence } from "../src/index.ts";
import { Database, failure, gate, newResource, tokenNow } from "./database.ts";

let database: Database;

beforeAll(async () => {
  database = await Database.start();
});
afterAll(() => database.stop());

/** Sends a statement, of which only half leaves the process. */
function halfSend(tx: Transaction): Promise<unknown> {
  const { stream } = (tx.client as unknown as { readonly connection: { readonly stream: Socket } }).connection;
  const write: (chunk: Buffer) => boolean = stream.write.bind(stream);
  const long = "x".repeat(200_000);
  let isSilent = false;
  Object.assign(stream, {
    write: (chunk: Buffer) => {
      if (isSilent) return true;
      isSilent = chunk.length > long.length;
      return write(isSilent ? chunk.subarray(0, chunk.length >> 1) : chunk);
    },
  });
  return tx.query("SELECT length($1)", [long]);
}

/** Whether a session has waited for the rest of a statement for so long. */
async function readsSince(ms: number): Promise<boolean> {
  const reading = "state = 'active' AND wait_event = 'ClientRead' AND clock_timestamp() - state_change > $1::interval";
  return (await database.rows(`SELECT FROM pg_stat_activity WHERE ${reading}`, [`${ms} ms`])).length === 1;
}

interface Race {
  readonly holder: Promise<unknown>;
  readonly successor: Promise<unknown>;
}

/** A holder that goes silent, and its successor, which waits for it. */
async function race(pool: Pool): Promise<Race> {
  const [resource, token] = [newResource(), tokenNow()];
  const entered = gate();
  const holder = failure(
    withFence(pool, { resource, token }, { idleMs: 100 }, (tx) => {
      entered.open();
      return halfSend(tx);
    }),
  );
  await entered.opened;
  const successor = withFence(database.pool, { resource, token: token + 1 }, async () => "in");
  return { holder, successor };
}

describe("a holder that goes silent in the middle of sending", () => {
  it("P2 limit: is not idle for PostgreSQL, so its successor waits until the connection ends, as the README says", async () => {
    const far = database.open({ max: 1 });
    const { holder, successor } = await race(far);
    await pollUntil("many times idleMs has passed", () => readsSince(1_000));
    expect(await database.waiting()).toBe(true);
    await database.pool.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'ClientRead' AND state = 'active'",
    );
    expect(await successor).toBe("in");
    expect(await holder).toMatchObject({ name: "PostgresUnavailableError", effect: "none" });
  });

  it("P2 is ended by the transaction_timeout of its session, and its successor enters", async () => {
    // Of PostgreSQL 17 and later; in a service a setting of its role.
    const far = database.open({ max: 1, options: "-c transaction_timeout=2000" });
    const { holder, successor } = await race(far);
    expect(await successor).toBe("in");
    expect(await holder).toMatchObject({ name: "PostgresUnavailableError", effect: "none", cause: { code: "25P04" } });
  });
});
