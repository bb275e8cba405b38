/** P4: what a transaction wants of a timer reaches it once committed, in order, whoever dies on the way. */
import { Pod, pollUntil, random } from "@holdfast/testkit";
import type { DurableTimer } from "@holdfast/timer";
import type { Pool } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { outbox, type OutboxTimer, type PoolLike, withFence } from "../src/index.ts";
import { collector, gate, newResource, tokenNow } from "./database.ts";
import { type Payload, RelayStage } from "./relay-stage.ts";

let stage: RelayStage;
let pool: Pool;
let timer: DurableTimer<Payload>;

beforeAll(async () => {
  stage = await RelayStage.start();
  pool = stage.pool;
});
afterAll(() => stage.stop());
beforeEach(() => {
  timer = stage.nextTimer();
});
const pods: Pod[] = [];
afterEach(async () => {
  await Promise.all(pods.splice(0).map((pod) => pod.kill()));
  await stage.clear();
});

describe("what is committed", () => {
  it("P4 reaches the timer with its payload and what is left of its delay, and leaves the outbox", async () => {
    const { events, onEvent } = collector();
    await withFence(pool, { resource: newResource(), token: tokenNow() }, (tx) =>
      outbox.schedule(tx, timer, { id: "order-1", afterMs: 60_000, payload: { order: "order-1" } }),
    );
    expect(await outbox.status(pool, timer)).toMatchObject({ pending: 1, dead: 0 });
    await stage.relay({ onEvent });
    await stage.drained();
    const stored = await timer.get("order-1");
    expect(stored?.payload).toEqual({ order: "order-1" });
    const dueAtMs = stored?.dueAtMs ?? 0;
    expect(dueAtMs).toBeGreaterThan(Date.now() + 50_000);
    expect(dueAtMs).toBeLessThanOrEqual(Date.now() + 60_001);
    // A machine that stands still has claims dropped and made again.
    expect(events.filter(({ type }) => type === "relayed")).toMatchObject([
      { type: "relayed", timer: timer.name, id: "order-1", action: "schedule" },
    ]);
  });

  it("P4 what is rolled back never reaches it", async () => {
    await stage.relay();
    const client = await pool.connect();
    await client.query("BEGIN");
    await outbox.schedule(client, timer, { id: "never", afterMs: 0, payload: { order: "x" } });
    await client.query("ROLLBACK");
    client.release();
    await stage.schedule("marker");
    await stage.drained();
    expect(await timer.get("never")).toBeNull();
    expect(await timer.get("marker")).not.toBeNull();
  });

  it("P4 a transaction that commits late, behind rows of others, is relayed, too", async () => {
    await stage.relay();
    const client = await pool.connect();
    await client.query("BEGIN");
    await outbox.schedule(client, timer, { id: "late", afterMs: 60_000, payload: { order: "late" } });
    for (let index = 0; index < 20; index += 1) await stage.schedule(`early-${index}`);
    await stage.drained();
    await client.query("COMMIT");
    client.release();
    await stage.drained();
    expect(await timer.get("late")).not.toBeNull();
  });

  it("P4 counter-test: a relay that reads above the last number it saw skips a row that commits late", async () => {
    const [late, seen] = [await pool.connect(), [] as string[]];
    await late.query("BEGIN");
    await outbox.schedule(late, timer, { id: "late", afterMs: 0, payload: { order: "late" } });
    await stage.schedule("early");
    let last = "0";
    const read = async (): Promise<void> => {
      const rows = await stage.database.rows<{ sequence: string; timer_id: string }>(
        "SELECT sequence, timer_id FROM holdfast.outbox WHERE timer = $1 AND sequence > $2 ORDER BY sequence",
        [timer.name, last],
      );
      for (const row of rows) [last] = [row.sequence, seen.push(row.timer_id)];
    };
    await read();
    await late.query("COMMIT");
    late.release();
    await read();
    expect(seen).toEqual(["early"]);
  });

  it("P4 a schedule that waited in the outbox for longer than its delay fires at once, never early", async () => {
    await stage.schedule("overdue", 1);
    const written = performance.now();
    await stage.schedule("soon", 400);
    await pollUntil("it is due", async () => (await outbox.status(pool, timer)).oldestMs > 5);
    const fired = new Map<string, number>();
    const worker = timer.worker({ pollMs: 20 }, async ({ id }) => void fired.set(id, performance.now()));
    await Promise.all([worker.start(), stage.relay()]);
    await pollUntil("both fired", () => fired.size === 2);
    // Both clocks count in milliseconds.
    expect((fired.get("soon") ?? 0) - written).toBeGreaterThan(390);
    await worker.stop({ graceMs: 1_000 });
  });
});

describe("the order of one id", () => {
  it("P4 is that of the commits, not that of the first writes", async () => {
    const [first, second] = [await pool.connect(), await pool.connect()];
    await first.query("BEGIN");
    await outbox.schedule(first, timer, { id: "a", afterMs: 60_000, payload: { order: "first" } });
    await second.query("BEGIN");
    const waits = outbox.cancel(second, timer, "a");
    await pollUntil("the second writer waits for the first", () => stage.database.waiting());
    await first.query("COMMIT");
    await waits;
    await second.query("COMMIT");
    first.release();
    second.release();
    const to = stage.recorder();
    await stage.relay({}, to);
    await stage.drained();
    expect(to.told).toEqual(["schedule a first", "cancel a"]);
  });

  it("P4 schedule then cancel leaves nothing pending, however many relays take part", async () => {
    const chance = random(7);
    const ids = Array.from({ length: 25 }, (_, index) => `order-${index}`);
    const wanted = new Map<string, string | null>();
    await Promise.all([stage.relay({ rowsMax: 3 }), stage.relay({ rowsMax: 7 }), stage.relay({ rowsMax: 100 })]);
    for (let round = 0; round < 12; round += 1) {
      await Promise.all(
        ids.map(async (id) => {
          const order = `${id}/${round}`;
          const cancels = chance.chance(0.5);
          wanted.set(id, cancels ? null : order);
          const client = await pool.connect();
          await client.query("BEGIN");
          await outbox.schedule(client, timer, { id, afterMs: 3_600_000, payload: { order } });
          if (cancels) await outbox.cancel(client, timer, id);
          await client.query("COMMIT");
          client.release();
        }),
      );
    }
    await stage.drained();
    for (const id of ids) expect([id, (await timer.get(id))?.payload?.order ?? null]).toEqual([id, wanted.get(id)]);
    expect((await timer.stats()).pending).toBe([...wanted.values()].filter((order) => order !== null).length);
  });

  it("P4 a second relay never takes the next row of an id while the first one tells the timer", async () => {
    const [told, go] = [stage.recorder(), gate()];
    await stage.schedule("a");
    await outbox.cancel(pool, timer, "a");
    await stage.schedule("b");
    const reached = gate();
    const slow: OutboxTimer<Payload> = {
      ...told,
      schedule: async (request) => {
        if (request.id === "a") {
          reached.open();
          await go.opened;
        }
        return told.schedule(request);
      },
    };
    await stage.relay({ rowsMax: 1 }, slow);
    await reached.opened;
    await stage.relay({}, told);
    await pollUntil("b was told", () => told.told.includes("schedule b b"));
    expect(told.told).toEqual(["schedule b b"]);
    go.open();
    await stage.drained();
    expect(told.told.slice(1)).toEqual(["schedule a a", "cancel a"]);
  });

  it("P4 counter-test: relays that take whatever is not locked let a cancel overtake its schedule", async () => {
    await stage.schedule("a");
    await outbox.cancel(pool, timer, "a");
    const naive =
      "SELECT action FROM holdfast.outbox WHERE timer = $1 ORDER BY sequence LIMIT 1 FOR UPDATE SKIP LOCKED";
    const [one, two] = [await pool.connect(), await pool.connect()];
    await one.query("BEGIN");
    await two.query("BEGIN");
    expect((await one.query(naive, [timer.name])).rows).toEqual([{ action: "schedule" }]);
    expect((await two.query(naive, [timer.name])).rows).toEqual([{ action: "cancel" }]);
    await one.query("ROLLBACK");
    await two.query("ROLLBACK");
    one.release();
    two.release();
  });
});

describe("a relay that dies", () => {
  async function relayPod(): Promise<Pod> {
    const pod = await Pod.start(new URL("pods/relay.pod.ts", import.meta.url), {
      env: { DATABASE_URL: stage.database.server.url, REDIS_URL: stage.redisServer.url, TIMER: timer.name },
    });
    pods.push(pod);
    await pod.ready();
    return pod;
  }

  it("P4 between Redis and COMMIT leaves its rows to the next one, and what it told counts once", async () => {
    const ids = Array.from({ length: 30 }, (_, index) => `order-${index}`);
    await Promise.all(ids.map((id) => stage.schedule(id)));
    const generationOf = async (id: string): Promise<number | undefined> => (await timer.get(id))?.generation;
    const pod = await relayPod();
    await pod.request("start", { holdAfterRows: 0 });
    await pollUntil("Redis has a batch", async () => (await timer.stats()).pending === 10);
    expect((await outbox.status(pool, timer)).pending).toBe(30);
    // Whichever of those that were written at once came first.
    const generations = await Promise.all(ids.map(generationOf));
    await pod.kill();
    await stage.relay();
    await stage.drained();
    expect((await timer.stats()).pending).toBe(30);
    // The repeats of the batch were answered, not done again.
    const after = await Promise.all(ids.map(generationOf));
    expect(generations.filter((generation) => generation !== undefined)).toHaveLength(10);
    for (const [index, generation] of generations.entries()) {
      if (generation !== undefined) expect(after[index]).toBe(generation);
    }
  });

  it("P4 or loses PostgreSQL there, removes what it told when it is back, and tells a timer that has forgotten nothing twice", async () => {
    // It remembers no operation at all.
    const forgetful = stage.recorder();
    const { events, onEvent } = collector();
    let losses = 2;
    const lossy: PoolLike = {
      query: (text, values) => pool.query(text, values),
      connect: async () => {
        const client = await pool.connect();
        return {
          query: async (text, values) => {
            if (text.includes("outbox_relayed") && losses > 0) {
              losses -= 1;
              await client.query("SELECT pg_terminate_backend(pg_backend_pid())").catch(() => undefined);
            }
            return client.query(text, values);
          },
          release: (destroy) => client.release(destroy),
          on: (event, listener) => client.on(event, listener),
          off: (event, listener) => client.off(event, listener),
        };
      },
    };
    await stage.schedule("a");
    await outbox.cancel(pool, timer, "a");
    await stage.schedule("b");
    await stage.relay({ onEvent, backoff: { baseMs: 20, delayMaxMs: 50 } }, forgetful, lossy);
    await stage.drained();
    expect(forgetful.told).toEqual(["schedule a a", "schedule b b", "cancel a"]);
    expect(losses).toBe(0);
    expect(events.filter(({ type }) => type === "relayed")).toHaveLength(3);
  });

  it("P4 or is silent with its claim for longer than claimMs, loses it to another relay", async () => {
    const [reached, go, told] = [gate(), gate(), stage.recorder()];
    const stuck: OutboxTimer<Payload> = {
      ...told,
      schedule: async () => {
        reached.open();
        await go.opened;
      },
    };
    await stage.schedule("a");
    await stage.relay({ claimMs: 1_000 }, stuck);
    await reached.opened;
    await stage.relay({}, told);
    await stage.drained();
    expect(told.told).toEqual(["schedule a a"]);
    go.open();
  });

  it("P4 paused in its transaction, then overtaken, undoes nothing when it goes on", async () => {
    const pod = await relayPod();
    await pod.request("start", {});
    const ids = Array.from({ length: 200 }, (_, index) => `order-${index}`);
    await Promise.all(ids.map((id) => stage.schedule(id)));
    await pollUntil("it has begun", async () => (await pod.request<number>("told")) > 0);
    pod.pause();
    // The session of the paused relay is ended, as by a failover or an operator.
    await pool.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%outbox_%' AND pid <> pg_backend_pid()",
    );
    await stage.relay();
    await stage.drained();
    for (const id of ids) await outbox.cancel(pool, timer, id);
    await stage.drained();
    expect((await timer.stats()).pending).toBe(0);
    pod.resume();
    await stage.schedule("marker");
    await stage.drained();
    await pod.request("told");
    expect((await timer.stats()).pending).toBe(1);
  });
});
