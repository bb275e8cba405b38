/**
 * A server that breaks down before anything of a transaction is on its disk gives the transaction's number to another one. The other's COMMIT
 * is not ours.
 */
import { PostgresServer } from "@holdfast/testkit";
import { Pool } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  commitOutcome,
  migrate,
  OutcomeUnknownError,
  type PostgresEvent,
  type Transaction,
  withFence,
} from "../src/index.ts";
import { collector, failure, newResource, tokenNow } from "./database.ts";

let server: PostgresServer;
let pool: Pool;

beforeAll(async () => {
  // What is not committed stays in memory, as on a server where nobody else commits.
  server = await PostgresServer.start({ config: { wal_writer_delay: "10s", autovacuum: "off" } });
  const { host, port, user, password, database } = server;
  pool = new Pool({ host, port, user, password, database, max: 4 });
  pool.on("error", () => undefined);
  pool.on("connect", (client) => client.on("error", () => undefined));
  await migrate(pool);
  await pool.query("CREATE TABLE effects (resource text, xid text)");
});
afterAll(async () => {
  await pool.end();
  await server.stop();
});

const insert = "INSERT INTO effects VALUES ($1, pg_current_xact_id()::text) RETURNING xid";
interface Row {
  readonly xid: string;
}

/** Runs a fenced transaction; instead of COMMIT the server is killed and started again, and then something is done. */
async function crashed(
  resource: string,
  after: (xid: string) => Promise<unknown>,
  onEvent?: (event: PostgresEvent) => void,
) {
  return failure(
    withFence(pool, { resource, token: tokenNow() }, { resolveMs: 60_000, onEvent }, async (tx: Transaction) => {
      const { rows } = await tx.query<Row>(insert, [resource]);
      const query = tx.client.query.bind(tx.client);
      tx.client.query = async (text, values) => {
        if (text === "COMMIT") {
          await server.kill();
          await server.restart();
          await after(rows[0]?.xid ?? "");
        }
        return query(text, values);
      };
      return "sold for certain";
    }),
  );
}

describe("a server that breaks down before COMMIT", () => {
  it("P3 has given the number to another transaction: ours is an unknown outcome, not the other's COMMIT", async () => {
    const resource = newResource();
    let taken = "";
    const error = await crashed(resource, async (mine) => {
      while (BigInt(taken === "" ? 0 : taken) < BigInt(mine)) {
        taken = (await pool.query<Row>(insert, ["another"])).rows[0]?.xid ?? "";
      }
      // Else the server has found ours on its disk, and there is nothing to be seen here.
      expect(taken).toBe(mine);
    });
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    const { operationId } = error as OutcomeUnknownError;
    expect(operationId).toMatch(new RegExp(`^${taken}@\\d+$`, "u"));
    expect(await commitOutcome(pool, operationId)).toEqual({ kind: "forgotten" });
    const { rows } = await pool.query("SELECT FROM effects WHERE resource = $1", [resource]);
    expect(rows).toHaveLength(0);
    // What was begun since is told as ever.
    const later = await withFence(pool, { resource, token: tokenNow() }, async (tx) => {
      const asked = "SELECT pg_current_xact_id() || '@' || (extract(epoch FROM now()) * 1000000)::bigint AS xid";
      return (await tx.query<Row>(asked)).rows[0]?.xid ?? "";
    });
    expect(await commitOutcome(pool, later)).toEqual({ kind: "committed" });
  });

  it("P3 and has not given the number again: nothing was committed, or nobody knows, but never the value", async () => {
    const { events, onEvent } = collector();
    const resource = newResource();
    const error = await crashed(resource, async () => undefined, onEvent);
    expect(["PostgresUnavailableError", "OutcomeUnknownError"]).toContain((error as Error).name);
    expect(events).not.toContainEqual(expect.objectContaining({ committed: true }));
  });
});
