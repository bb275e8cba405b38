import { Pod, pollUntil } from "@holdfast/testkit";
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from "vitest";
import { MIGRATION_LOCK } from "../src/migrations.ts";
import type { TestDatabase } from "./database.ts";
import { Replica } from "./replica.ts";
import { TestServers } from "./servers.ts";

const DRAIN_MS = 2_000;
const GRACE_MS = 2_000;
/** Far longer than any grace period below: what ends by itself has ended by itself. */
const KILL_AFTER_MS = 90_000;

let servers: TestServers;
let database: TestDatabase;
let env: Record<string, string>;
beforeAll(async () => {
  servers = await TestServers.start();
});
afterAll(() => servers.stop());
beforeEach(async () => {
  database = await servers.database();
  env = servers.env(database);
});
afterEach(() => database[Symbol.asyncDispose]());

/** Whether it takes no connection any more. */
function isGone(replica: Replica): Promise<boolean> {
  return replica.send("GET", "/healthz").then(
    () => false,
    () => true,
  );
}

/** Asks until it says that it drains; false when it was gone before. */
async function untilDraining(replica: Replica): Promise<boolean> {
  for (;;) {
    const answer = await replica.send("GET", "/readyz").catch(() => undefined);
    if (answer === undefined) return false;
    if (answer.status === 503 && answer.body["phase"] === "draining") return true;
  }
}

describe("SIGTERM", () => {
  it("takes the readiness away first, and every request that still comes is answered until the last one is", async () => {
    // A machine that stands still for as long as the replica drains sees nothing of it: once more, then.
    for (let inTime = false; !inTime;) {
      await using replica = await Replica.start({
        ...env,
        DRAIN_DELAY_MS: String(DRAIN_MS),
        SHUTDOWN_GRACE_MS: String(KILL_AFTER_MS / 2),
      });
      await replica.ready();
      const id = await replica.place();
      const release = await database.hold(id);
      const payment = replica.send("POST", `/orders/${id}/payment`);
      await database.waiting(1);
      const signalledMs = performance.now();
      const ended = replica.pod.term(KILL_AFTER_MS);
      const draining = await untilDraining(replica);
      const order = await replica.send("POST", "/orders", { body: { amountCents: 1 } }).catch(() => undefined);
      inTime = performance.now() - signalledMs < DRAIN_MS;
      if (inTime) expect([draining, order?.status]).toEqual([true, 201]);
      await pollUntil("no connection is taken any more", () => isGone(replica), { timeoutMs: KILL_AFTER_MS });
      await release();
      expect(await payment).toMatchObject({ status: 200, body: { status: "PAID" } });
      expect(await ended).toMatchObject({ graceful: true, code: 0 });
    }
  });

  it("does not wait for a request that hangs longer than the grace period", async () => {
    await using replica = await Replica.start({ ...env, SHUTDOWN_GRACE_MS: "500" });
    await replica.ready();
    const id = await replica.place();
    const release = await database.hold(id);
    const payment = replica.send("POST", `/orders/${id}/payment`).catch(() => "cut");
    await database.waiting(1);
    expect(await replica.pod.term(KILL_AFTER_MS)).toMatchObject({ graceful: true });
    expect(await payment).toBe("cut");
    await release();
  });

  it("ends a replica that is still starting", async () => {
    const client = await database.pool.connect();
    await client.query("SELECT pg_advisory_lock($1)", [MIGRATION_LOCK]);
    await using replica = await Replica.start({ ...env, SHUTDOWN_GRACE_MS: "500" });
    await database.waiting(1);
    expect(await replica.pod.term(KILL_AFTER_MS)).toMatchObject({ graceful: true, code: 1 });
    client.release(true);
  });

  it("fires what comes due within the grace period when timeouts are in memory, and logs what is lost", async () => {
    for (let inTime = false; !inTime;) {
      await using replica = await Replica.start({
        ...env,
        TIMEOUTS: "memory",
        PAYMENT_TIMEOUT_MS: "3000",
        SHUTDOWN_GRACE_MS: String(GRACE_MS),
      });
      await replica.ready();
      const early = await replica.place();
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      const late = await replica.place();
      const { graceful, code, tookMs } = await replica.pod.term(KILL_AFTER_MS);
      expect(graceful).toBe(true);
      const [first, second] = [await database.statusOf(early), await database.statusOf(late)];
      // On a machine that stands still the second one is due before the end as well, or the end comes before both: once more, then.
      inTime = tookMs < GRACE_MS && second === "PENDING_PAYMENT";
      if (!inTime) continue;
      expect([first, code]).toEqual(["PAYMENT_TIMEOUT", 0]);
      expect(replica.pod.output).toContain("payment timeouts lost");
      expect(replica.pod.output).toContain(late);
    }
  });

  it("loses nothing when timeouts are durable: another replica fires them", async () => {
    const durable = { ...env, PAYMENT_TIMEOUT_MS: "1500" };
    await using old = await Replica.start(durable);
    await old.ready();
    const id = await old.place();
    await using fresh = await Replica.start(durable);
    await fresh.ready();
    expect(await old.pod.term(KILL_AFTER_MS)).toMatchObject({ graceful: true, code: 0 });
    await database.becomes(id, "PAYMENT_TIMEOUT");
    expect(await database.history(id)).toEqual(["placed", "timed-out"]);
  });
});

describe("a replica that cannot start", () => {
  it("says which variables are wrong and exits with 1", async () => {
    await using pod = await Pod.start(new URL("../src/main.ts", import.meta.url), {
      env: { DATABASE_URL: undefined, REDIS_URL: undefined, PORT: "abc" },
    });
    expect(await pod.exited).toMatchObject({ code: 1 });
    expect(pod.output).toContain("DATABASE_URL is missing");
    expect(pod.output).toContain('PORT must be a whole number from 0 to 65535, got "abc"');
  });

  it("exits with 1 when there is no database, and keeps nothing open", async () => {
    await using replica = await Replica.start({ ...env, DATABASE_URL: "postgres://127.0.0.1:1/none" });
    expect(await replica.pod.exited).toMatchObject({ code: 1 });
    expect(replica.pod.output).toContain("ECONNREFUSED");
  });
});
