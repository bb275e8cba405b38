/** A relay in a process of its own, whose timer dies or pauses between Redis and COMMIT when told to. */
import { reportReady, servePod } from "@holdfast/testkit";
import { DurableTimer } from "@holdfast/timer";
import { Redis } from "ioredis";
import { Pool } from "pg";
import { outbox, type OutboxTimer } from "../../src/index.ts";

const pool = new Pool({ connectionString: process.env["DATABASE_URL"] });
pool.on("error", () => undefined);
const redis = new Redis(process.env["REDIS_URL"] ?? "");
redis.on("error", () => undefined);
const real = new DurableTimer<unknown>(redis, process.env["TIMER"] ?? "timer");

let told = 0;
let holdAfter = Infinity;
const never = new Promise<never>(() => undefined);

/** Redis has the row, and nothing further happens. */
async function afterwards<Value>(value: Value): Promise<Value> {
  told += 1;
  return told > holdAfter ? never : value;
}

const timer: OutboxTimer<unknown> = {
  name: real.name,
  schedule: async (request) => afterwards(await real.schedule(request)),
  cancel: async (id, options) => afterwards(await real.cancel(id, options)),
};

servePod({
  start: ({ holdAfterRows }: { holdAfterRows?: number }) => {
    holdAfter = holdAfterRows ?? Infinity;
    return outbox.relay(pool, timer, { pollMs: 10, rowsMax: 10 }).start();
  },
  told: () => told,
});
reportReady();
