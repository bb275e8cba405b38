/** T3, T4: whose lease it is, and which generation. */
import { setTimeout as delay } from "node:timers/promises";
import { FaultProxy, pollUntil, RedisServer } from "@holdfast/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FiringLostError } from "../src/index.ts";
import type { Firing } from "../src/index.ts";
import { claim, extend } from "../src/scripts.generated.ts";
import { withAlteredLua } from "../../../scripts/lua/altered.ts";
import { Desk, freshName, Gate } from "./client.ts";
import { occupied, overtake } from "./holders.ts";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(() => server.stop());

describe("T3 one live lease", () => {
  it("T3 an acknowledgement with an old token is refused and leaves the successor's lease alone", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const { firing, gate, worker } = await occupied(desk, server.url, name);
    const [successor] = (await overtake(desk, server.url, name)).firings;
    expect(successor?.token).toBeGreaterThan(firing.token);
    gate.open();
    await worker.idle();
    expect(worker.counts()).toMatchObject({ stale: 1, fired: 1 });
    expect(await timer.get("a")).toMatchObject({ state: "firing" });
    await worker.stop({ graceMs: 0 });
  });

  it("T3 counter-test: without the comparison of leases the successor's timer is removed under it", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const { gate, worker } = await occupied(desk, server.url, name);
    await overtake(desk, server.url, name);
    await withAlteredLua(claim, "scores[index] ~= leaseEnd or noted[index] or followings[index]", "false", async () => {
      gate.open();
      await worker.idle();
    });
    expect(await timer.get("a")).toBeNull();
    await worker.stop({ graceMs: 0 });
  });

  it("T3 a retry with an old token is refused", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const gate = new Gate();
    const started = new Gate();
    const worker = timer.worker({ concurrencyMax: 1 }, async () => {
      started.open();
      await gate.opened;
      throw new Error("too late");
    });
    await worker.start();
    await started.opened;
    await overtake(desk, server.url, name);
    gate.open();
    await worker.idle();
    expect(worker.counts()).toMatchObject({ stale: 1, retried: 0 });
    expect(await timer.get("a")).toMatchObject({ state: "firing" });
  });

  it("T3 an extension with an old token is refused and aborts the handler's signal", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const { firing, gate, worker } = await occupied(desk, server.url, name, 6_000);
    await overtake(desk, server.url, name);
    await pollUntil("its signal aborts", () => firing.signal.aborted);
    expect(firing.signal.reason).toBeInstanceOf(FiringLostError);
    expect((firing.signal.reason as FiringLostError).reason).toBe("lost");
    expect(worker.counts().lost).toBe(1);
    gate.open();
    await worker.idle();
    await worker.stop({ graceMs: 0 });
  });

  it("T3 an extension that lost its race with the lease's end is counted, and a repeated one is answered as before", async () => {
    await using desk = new Desk();
    await using proxy = await FaultProxy.start(server);
    const name = freshName();
    const timer = desk.timer(proxy.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const twice = proxy.repeat(new RegExp(extend.sha1, "u"), { keep: "last", times: Infinity });
    const gate = new Gate();
    const started = Promise.withResolvers<Firing<undefined>>();
    const worker = timer.worker({ leaseMs: 6_000 }, async (firing) => {
      started.resolve(firing);
      await gate.opened;
    });
    await worker.start();
    const firing = await started.promise;
    await pollUntil("three extensions were delivered twice", () => twice.hits >= 3);
    expect(firing.signal.aborted).toBe(false);
    gate.open();
    await worker.idle();
    expect(worker.counts()).toMatchObject({ fired: 1, stale: 0, lost: 0 });
    await worker.stop({ graceMs: 1_000 });
    expect(await timer.get("a")).toBeNull();
  });
});

describe("T4 generations", () => {
  it("T4 an acknowledgement never removes a timer that was rescheduled meanwhile", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    const first = await timer.schedule({ id: "a", afterMs: 0 });
    const { firing, gate, worker } = await occupied(desk, server.url, name);
    const next = await timer.schedule({ id: "a", afterMs: 60_000 });
    expect(next.kind).toBe("firing");
    expect(next.generation).toBeGreaterThan(first.generation);
    expect(firing.generation).toBe(first.generation);
    expect(firing.signal.aborted).toBe(false);
    expect(await timer.get("a")).toMatchObject({ state: "firing", next: { generation: next.generation } });
    gate.open();
    await worker.idle();
    expect(await timer.get("a")).toMatchObject({
      state: "pending",
      generation: next.generation,
      dueAtMs: next.dueAtMs,
    });
    await worker.stop({ graceMs: 1_000 });
  });

  it("T4 the next generation fires after the running one ends, not beside it", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    let running = 0;
    let peak = 0;
    const generations: number[] = [];
    const worker = timer.worker({ pollMs: 20 }, async ({ generation }) => {
      running += 1;
      peak = Math.max(peak, running);
      generations.push(generation);
      if (generations.length < 4) await timer.schedule({ id: "a", afterMs: 0 });
      await delay(30);
      running -= 1;
    });
    await worker.start();
    await pollUntil("four generations fired", () => worker.counts().fired === 4);
    await worker.idle();
    expect(peak).toBe(1);
    expect(generations).toEqual(generations.toSorted((a, b) => a - b));
    expect(new Set(generations).size).toBe(4);
    await worker.stop({ graceMs: 1_000 });
  });

  it("T4 counter-test: an acknowledgement that does not look for a next generation loses it", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0 });
    const { gate, worker } = await occupied(desk, server.url, name);
    await timer.schedule({ id: "a", afterMs: 60_000 });
    await withAlteredLua(claim, "or noted[index] or followings[index]", "", async () => {
      gate.open();
      await worker.idle();
    });
    expect(await timer.get("a")).toBeNull();
    await worker.stop({ graceMs: 0 });
  });

  it("T4 generations of one id strictly increase, also after it was cancelled, fired, and after the clock went back", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer(server.url, name);
    const seen: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const { generation } = await timer.schedule({ id: "a", afterMs: 60_000 });
      const replaced = await timer.schedule({ id: "a", afterMs: 60_000, ifExists: "replace" });
      expect(replaced.kind).toBe("replaced");
      seen.push(generation, replaced.generation);
      await timer.cancel("a");
      // As after a clock that went back by an hour: what was given out lies ahead of the clock.
      if (round === 2) await desk.redis(server.url).hset(`holdfast:{timer:${name}}:state`, "floor", "2795312345678901");
    }
    for (let index = 1; index < seen.length; index += 1) expect(seen[index]).toBeGreaterThan(seen[index - 1] as number);
  });

  it("T4 a retry keeps the next generation behind the one that is tried again", async () => {
    await using desk = new Desk();
    const name = freshName();
    const timer = desk.timer<{ n: number }>(server.url, name);
    await timer.schedule({ id: "a", afterMs: 0, payload: { n: 1 } });
    const log: string[] = [];
    const worker = timer.worker(
      { backoff: { baseMs: 5, delayMaxMs: 5, jitter: 0 }, pollMs: 20 },
      async ({ payload, attempt }) => {
        log.push(`${payload.n}.${attempt}`);
        if (payload.n === 1 && attempt === 1) {
          await timer.schedule({ id: "a", afterMs: 0, payload: { n: 2 } });
          throw new Error("once more");
        }
      },
    );
    await worker.start();
    await pollUntil("both fired", () => worker.counts().fired === 2);
    expect(log).toEqual(["1.1", "1.2", "2.1"]);
    await worker.stop({ graceMs: 1_000 });
  });
});
