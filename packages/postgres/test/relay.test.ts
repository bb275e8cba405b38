/** The relay: trouble on either side of it, rows that are refused, start and stop. */
import { setTimeout as delay } from "node:timers/promises";
import { FaultProxy, LeapClock, pollUntil, RedisServer } from "@holdfast/testkit";
import { DurableTimer } from "@holdfast/timer";
import { Redis } from "ioredis";
import type { CustomTypesConfig, Pool } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  outbox,
  type OutboxRelay,
  type OutboxTimer,
  type PoolLike,
  type PostgresEvent,
  PostgresUnavailableError,
} from "../src/index.ts";
import { collector, gate } from "./database.ts";
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
afterEach(() => stage.clear());

describe("trouble", () => {
  it("P4 Redis killed with SIGKILL and restarted: what was written meanwhile reaches it, by itself", async () => {
    await using own = await RedisServer.start({ aof: "always" });
    const client = new Redis(own.port, own.host, { retryStrategy: () => 50 });
    client.on("error", () => undefined);
    const far = new DurableTimer<Payload>(client, timer.name, { commandTimeoutMs: 500 });
    const { events, onEvent } = collector();
    await stage.relay({ onEvent, backoff: { baseMs: 20, delayMaxMs: 100 } }, far);
    await stage.schedule("before");
    await stage.drained();
    await own.kill();
    await stage.schedule("during");
    await pollUntil("the relay is in trouble", () => events.some(({ type }) => type === "trouble"));
    await own.restart();
    await stage.drained();
    const { pending } = await pollUntil("its timer answers", () => far.stats());
    expect(pending).toBe(2);
    expect(events.some(({ type }) => type === "recovered")).toBe(true);
    await far.close();
    client.disconnect();
  });

  it("P4 PostgreSQL killed with SIGKILL and restarted: what was committed reaches the timer, by itself", async () => {
    const { events, onEvent } = collector();
    await stage.relay({ onEvent, backoff: { baseMs: 20, delayMaxMs: 100 } });
    await stage.schedule("before");
    await stage.drained();
    await stage.database.server.kill();
    await pollUntil("the relay is in trouble", () => events.some(({ type }) => type === "trouble"));
    await stage.database.server.restart();
    await pollUntil("the server answers", () =>
      stage.schedule("after").then(
        () => true,
        () => false,
      ),
    );
    await stage.drained();
    expect(await timer.get("after")).not.toBeNull();
    await pollUntil("it has recovered", () => events.some(({ type }) => type === "recovered"));
  });

  it("a row that the timer will never take is set aside with its error, and delays nobody, not even its own id", async () => {
    const strict = new DurableTimer<Payload>(stage.redis, timer.name, { payloadBytesMax: 100, delayMaxMs: 1_000_000 });
    const { events, onEvent } = collector();
    await outbox.schedule(pool, timer, { id: "big", afterMs: 60_000, payload: { order: "x".repeat(200) } });
    await stage.schedule("big");
    await stage.schedule("far", 2_000_000);
    await stage.schedule("good");
    await stage.relay({ onEvent }, strict);
    await stage.drained();
    expect(await outbox.status(pool, timer)).toMatchObject({ pending: 0, dead: 2 });
    expect((await timer.get("big"))?.payload).toEqual({ order: "big" });
    expect(await timer.get("good")).not.toBeNull();
    expect(events.filter(({ type }) => type === "dead")).toMatchObject([{ id: "big" }, { id: "far" }]);
    await strict.close();
  });

  it("P4 dead rows are listed, told again before all later ones of their id, or dropped; others are left alone", async () => {
    const told = stage.recorder();
    const refused = new Set(["a", "b"]);
    const strict: OutboxTimer<Payload> = {
      ...told,
      schedule: async (request) => {
        if (refused.has(request.id)) throw new TypeError(`no ${request.id} here`);
        return told.schedule(request);
      },
    };
    for (const id of ["a", "b", "c"]) await stage.schedule(id);
    const relay = await stage.relay({}, strict);
    await stage.drained();
    await relay.stop();
    const [first, second, ...more] = await outbox.dead.list(pool, timer);
    expect([first, second]).toMatchObject([
      { id: "a", action: "schedule", payload: { order: "a" }, error: "TypeError: no a here", attempts: 1 },
      { id: "b", deadAt: expect.any(Date), writtenAt: expect.any(Date) },
    ]);
    expect(more).toEqual([]);
    const [a, b] = [first?.sequence ?? "", second?.sequence ?? ""];
    expect(await outbox.dead.list(pool, timer, { rowsMax: 1 })).toEqual([first]);
    // Whatever the pool makes of PostgreSQL's times.
    const getTypeParser = (): ((value: string) => string) => String;
    const textual = stage.database.open({ types: { getTypeParser } as unknown as CustomTypesConfig });
    const [textually] = await outbox.dead.list(textual, timer);
    expect([textually?.writtenAt, textually?.deadAt]).toEqual([first?.writtenAt, first?.deadAt]);
    const writtenAt = await stage.database.value<Date>("SELECT min(written_at) FROM holdfast.outbox WHERE timer = $1", [
      timer.name,
    ]);
    expect(first?.writtenAt).toEqual(writtenAt);
    expect(await outbox.dead.list(pool, timer, { after: a })).toEqual([second]);
    // What was written for the id meanwhile comes after it.
    await outbox.cancel(pool, timer, "a");
    refused.clear();
    expect(await outbox.dead.redrive(pool, { name: "another" }, a)).toBe(false);
    expect(await outbox.dead.redrive(pool, timer, a)).toBe(true);
    expect(await outbox.dead.redrive(pool, timer, a)).toBe(false);
    expect(await outbox.dead.drop(pool, timer, b)).toBe(true);
    expect(await outbox.dead.drop(pool, timer, a)).toBe(false);
    await stage.relay({}, strict);
    await stage.drained();
    expect(told.told).toEqual(["schedule c c", "schedule a a", "cancel a"]);
    expect(await outbox.status(pool, timer)).toMatchObject({ pending: 0, dead: 0 });
    await expect(outbox.dead.drop(pool, timer, "b")).rejects.toThrow("sequence must be");
  });

  it("P4 a redriven row waits until the later row of its id that a relay has is told: never two at a time", async () => {
    const [told, reached, go] = [stage.recorder(), gate(), gate()];
    let refuse = true;
    const slow: OutboxTimer<Payload> = {
      ...told,
      schedule: async (request) => {
        if (refuse) throw new TypeError("not here");
        return told.schedule(request);
      },
      cancel: async (id, options) => {
        reached.open();
        await go.opened;
        return told.cancel(id, options);
      },
    };
    await stage.schedule("a");
    await stage.relay({}, slow);
    await stage.drained();
    refuse = false;
    await outbox.cancel(pool, timer, "a");
    await reached.opened;
    const [dead] = await outbox.dead.list(pool, timer);
    const redriven = outbox.dead.redrive(pool, timer, dead?.sequence ?? "");
    await pollUntil("the operator waits for the relay", () => stage.database.waiting());
    await stage.relay({}, told);
    expect(told.told).toEqual([]);
    go.open();
    expect(await redriven).toBe(true);
    await stage.drained();
    expect(told.told).toEqual(["cancel a", "schedule a a"]);
  });

  it("a row that the timer refuses for now is tried again, while its successors wait and others go on", async () => {
    const told = stage.recorder();
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
    await stage.schedule("a");
    await outbox.cancel(pool, timer, "a");
    await stage.schedule("b");
    await stage.relay({ onEvent, backoff: { baseMs: 20, delayMaxMs: 50 } }, moody);
    await stage.drained();
    expect(told.told).toEqual(["schedule b b", "schedule a a", "cancel a"]);
    expect(events.filter(({ type }) => type === "postponed")).toMatchObject([
      { attempts: 1 },
      { attempts: 2 },
      { attempts: 3 },
    ]);
  });

  it("a claim that took longer than a moment is dropped before anything is told: another may have it", async () => {
    const told = stage.recorder();
    const { events, onEvent } = collector();
    await stage.schedule("a");
    let late = true;
    const slowPool: PoolLike = {
      query: (text, values) => pool.query(text, values),
      connect: async () => {
        const client = await pool.connect();
        return {
          query: async (text, values) => {
            const answer = await client.query(text, values);
            if (late && text.includes("outbox_claim")) {
              const resumeAt = performance.now() + 2_100;
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
    await stage.relay({ onEvent }, told, slowPool);
    await pollUntil("the claim was dropped", () => events.some(({ type }) => type === "trouble"));
    expect(told.told).toEqual([]);
    late = false;
    await stage.drained();
    expect(told.told).toEqual(["schedule a a"]);
  });
});

describe("a connection that answers nothing and does not end", () => {
  async function mute(statement = /outbox_claim/u): Promise<{
    relay: OutboxRelay<Payload>;
    proxy: FaultProxy;
    events: PostgresEvent[];
    clock: LeapClock;
  }> {
    const proxy = await FaultProxy.start(stage.database.server, { protocol: "tcp" });
    const [clock, { events, onEvent }] = [new LeapClock(), collector()];
    const far = stage.database.open({ max: 2 }, proxy);
    let falls = false;
    const fallsMute: PoolLike = {
      query: (text, values) => far.query(text, values),
      connect: async () => {
        const client = await far.connect();
        return {
          query: (text, values) => {
            if (falls && statement.test(text)) {
              falls = false;
              proxy.blackhole("down");
            }
            return client.query(text, values);
          },
          release: (destroy) => client.release(destroy),
          on: (event, listener) => client.on(event, listener),
          off: (event, listener) => client.off(event, listener),
        };
      },
    };
    const relay = await stage.relay({ onEvent, clock, backoff: { baseMs: 20, delayMaxMs: 100 } }, timer, fallsMute);
    await stage.schedule("before");
    await stage.drained();
    falls = true;
    await pollUntil("the relay has asked in vain", () => proxy.counts.blackholed > 0);
    return { relay, proxy, events, clock };
  }

  it("P4 is given up when its claim is over, and the rows go by another one", async () => {
    const { proxy, events, clock } = await mute();
    await using _ = proxy;
    try {
      await stage.schedule("during");
      await pollUntil("the relay is in trouble, and says of what kind", () => {
        clock.leap(10_000);
        return events.some((event) => event.type === "trouble" && event.error instanceof PostgresUnavailableError);
      });
    } finally {
      await proxy.heal({ held: "drop" });
    }
    await stage.drained();
    expect(await timer.get("during")).not.toBeNull();
  });

  it("is not waited for by a stop beyond its grace", async () => {
    const { relay, proxy } = await mute();
    await using _ = proxy;
    try {
      const stopping = relay.stop({ graceMs: 50 });
      expect(await Promise.race([stopping, delay(60_000, "it is still waited for", { ref: false })])).toEqual({
        finished: false,
      });
    } finally {
      await proxy.heal({ held: "drop" });
    }
  });

  it("is not waited for by a stop beyond its grace when it is COMMIT that gets no answer, and nothing begins after it", async () => {
    const { relay, proxy, events, clock } = await mute(/^COMMIT$/u);
    await using _ = proxy;
    try {
      const stopping = relay.stop({ graceMs: 50 });
      expect(await Promise.race([stopping, delay(20_000, "it is still waited for", { ref: false })])).toEqual({
        finished: false,
      });
      await pollUntil("the pass has ended by itself", () => {
        clock.leap(10_000);
        return events.some(({ type }) => type === "commit-lost");
      });
    } finally {
      await proxy.heal({ held: "drop" });
    }
    await stage.schedule("after");
    clock.leap(60_000);
    await delay(100);
    expect(await timer.get("after")).toBeNull();
  });
});

describe("start and stop", () => {
  it("stop waits for the pass under way, and a relay that was stopped does not start again", async () => {
    const [reached, go] = [gate(), gate()];
    const told = stage.recorder();
    const slow: OutboxTimer<Payload> = {
      ...told,
      schedule: async (request) => {
        reached.open();
        await go.opened;
        return told.schedule(request);
      },
    };
    await stage.schedule("a");
    const made = await stage.relay({}, slow);
    await reached.opened;
    const stopping = made.stop({ graceMs: 120_000 });
    go.open();
    expect(await stopping).toEqual({ finished: true });
    expect(await outbox.status(pool, timer)).toMatchObject({ pending: 0 });
    await expect(made.start()).rejects.toThrow("does not start again");
  });

  it("stop gives up a pass that outlasts the grace, and its rows are relayed by the next one", async () => {
    const reached = gate();
    const stuck: OutboxTimer<Payload> = {
      ...stage.recorder(),
      schedule: () => {
        reached.open();
        return new Promise(() => undefined);
      },
    };
    await stage.schedule("a");
    const made = await stage.relay({}, stuck);
    await reached.opened;
    expect(await made.stop({ graceMs: 50 })).toEqual({ finished: false });
    await stage.relay();
    await stage.drained();
    expect(await timer.get("a")).not.toBeNull();
  });

  it("what is no request is misuse", async () => {
    await expect(outbox.schedule(pool, timer, { id: "", afterMs: 1 })).rejects.toThrow("id must be");
    await expect(outbox.schedule(pool, timer, { id: "a", afterMs: -1 })).rejects.toThrow("afterMs must be");
    await expect(outbox.schedule(pool, timer, { id: "a", afterMs: 1, payload: (() => 1) as never })).rejects.toThrow(
      "payload must be JSON",
    );
    await expect(outbox.schedule(pool, timer, { id: "a\0", afterMs: 1 })).rejects.toThrow("id must not contain a NUL");
    await expect(outbox.cancel(pool, timer, "a\0")).rejects.toThrow("id must not contain a NUL");
    await expect(outbox.status(pool, { name: "a\0" })).rejects.toThrow(RangeError);
    expect(() => outbox.relay(pool, timer, { pollMs: 1 })).toThrow("pollMs");
  });
});
