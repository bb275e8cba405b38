/**
 * What a fence adds to a transaction that updates one row, for 16 callers at a time, each with a lock of its own and a new token each time. The
 * server is a PostgreSQL of the turn's own, which waits for the disk at each COMMIT, as it does by default. Beside the fence stands the
 * least that any fence could cost: a second row updated in the message of BEGIN, with no function, no limit to silence and no rights.
 */
import { PostgresServer } from "@holdfast/testkit";
import { fence, migrate, withFence } from "@holdfast/postgres";
import { Pool } from "pg";
import type { Figure, Turn } from "../figure.ts";
import { inParallel } from "../load.ts";

const accounts = 1_000;
const count = 6_000;
const concurrency = 16;
const slices = 8;
/** Of each way, before it counts: the fences' rows, the sessions' plans and the compiled code are there then. */
const warmUp = 4_000;

const update = "UPDATE accounts SET balance = balance + 1 WHERE id = $1";

/** One way to update one row. */
type Update = (pool: Pool, index: number, token: number) => Promise<unknown>;

function holdOf(index: number, token: number): { readonly resource: string; readonly token: number } {
  return { resource: `lock:account:${index % accounts}`, token };
}

/** What one would write without a fence, from BEGIN to COMMIT. */
async function plainly(
  pool: Pool,
  index: number,
  {
    begin = "BEGIN",
    first,
  }: { begin?: string; first?: (client: Parameters<typeof fence>[0]) => Promise<unknown> } = {},
): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query(begin);
    await first?.(client);
    await client.query(update, [index % accounts]);
    await client.query("COMMIT");
  } finally {
    client.release();
  }
}

const ways: Readonly<Record<string, Update>> = {
  plain: (pool, index) => plainly(pool, index),
  withFence: (pool, index, token) =>
    withFence(pool, holdOf(index, token), (tx) => tx.query(update, [index % accounts])),
  fence: (pool, index, token) => plainly(pool, index, { first: (tx) => fence(tx, holdOf(index, token)) }),
  "a second row": (pool, index, token) =>
    plainly(pool, index, {
      begin: `BEGIN; UPDATE tokens SET token = ${token} WHERE resource = 'lock:account:${index % accounts}' AND token <= ${token}`,
    }),
};

const schema = `
CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL) WITH (fillfactor = 50);
INSERT INTO accounts SELECT id, 0 FROM generate_series(0, ${accounts - 1}) AS id;
CREATE TABLE tokens (resource text COLLATE "C" PRIMARY KEY, token bigint NOT NULL) WITH (fillfactor = 50);
INSERT INTO tokens SELECT 'lock:account:' || id, 0 FROM generate_series(0, ${accounts - 1}) AS id`;

/** Bytes that the server has written to its log. */
async function logBytes(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ bytes: string }>("SELECT pg_current_wal_insert_lsn() - '0/0' AS bytes");
  return Number(rows[0]?.bytes);
}

/** How much more each way takes than the plain one, in percent. Slice by slice in turn, so that the drift of the machine hits all alike. */
function inTurn(config: Readonly<Record<string, string>>): Turn {
  return async () => {
    await using server = await PostgresServer.start({
      config: { fsync: "on", full_page_writes: "on", shared_buffers: "128MB", ...config },
    });
    const pool = new Pool({ connectionString: server.url, max: concurrency });
    try {
      await migrate(pool);
      await pool.query(schema);
      let token = Date.now() * 1_000;
      const spentMs: Record<string, number> = {};
      const written: Record<string, number> = {};
      for (let slice = 0; slice <= slices; slice += 1) {
        for (const [name, way] of Object.entries(ways)) {
          const [startMs, startBytes] = [performance.now(), await logBytes(pool)];
          const times = slice === 0 ? warmUp : count / slices;
          await inParallel(times, concurrency, (index) => way(pool, index, (token += 1)));
          if (slice === 0) continue;
          spentMs[name] = (spentMs[name] ?? 0) + performance.now() - startMs;
          written[name] = (written[name] ?? 0) + (await logBytes(pool)) - startBytes;
        }
      }
      const more = (of: Record<string, number>, name: string): number =>
        ((of[name] ?? Number.NaN) / (of["plain"] ?? Number.NaN) - 1) * 100;
      return {
        withFence: more(spentMs, "withFence"),
        fence: more(spentMs, "fence"),
        "a second row": more(spentMs, "a second row"),
        "withFence, bytes of WAL": more(written, "withFence"),
      };
    } finally {
      await pool.end();
    }
  };
}

const note =
  "withFence sends the fence with BEGIN; fence is a statement, and so a round trip, of its own. The second row stands for the least that a fence could cost.";
const aim: Figure["aim"] = { text: "≤ 15 %", met: (median) => median("Holdfast", "withFence") <= 15 };

/** What a fence adds. */
export const oneRow: Figure = {
  name: "what a fence adds to a one-row transaction, concurrency 16",
  unit: "%",
  aim,
  contestants: { Holdfast: inTurn({}) },
  repetitionsMax: 3,
  note: `${note} The server and its callers share this machine: where it is busy otherwise, the share grows.`,
};

/** The same where a COMMIT takes its time. */
export const onSlowDisk: Figure = {
  name: "what a fence adds to a one-row transaction when the disk takes 5 ms more, concurrency 16",
  unit: "%",
  aim,
  // The server's own means to wait before it flushes.
  contestants: { Holdfast: inTurn({ commit_delay: "5000", commit_siblings: "0" }) },
  repetitionsMax: 3,
  note,
};
