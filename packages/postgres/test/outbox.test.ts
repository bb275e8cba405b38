/** P4: what a transaction wants of a timer reaches it once committed, in order, whoever dies on the way. */
import { Pod, pollUntil, random, RedisServer } from "@holdfast/testkit";
import { DurableTimer } from "@holdfast/timer";
import { Redis } from "ioredis";
import type { Pool } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  outbox,
  type OutboxRelay,
  type OutboxTimer,
  type PoolLike,
  type RelayOptions,
  withFence,
} from "../src/index.ts";
import { collector, Database, gate, newResource, tokenNow } from "./database.ts";

interface Payload {
  readonly order: string;
}

let database: Database;
let redisServer: RedisServer;
let redis: Redis;
let pool: Pool;
let timers = 0;
let timer: DurableTimer<Payload>;
const relays: OutboxRelay<Payload>[] = [];
const pods: Pod[] = [];

beforeAll(async () => {
  [database, redisServer] = await Promise.all([Database.start(), RedisServer.start()]);
  pool = database.pool;
  redis = new Redis(redisServer.port, redisServer.host);
  redis.on("error", () => undefined);
});
afterAll(async () => {
  redis.disconnect();
  await Promise.all([database.stop(), redisServer.stop()]);
});
beforeEach(() => {
  timers += 1;
  timer = new DurableTimer(redis, `timer-${timers}`);
});
afterEach(async () => {
  await Promise.all([...relays.splice(0).map((relay) => relay.stop()), ...pods.splice(0).map((pod) => pod.kill())]);
  await timer.close();
});

async function relay(options: RelayOptions = {}, to: OutboxTimer<Payload> = timer): Promise<OutboxRelay<Payload>> {
  const made = outbox.relay(pool, to, { pollMs: 10, ...options });
  relays.push(made);
  await made.start();
  return made;
}

const drained = (): Promise<unknown> =>
  pollUntil("the outbox is empty", async () => (await outbox.status(pool, timer)).pending === 0);
const schedule = (id: string, afterMs = 60_000): Promise<void> =>
  outbox.schedule(pool, timer, { id, afterMs, payload: { order: id } });

/** Keeps what it was told, in order. */
function recorder(): OutboxTimer<Payload> & { readonly told: string[] } {
  const told: string[] = [];
  return {
    name: timer.name,
    told,
    schedule: async ({ id, payload }) => told.push(`schedule ${id} ${payload.order}`),
    cancel: async (id) => told.push(`cancel ${id}`),
  };
}

describe("what is committed", () => {
  it("P4 reaches the timer with its payload and what is left of its delay, and leaves the outbox", async () => {
    const { events, onEvent } = collector();
    await withFence(pool, { resource: newResource(), token: tokenNow() }, (tx) =>
      outbox.schedule(tx, timer, { id: "order-1", afterMs: 60_000, payload: { order: "order-1" } }),
    );
    expect(await outbox.status(pool, timer)).toMatchObject({ pending: 1, dead: 0 });
    await relay({ onEvent });
    await drained();
    const stored = await timer.get("order-1");
    expect(stored?.payload).toEqual({ order: "order-1" });
    const dueAtMs = stored?.dueAtMs ?? 0;
    expect(dueAtMs).toBeGreaterThan(Date.now() + 50_000);
    expect(dueAtMs).toBeLessThanOrEqual(Date.now() + 60_001);
    expect(events).toMatchObject([{ type: "relayed", timer: timer.name, id: "order-1", action: "schedule" }]);
  });

  it("P4 what is rolled back never reaches it", async () => {
    await relay();
    const client = await pool.connect();
    await client.query("BEGIN");
    await outbox.schedule(client, timer, { id: "never", afterMs: 0, payload: { order: "x" } });
    await client.query("ROLLBACK");
    client.release();
    await schedule("marker");
    await drained();
    expect(await timer.get("never")).toBeNull();
    expect(await timer.get("marker")).not.toBeNull();
  });

  it("P4 a transaction that commits late, behind rows of others, is relayed, too", async () => {
    await relay();
    const client = await pool.connect();
    await client.query("BEGIN");
    await outbox.schedule(client, timer, { id: "late", afterMs: 60_000, payload: { order: "late" } });
    for (let index = 0; index < 20; index += 1) await schedule(`early-${index}`);
    await drained();
    await client.query("COMMIT");
    client.release();
    await drained();
    expect(await timer.get("late")).not.toBeNull();
  });

  it("P4 counter-test: a relay that reads above the last number it saw skips a row that commits late", async () => {
    const [late, seen] = [await pool.connect(), [] as string[]];
    await late.query("BEGIN");
    await outbox.schedule(late, timer, { id: "late", afterMs: 0, payload: { order: "late" } });
    await schedule("early");
    let last = "0";
    const read = async (): Promise<void> => {
      const rows = await database.rows<{ sequence: string; timer_id: string }>(
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
    await schedule("overdue", 1);
    await schedule("soon", 400);
    const written = performance.now();
    await pollUntil("it is due", async () => (await outbox.status(pool, timer)).oldestMs > 5);
    const fired = new Map<string, number>();
    const worker = timer.worker({ pollMs: 20 }, async ({ id }) => void fired.set(id, performance.now()));
    await Promise.all([worker.start(), relay()]);
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
    await pollUntil("the second writer waits for the first", () => database.waiting());
    await first.query("COMMIT");
    await waits;
    await second.query("COMMIT");
    first.release();
    second.release();
    const to = recorder();
    await relay({}, to);
    await drained();
    expect(to.told).toEqual(["schedule a first", "cancel a"]);
  });

  it("P4 schedule then cancel leaves nothing pending, however many relays take part", async () => {
    const chance = random(7);
    const ids = Array.from({ length: 25 }, (_, index) => `order-${index}`);
    const wanted = new Map<string, string | null>();
    await Promise.all([relay({ rowsMax: 3 }), relay({ rowsMax: 7 }), relay({ rowsMax: 100 })]);
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
    await drained();
    for (const id of ids) expect([id, (await timer.get(id))?.payload?.order ?? null]).toEqual([id, wanted.get(id)]);
    expect((await timer.stats()).pending).toBe([...wanted.values()].filter((order) => order !== null).length);
  });

  it("P4 a second relay never takes the next row of an id while the first one tells the timer", async () => {
    const [told, go] = [recorder(), gate()];
    await schedule("a");
    await outbox.cancel(pool, timer, "a");
    await schedule("b");
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
    await relay({ rowsMax: 1 }, slow);
    await reached.opened;
    await relay({}, told);
    await pollUntil("b was told", () => told.told.includes("schedule b b"));
    expect(told.told).toEqual(["schedule b b"]);
    go.open();
    await drained();
    expect(told.told.slice(1)).toEqual(["schedule a a", "cancel a"]);
  });

  it("P4 counter-test: relays that take whatever is not locked let a cancel overtake its schedule", async () => {
    await schedule("a");
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
      env: { DATABASE_URL: database.server.url, REDIS_URL: redisServer.url, TIMER: timer.name },
    });
    pods.push(pod);
    await pod.ready();
    return pod;
  }

  it("P4 between Redis and COMMIT leaves its rows to the next one, and what it told counts once", async () => {
    await Promise.all(Array.from({ length: 30 }, (_, index) => schedule(`order-${index}`)));
    const pod = await relayPod();
    await pod.request("start", { holdAfterRows: 0 });
    await pollUntil("Redis has a batch", async () => (await timer.stats()).pending === 10);
    expect((await outbox.status(pool, timer)).pending).toBe(30);
    const generations = await Promise.all(
      [0, 1, 2].map(async (index) => (await timer.get(`order-${index}`))?.generation),
    );
    await pod.kill();
    await relay();
    await drained();
    expect((await timer.stats()).pending).toBe(30);
    // The repeats of the batch were answered, not done again.
    const after = await Promise.all([0, 1, 2].map(async (index) => (await timer.get(`order-${index}`))?.generation));
    expect(generations.filter((generation) => generation !== undefined)).not.toEqual([]);
    for (const [index, generation] of generations.entries()) {
      if (generation !== undefined) expect(after[index]).toBe(generation);
    }
  });

  it("P4 paused in its transaction, then overtaken, undoes nothing when it goes on", async () => {
    const pod = await relayPod();
    await pod.request("start", {});
    const ids = Array.from({ length: 200 }, (_, index) => `order-${index}`);
    await Promise.all(ids.map((id) => schedule(id)));
    await pollUntil("it has begun", async () => (await pod.request<number>("told")) > 0);
    pod.pause();
    // The session of the paused relay is ended, as by a failover or an operator.
    await pool.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%outbox_%' AND pid <> pg_backend_pid()",
    );
    await relay();
    await drained();
    for (const id of ids) await outbox.cancel(pool, timer, id);
    await drained();
    expect((await timer.stats()).pending).toBe(0);
    pod.resume();
    await schedule("marker");
    await drained();
    await pod.request("told");
    expect((await timer.stats()).pending).toBe(1);
  });
});

describe("trouble", () => {
  it("P4 Redis killed with SIGKILL and restarted: what was written meanwhile reaches it, by itself", async () => {
    await using own = await RedisServer.start({ aof: "always" });
    const client = new Redis(own.port, own.host, { retryStrategy: () => 50 });
    client.on("error", () => undefined);
    const far = new DurableTimer<Payload>(client, timer.name, { commandTimeoutMs: 200 });
    const { events, onEvent } = collector();
    await relay({ onEvent, backoff: { baseMs: 20, delayMaxMs: 100 } }, far);
    await schedule("before");
    await drained();
    await own.kill();
    await schedule("during");
    await pollUntil("the relay is in trouble", () => events.some(({ type }) => type === "trouble"));
    await own.restart();
    await drained();
    expect((await far.stats()).pending).toBe(2);
    expect(events.some(({ type }) => type === "recovered")).toBe(true);
    await far.close();
    client.disconnect();
  });

  it("P4 PostgreSQL killed with SIGKILL and restarted: what was committed reaches the timer, by itself", async () => {
    const { events, onEvent } = collector();
    await relay({ onEvent, backoff: { baseMs: 20, delayMaxMs: 100 } });
    await schedule("before");
    await drained();
    await database.server.kill();
    await pollUntil("the relay is in trouble", () => events.some(({ type }) => type === "trouble"));
    await database.server.restart();
    await pollUntil("the server answers", () =>
      schedule("after").then(
        () => true,
        () => false,
      ),
    );
    await drained();
    expect(await timer.get("after")).not.toBeNull();
    await pollUntil("it has recovered", () => events.some(({ type }) => type === "recovered"));
  });

  it("a row that the timer will never take is set aside with its error, and delays nobody, not even its own id", async () => {
    const strict = new DurableTimer<Payload>(redis, timer.name, { payloadBytesMax: 100, delayMaxMs: 1_000_000 });
    const { events, onEvent } = collector();
    await outbox.schedule(pool, timer, { id: "big", afterMs: 60_000, payload: { order: "x".repeat(200) } });
    await schedule("big");
    await schedule("far", 2_000_000);
    await schedule("good");
    await relay({ onEvent }, strict);
    await drained();
    expect(await outbox.status(pool, timer)).toMatchObject({ pending: 0, dead: 2 });
    expect((await timer.get("big"))?.payload).toEqual({ order: "big" });
    expect(await timer.get("good")).not.toBeNull();
    expect(events.filter(({ type }) => type === "dead")).toMatchObject([{ id: "big" }, { id: "far" }]);
    await strict.close();
  });

  it("a row that the timer refuses for now is tried again, while its successors wait and others go on", async () => {
    const told = recorder();
    let refusals = 3;
    const moody: OutboxTimer<Payload> = {
      ...told,
      schedule: async (request) => {
        if (request.id === "a" && refusals > 0) {
          refusals -= 1;
          throw new Error("not now");
        }
        return told.schedule(request);
      },
    };
    const { events, onEvent } = collector();
    await schedule("a");
    await outbox.cancel(pool, timer, "a");
    await schedule("b");
    await relay({ onEvent, backoff: { baseMs: 20, delayMaxMs: 50 } }, moody);
    await drained();
    expect(told.told).toEqual(["schedule b b", "schedule a a", "cancel a"]);
    expect(events.filter(({ type }) => type === "postponed")).toMatchObject([
      { attempts: 1 },
      { attempts: 2 },
      { attempts: 3 },
    ]);
  });

  it("a claim that took longer than a moment is dropped before anything is told: another may have it", async () => {
    const told = recorder();
    const { events, onEvent } = collector();
    await schedule("a");
    let late = true;
    const slowPool: PoolLike = {
      query: (text, values) => pool.query(text, values),
      connect: async () => {
        const client = await pool.connect();
        return {
          query: async (text, values) => {
            const answer = await client.query(text, values);
            if (late && text.includes("outbox_claim")) {
              await pollUntil("a pause has passed", () => performance.now() > resumeAt);
            }
            return answer;
          },
          release: (destroy) => client.release(destroy),
          on: (event, listener) => client.on(event, listener),
          off: (event, listener) => client.off(event, listener),
        };
      },
    };
    const resumeAt = performance.now() + 2_100;
    const made = outbox.relay(slowPool, told, { pollMs: 10, onEvent });
    relays.push(made);
    await made.start();
    await pollUntil("the claim was dropped", () => events.some(({ type }) => type === "trouble"));
    expect(told.told).toEqual([]);
    late = false;
    await drained();
    expect(told.told).toEqual(["schedule a a"]);
  });
});

describe("start and stop", () => {
  it("stop waits for the pass under way, and a relay that was stopped does not start again", async () => {
    const [reached, go] = [gate(), gate()];
    const told = recorder();
    const slow: OutboxTimer<Payload> = {
      ...told,
      schedule: async (request) => {
        reached.open();
        await go.opened;
        return told.schedule(request);
      },
    };
    await schedule("a");
    const made = await relay({}, slow);
    await reached.opened;
    const stopping = made.stop({ graceMs: 10_000 });
    go.open();
    expect(await stopping).toEqual({ finished: true });
    expect(await outbox.status(pool, timer)).toMatchObject({ pending: 0 });
    await expect(made.start()).rejects.toThrow("does not start again");
  });

  it("stop gives up a pass that outlasts the grace, and its rows are relayed by the next one", async () => {
    const reached = gate();
    const stuck: OutboxTimer<Payload> = {
      ...recorder(),
      schedule: () => {
        reached.open();
        return new Promise(() => undefined);
      },
    };
    await schedule("a");
    const made = await relay({}, stuck);
    await reached.opened;
    expect(await made.stop({ graceMs: 50 })).toEqual({ finished: false });
    await relay();
    await drained();
    expect(await timer.get("a")).not.toBeNull();
  });

  it("what is no request is misuse", async () => {
    await expect(outbox.schedule(pool, timer, { id: "", afterMs: 1 })).rejects.toThrow("id must be");
    await expect(outbox.schedule(pool, timer, { id: "a", afterMs: -1 })).rejects.toThrow("afterMs must be");
    await expect(outbox.schedule(pool, timer, { id: "a", afterMs: 1, payload: (() => 1) as never })).rejects.toThrow(
      "payload must be JSON",
    );
    expect(() => outbox.relay(pool, timer, { pollMs: 1 })).toThrow("pollMs");
  });
});
